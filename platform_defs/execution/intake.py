"""The compute step of an event type: which landing segments an hour is made of, whether it may be built from them, and the late lane.

How lines become rows is in cleaning and in_process, how they join what is published in continuing. Judging and publishing are building's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from platform_defs.contracts.contract import Contract
from platform_defs.execution.batches import Batch, Cleaned, SegmentDamaged
from platform_defs.execution.cleaning import Cleaner
from platform_defs.execution.continuing import LATE, Continuation, Hour, hour_of
from platform_defs.execution.failures import kind_of
from platform_defs.execution.in_process import InProcess
from platform_defs.execution.platform import Platform, Work
from platform_defs.execution.results import Failure, FailureKind
from platform_defs.execution.steps import Planned, Read, Staged, StepRun, Waiting
from platform_defs.execution.withheld import RunLog
from platform_defs.lake.engine import Zone
from platform_defs.lake.files import files_of
from platform_defs.lake.landing import LandingStore, Segment
from platform_defs.lake.staging import staged_files
from platform_defs.lake.tables import publish
from platform_defs.ledger.landing import SegmentRow
from platform_defs.planning.closing import closing
from platform_defs.planning.digest import segments_digest
from platform_defs.planning.facts import Published
from platform_defs.planning.lateness import awaits_reopening, is_parked, reopening_pins
from platform_defs.planning.seals import is_unread, seals_pin
from platform_defs.privacy.pseudonyms import PrivateFolder
from platform_defs.privacy.workers import Deriver

FUNCTION = "intake"


class IntakeStep:
    """Takes landed events in."""

    zone: Zone = "intake"

    def __init__(self, work: Work, platform: Platform) -> None:
        self._work, self._platform = work, platform
        self._contract: Contract = work.declared.contract
        self._taking = Taking(self._contract, platform, work.run_id, FUNCTION)
        self._batches: dict[str, Batch] = {}
        self._hours: dict[str, Hour] = {}

    def plan(self, keys: Sequence[str]) -> Mapping[str, Planned | Waiting | Failure]:
        """The segments of each hour; waiting while a first build would miss some.

        An hour that was published, and of whose segments some no longer exist, is continued by what is new, if anything is, and refused otherwise.
        """
        ledger, event = self._platform.ledger, self._contract.key
        segments, expired = ledger.landing.segments(event, keys), ledger.landing.expired(event, keys)
        published, receivers = ledger.partitions.published(event, keys), ledger.landing.receivers()
        reopened = ledger.reopenings.of(event, keys)
        now = self._platform.clock()
        hold = self._contract.lateness.hold_seconds if self._contract.lateness else None
        plans: dict[str, Planned | Waiting | Failure] = {}
        for key in keys:
            without: tuple[str, ...] = ()
            version, at = published.get(key), reopened.get(key)
            self._hours.pop(key, None)
            if version is None:
                state = closing(key, now, receivers, hold)
                if not state.closed:
                    plans[key] = Waiting(key, state.waits_for or (f"{event} {key}",), state.words)
                    continue
                without = state.without
            rows = segments[key]
            batch = self._batch(key, rows, version, at)
            gone = self._taking.gone(batch, version, expired=key in expired)
            if gone is not None and version is not None and version.counts is not None:
                plans[key] = self._continued(key, rows, version, at, gone)
            else:
                self._batches[key] = batch
                plans[key] = gone or self._whole(batch, rows, version, at, without)
        return plans

    def compute(self, planned: Sequence[Planned], run: StepRun) -> Mapping[str, Staged | Waiting | Failure]:
        """All new segments; each hour fails by itself. Then what continues a published hour, joined to it."""
        answers = self._taking.staged([self._batches[each.key] for each in planned], run)
        for key, hour in self._hours.items():
            if isinstance(answers.get(key), Staged):
                answers[key] = self._joined(hour, run)
        return answers

    def published(self, keys: Sequence[str], run: StepRun) -> Mapping[str, Mapping[str, str]]:
        """Puts the parked rows of these hours into the late lane, replacing what was there: a repeated run changes nothing, a reopened hour has none.

        The lane's version is kept beside the hours': rows that were taken in are not found again by a run that comes after one that died here.
        """
        parked = {key: path for key in keys if (path := self._taking.cleaned[key].late_path) is not None}
        if not parked:
            return {}
        staged = {key: files for key, path in parked.items() if (files := staged_files(path))}  # none where no row of the hour was good
        turn = partial(self._platform.ledger.turns.at, self._contract.key)
        done = publish(self._platform.lake, self._contract, "late", staged, list(parked), run.run_id, run.fence, turn=turn)
        return {key: {LATE: str(done.version)} for key in parked}

    def close(self) -> None:
        """Deletes the private files."""
        self._taking.close()

    def _batch(self, key: str, rows: Sequence[SegmentRow], version: Published | None, reopened: datetime | None) -> Batch:
        first, lateness = version.first_built_at if version else None, self._contract.lateness
        parked = {row.segment.path for row in rows if lateness is not None and is_parked(lateness, first, row.sealed_at, reopened)}
        late = {row.segment.path for row in rows if first is not None and row.sealed_at > first}
        return Batch(key, tuple(row.segment for row in rows), frozenset(late), frozenset(parked), reopened is not None)

    def _whole(self, batch: Batch, rows: Sequence[SegmentRow], version: Published | None, reopened: datetime | None, without: tuple[str, ...]) -> Planned:
        """An hour that is built from all its segments. Reopened it is another hour than before, though they are the same."""
        pins = reopening_pins(reopened)
        segments = [(segment.path, segment.sha256) for segment in batch.segments]
        planned = self._taking.planned(batch, without, segments_digest([*segments, *pins.items()]))
        return replace(planned, pins=_beside(rows, version, pins))

    def _continued(self, key: str, rows: Sequence[SegmentRow], version: Published, reopened: datetime | None, gone: Failure) -> Planned | Failure:
        """An hour that cannot be built from its segments: what no build has read yet joins what is published, and so do its parked rows once reopened."""
        new = [row for row in rows if is_unread(version, row.receiver, row.seal, row.sealed_at)]
        admits = awaits_reopening(version, reopened)
        batch = replace(self._batch(key, new, version, reopened), reopened=admits)
        if self._taking.gone(batch, None, expired=False) is not None:
            return gone
        hour = hour_of(self._platform, self._contract, key, version, admits=admits)
        self._batches[key], self._hours[key] = batch, hour
        pins = reopening_pins(reopened)
        fresh = [(row.segment.path, row.segment.sha256) for row in new]
        digest = segments_digest([("continued", version.inputs.hex()), *fresh, *pins.items()]) if new or admits else version.inputs
        planned = self._taking.planned(batch, digest=digest)
        return replace(
            planned,
            reads=(*planned.reads, Read(self._contract.key, (key,), hour.table)),
            pins=_beside(rows, version, pins),
            rows_in=version.rows + (planned.rows_in or 0) + (version.counts.parked if version.counts else 0),
            code=version.code,
            refusal=None if new or admits else gone,
        )

    def _joined(self, hour: Hour, run: StepRun) -> Staged | Failure:
        taken, engine = self._taking.cleaned, self._platform.engines.engine(self.zone)
        try:
            with engine.tagged(run.session, run.run_id, self._contract.key, hour.key):
                taken[hour.key] = Continuation(self._contract, self._platform, run).staged(hour, self._batches[hour.key], taken[hour.key])
        except Exception as error:  # noqa: BLE001 - its text may quote a row
            failure = self._taking.failure(hour.key, error)
            if failure.kind is not FailureKind.RAISED:
                return failure
            why = f"segments of it are gone, and version {hour.table} of its table, from which its rows would be taken, could not be read: it {failure.why}"
            return replace(failure, kind=FailureKind.SEGMENTS_GONE, why=why)
        return taken[hour.key].staged


def _beside(rows: Sequence[SegmentRow], version: Published | None, reopening: Mapping[str, str]) -> dict[str, str]:
    """What is kept beside an hour's version: the seals it has read, where its parked rows are, which reopening it has taken up."""
    late = {LATE: version.pins[LATE]} if version is not None and LATE in version.pins else {}
    return {**seals_pin(((row.receiver, row.seal) for row in rows), version), **late, **reopening}


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

    def gone(self, batch: Batch, before: Published | None, *, expired: bool) -> Failure | None:
        """A refusal if not every segment of the partition is as it was sealed: a part of it must not be published as the whole.

        Args:
            before: what is published of it, made of so many rows. expired: segments are known to be gone.
        """
        lost = sum(1 for segment in batch.segments if not self._is_whole(segment))
        known = before.counts.landed if before is not None and before.counts is not None else 0
        landed = sum(segment.rows for segment in batch.segments)
        if lost:
            why = f"{lost} of its {len(batch.segments)} segments are missing or cut off"
        elif expired:
            why = "some of its segments are past the landing's retention"
        elif known > landed:
            why = f"it was built from {known} rows, of which the ledger finds {landed} in landing"
        else:
            return None
        action = "The published version stays. Restore them (`landing` in Backline's home) and build the partition again, or leave it as it is"
        return Failure(FailureKind.SEGMENTS_GONE, self._contract.key, self._function, batch.key, why, action)

    def staged(self, batches: Sequence[Batch], run: StepRun) -> dict[str, Staged | Waiting | Failure]:
        """The partitions, staged or failed: in this process those that fit, by Spark the others. What is raised in here is answered without its text."""
        here = InProcess(*self._parts, self._platform.memory)
        small, large = list[Batch](), list[Batch]()
        for batch in batches:
            (small if here.fits(batch) else large).append(batch)
        return {**self._here(here, small, run), **(self._by_spark(large, run) if large else {})}

    def _here(self, here: InProcess, batches: Sequence[Batch], run: StepRun) -> dict[str, Staged | Waiting | Failure]:
        done = here.clean(batches, run, self._next_name())
        return {key: self.failure(key, each) if isinstance(each, Exception) else self._taken(key, each) for key, each in done.items()}

    def _by_spark(self, batches: Sequence[Batch], run: StepRun) -> dict[str, Staged | Waiting | Failure]:
        """All in one job, one by one if that fails."""
        try:
            with self._platform.engines.engine("intake").tagged(run.session, run.run_id, self._contract.key):
                done = Cleaner(*self._parts).clean(batches, run, self.enter(), self._next_name())
            return {key: self._taken(key, each) for key, each in done.items()}
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may quote a row and must not get further
            # A disk that is full, an engine that is gone, or a session that was interrupted, fails every partition: nothing is gained by trying each.
            if len(batches) == 1 or kind_of(error) in (FailureKind.DISK, FailureKind.ENGINE, FailureKind.INTERRUPTED):
                return {batch.key: self.failure(batch.key, error) for batch in batches}
            self.log.keep(error, f"{self._contract.key}, {len(batches)} partitions at once; each is tried by itself")
        answers: dict[str, Staged | Waiting | Failure] = {}
        for batch in batches:
            answers |= self._by_spark([batch], run)
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

    @property
    def _parts(self) -> tuple[Contract, LandingStore, Deriver | None]:
        return self._contract, self._platform.landing, self._platform.deriver

    def _next_name(self) -> str:
        self._calls += 1
        return f"intake{self._calls}"

    def _taken(self, key: str, done: Cleaned) -> Staged:
        self.cleaned[key] = replace(done, staged=self._there(done.staged))
        return self.cleaned[key].staged

    def _there(self, staged: Staged) -> Staged:
        """The partition as it lies there: an hour without rows is a folder without files, and mostly no row is bad."""
        files = files_of(self._platform.lake.root)
        files.make_folder(staged.path)
        return staged if staged.bad is not None and files.names(staged.bad) else replace(staged, bad=None, has_failed=False, has_origin=False)

    def _is_whole(self, segment: Segment) -> bool:
        try:
            return Path(self._platform.landing.path(segment.path)).stat().st_size == segment.size
        except OSError:
            return False
