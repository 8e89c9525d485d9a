"""The compute step of an event type: which landing segments an hour is made of, whether it may be built, and the late lane.

How lines become rows is in cleaning. Judging and publishing are building's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from platform_defs.contracts.contract import Contract
from platform_defs.execution.cleaning import Batch, Cleaned, Cleaner, SegmentDamaged
from platform_defs.execution.failures import kind_of
from platform_defs.execution.platform import Platform, Work
from platform_defs.execution.results import Failure, FailureKind
from platform_defs.execution.steps import Planned, Read, Staged, StepRun, Waiting
from platform_defs.execution.withheld import RunLog
from platform_defs.lake.columns import name, table_columns
from platform_defs.lake.engine import Zone
from platform_defs.lake.files import files_of
from platform_defs.lake.landing import Segment
from platform_defs.lake.tables import publish
from platform_defs.ledger.landing import SegmentRow
from platform_defs.planning.closing import closing
from platform_defs.planning.digest import segments_digest
from platform_defs.planning.facts import Published
from platform_defs.planning.lateness import is_parked, reopening_pins
from platform_defs.privacy.pseudonyms import PrivateFolder

FUNCTION = "intake"


class IntakeStep:
    """Takes landed events in."""

    zone: Zone = "intake"

    def __init__(self, work: Work, platform: Platform) -> None:
        self._work, self._platform = work, platform
        self._contract: Contract = work.declared.contract
        self._taking = Taking(self._contract, platform, work.run_id, FUNCTION)
        self._batches: dict[str, Batch] = {}

    def plan(self, keys: Sequence[str]) -> Mapping[str, Planned | Waiting | Failure]:
        """The segments of each hour; waiting while a first build would miss some, refused where some no longer exist."""
        ledger, event = self._platform.ledger, self._contract.key
        segments, expired = ledger.landing.segments(event, keys), ledger.landing.expired(event, keys)
        published, receivers = ledger.partitions.published(event, keys), ledger.landing.receivers()
        reopened = ledger.reopenings.of(event, keys)
        now = self._platform.clock()
        hold = self._contract.lateness.hold_seconds if self._contract.lateness else None
        plans: dict[str, Planned | Waiting | Failure] = {}
        for key in keys:
            without: tuple[str, ...] = ()
            if key not in published:
                state = closing(key, now, receivers, hold)
                if not state.closed:
                    plans[key] = Waiting(key, state.waits_for or (f"{event} {key}",), state.words)
                    continue
                without = state.without
            batch = self._batch(key, segments[key], published.get(key), reopened.get(key))
            plans[key] = self._taking.gone(batch, key in expired) or _reopened(self._taking.planned(batch, without), batch, reopened.get(key))
            self._batches[key] = batch
        return plans

    def compute(self, planned: Sequence[Planned], run: StepRun) -> Mapping[str, Staged | Waiting | Failure]:
        """All hours in one job; one by one if that fails, so that each fails by itself."""
        return self._taking.staged([self._batches[each.key] for each in planned], run)

    def published(self, keys: Sequence[str], run: StepRun) -> None:
        """Puts the parked rows of these hours into the late lane, replacing what was there: a repeated run changes nothing, a reopened hour has none."""
        parked = {key: path for key in keys if (path := self._taking.cleaned[key].late_path) is not None}
        if not parked:
            return
        files = files_of(self._platform.lake.root)
        columns = table_columns(self._contract, "late")
        ddl = ", ".join(f"{name(column.name)} {column.type}" for column in columns)
        for path in parked.values():
            files.make_folder(path)  # there is none where no row of the hour was good
        frame = run.session.read.schema(ddl).parquet(*parked.values())
        publish(run.session, self._contract, self._platform.lake.late(self._contract.key), frame, list(parked), run.run_id, run.fence)

    def close(self) -> None:
        """Deletes the private files."""
        self._taking.close()

    def _batch(self, key: str, rows: Sequence[SegmentRow], version: Published | None, reopened: datetime | None) -> Batch:
        first, lateness = version.first_built_at if version else None, self._contract.lateness
        parked = {row.segment.path for row in rows if lateness is not None and is_parked(lateness, first, row.sealed_at, reopened)}
        late = {row.segment.path for row in rows if first is not None and row.sealed_at > first}
        return Batch(key, tuple(row.segment for row in rows), frozenset(late), frozenset(parked), reopened is not None)


def _reopened(planned: Planned, batch: Batch, at: datetime | None) -> Planned:
    """A reopened hour is another hour than before, though its segments are the same; which reopening it took up is kept beside its version."""
    if at is None:
        return planned
    pins = reopening_pins(at)
    segments = [(segment.path, segment.sha256) for segment in batch.segments]
    return replace(planned, digest=segments_digest([*segments, *pins.items()]), pins=pins)


class Taking:
    """What events and sources share: segments that must be there, the job over them, private files, failures without values."""

    def __init__(self, contract: Contract, platform: Platform, run_id: str, function: str, module_file: str | None = None) -> None:
        self._contract, self._platform, self._function, self._module_file = contract, platform, function, module_file
        self.log = RunLog(platform.run_logs, run_id)
        self.folder = PrivateFolder(platform.landing.root, f"{run_id}.{contract.table}")
        self.cleaned: dict[str, Cleaned] = {}
        self._entered = False
        self._calls = 0

    def planned(self, batch: Batch, missing: tuple[str, ...] = (), digest: bytes | None = None) -> Planned:
        """The plan of a partition whose segments are all there."""
        paths = tuple(segment.path for segment in batch.segments)
        return Planned(
            batch.key,
            digest or segments_digest((segment.path, segment.sha256) for segment in batch.segments),
            (Read(self._contract.key, paths, None),),
            rows_in=sum(segment.rows for segment in batch.segments),
            bytes_in=sum(segment.size for segment in batch.segments),
            missing=missing,
        )

    def gone(self, batch: Batch, expired: bool) -> Failure | None:
        """A refusal if not every segment of the partition is as it was sealed: a part of it must not be published as the whole."""
        lost = sum(1 for segment in batch.segments if not self._is_whole(segment))
        if not lost and not expired:
            return None
        why = f"{lost} of its {len(batch.segments)} segments are missing or cut off" if lost else "some of its segments are past the landing's retention"
        action = "The published version stays. Restore them (`landing` in Backline's home), or leave the partition as it is"
        return Failure(FailureKind.SEGMENTS_GONE, self._contract.key, self._function, batch.key, why, action)

    def staged(self, batches: Sequence[Batch], run: StepRun) -> dict[str, Staged | Waiting | Failure]:
        """The partitions, staged or failed; what is raised in here is answered without its text."""
        try:
            return self._together(batches, run)
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may quote a row and must not get further
            # A disk that is full, an engine that is gone, or a session that was interrupted, fails every partition: nothing is gained by trying each.
            if len(batches) == 1 or kind_of(error) in (FailureKind.DISK, FailureKind.ENGINE, FailureKind.INTERRUPTED):
                return {batch.key: self.failure(batch.key, error) for batch in batches}
            self.log.keep(error, f"{self._contract.key}, {len(batches)} partitions at once; each is tried by itself")
        answers: dict[str, Staged | Waiting | Failure] = {}
        for batch in batches:
            answers |= self.staged([batch], run)
        return answers

    def failure(self, key: str, error: BaseException) -> Failure:
        """The failure of one partition; the error's text goes to the run's log."""
        if isinstance(error, SegmentDamaged):  # our own words, of paths and numbers
            failure = self.log.failure(self._contract.key, self._function, key, error)
            return replace(failure, kind=FailureKind.SEGMENTS_GONE, why=str(error))
        return self.log.failure(self._contract.key, self._function, key, error, self._module_file)

    def enter(self) -> PrivateFolder:
        """The private folder, made at first use."""
        if not self._entered:
            self._entered = True
            self.folder.__enter__()
        return self.folder

    def close(self) -> None:
        """Deletes the private folder."""
        if self._entered:
            self._entered = False
            self.folder.__exit__(None, None, None)

    def _together(self, batches: Sequence[Batch], run: StepRun) -> dict[str, Staged | Waiting | Failure]:
        self._calls += 1
        cleaner = Cleaner(self._contract, self._platform.landing, self._platform.vault)
        with self._platform.engines.engine("intake").tagged(run.session, run.run_id, self._contract.key):
            done = cleaner.clean(batches, run, self.enter(), f"intake{self._calls}")
        files = files_of(self._platform.lake.root)
        for each in done.values():
            files.make_folder(each.staged.path)  # an hour without rows is a folder without files
        self.cleaned |= done
        return {key: each.staged for key, each in done.items()}

    def _is_whole(self, segment: Segment) -> bool:
        try:
            return Path(self._platform.landing.path(segment.path)).stat().st_size == segment.size
        except OSError:
            return False
