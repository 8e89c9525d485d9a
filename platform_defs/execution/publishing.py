"""From staged Parquet to a published version: inspect, judge, commit, record. The same for every kind of endpoint.

What is published is what was inspected: the staged files themselves, or the good rows of them. Planning, leases and computing are building's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import partition_column, shift
from platform_defs.execution.checks import VOLUME_DAYS, accounting_check, complete_check, contract_check, volume_check
from platform_defs.execution.failures import Blame
from platform_defs.execution.platform import Platform, Work
from platform_defs.execution.quality.compile import UNIQUE, Compiled
from platform_defs.execution.quality.inspect import ELSEWHERE, Inspection, inspect, of_nothing
from platform_defs.execution.results import CheckResult, Failure
from platform_defs.execution.steps import FAILED, Planned, Staged
from platform_defs.lake.columns import lanes_of, staged_ddl
from platform_defs.lake.layout import Lane
from platform_defs.lake.records import BuildRecord, PublishedPartition, RefusedPartition, write_record
from platform_defs.lake.staging import staged_files, write_parted
from platform_defs.lake.tables import publish
from platform_defs.ledger.leases import Fence
from platform_defs.planning.facts import Counts, Published

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

# Up to here one task counts them sooner than two that hand each other their sums.
_FEW_ROWS = 100_000


@dataclass(frozen=True)
class Judged:
    """A staged partition with its verdicts.

    Attributes:
        counts: accounting of an event or source; for an endpoint only what was quarantined.
        failure: why it must not be published; None if it may.
    """

    planned: Planned
    staged: Staged
    found: Inspection
    checks: tuple[CheckResult, ...]
    counts: Mapping[str, int]
    failure: Failure | None

    @property
    def refused(self) -> bool:
        """Whether its checks keep it out (rows of another partition are a failure of the function, not of a check)."""
        return self.failure is not None and not self.found.elsewhere


class Publisher:
    """Inspects, publishes and records the partitions of one build."""

    def __init__(self, work: Work, platform: Platform, compiled: Compiled, blame: Blame, session: SparkSession, rows: int | None = None) -> None:
        """`rows`: about how many are staged in all; None: nobody knows."""
        self._work, self._platform, self._compiled, self._blame, self._session = work, platform, compiled, blame, session
        self._few = rows is not None and rows <= _FEW_ROWS
        self._contract: Contract = work.declared.contract
        self._column = partition_column(self._contract.cadence)

    def judge(self, planned: Mapping[str, Planned], staged: Mapping[str, Staged]) -> tuple[dict[str, Judged], dict[str, Failure]]:
        """Verdicts on all staged partitions, in one pass; failures where the pass could not be run for one."""
        if not staged:
            return {}, {}
        found, failed = self._inspect([each for each in staged.values() if not each.empty])
        found |= {key: of_nothing(key, self._compiled) for key, each in staged.items() if each.empty}
        samples = self._samples(list(found))
        return {key: self._judged(planned[key], staged[key], each, samples[key]) for key, each in found.items()}, failed

    def commit(self, judged: Sequence[Judged], before: Mapping[str, Published], fence: Fence, guard: Callable[[], None], folder: str) -> int:
        """Publishes these partitions in one commit, their quarantined rows in another; the version that holds them.

        A partition of which nothing is quarantined is published as the very files that were inspected; of others the good rows are written once more.

        Args:
            folder: in staging, for what is written here.

        Raises FenceLost, or what Spark or the commit raises; then none of them is recorded, and the next build does it again.
        """
        contract, rows = self._contract, [each for each in judged if each.found.rows]
        whole = {each.found.key: staged_files(each.staged.path) for each in rows if _is_whole(each)}
        parted = [each for each in rows if each.found.key not in whole]
        good = self._written(parted, f"{folder}/good", lambda frame: frame.select(*self._compiled.columns, self._column), _is_good)

        def publish_lane(lane: Lane, staged: Mapping[str, Sequence[str]], keys: Sequence[str]) -> int:
            turn = partial(self._platform.ledger.turns.at, contract.key)
            return publish(self._platform.lake, contract, lane, staged, keys, self._work.run_id, fence.number, guard, turn).version

        dirty = [each for each in judged if each.found.quarantined or _had_quarantine(before.get(each.found.key))]
        dirty = dirty if "quarantine" in lanes_of(contract) else []
        bad: Mapping[str, Sequence[str]] = {}
        if dirty:
            apart = {each.found.key: staged_files(each.staged.bad) for each in dirty if each.staged.bad is not None}
            among = [each for each in dirty if each.found.quarantined and each.found.key not in apart]
            bad = apart | self._written(among, f"{folder}/bad", lambda frame: frame.drop(ELSEWHERE), lambda: ~_is_good())
        version = publish_lane("table", whole | good, [each.found.key for each in judged])
        if dirty:
            publish_lane("quarantine", bad, [each.found.key for each in dirty])
        return version

    def _written(
        self, judged: Sequence[Judged], base: str, form: Callable[[DataFrame], DataFrame], which: Callable[[], Column]
    ) -> dict[str, list[str]]:  # fmt: skip
        """Files of those of the staged rows that are `which`, in the form of a table, by partition."""
        if not judged:
            return {}
        keys = [each.found.key for each in judged]
        mine = self._frame([each.staged for each in judged]).where(F.col(self._column).isin(keys))  # a folder may hold a whole range
        marked = any(each.staged.has_failed for each in judged)
        frame = form(mine.where(which()) if marked else mine)
        return write_parted(frame.coalesce(1) if self._few else frame, self._column, keys, base)

    def record(self, good: Mapping[str, Published], refused: Sequence[Judged], fence: Fence, at: datetime) -> None:
        """Writes what was published and refused beside the lake: what the ledger is rebuilt from."""
        if not good and not refused:
            return
        write_record(
            self._platform.lake,
            BuildRecord(
                endpoint=self._contract.key,
                run_id=self._work.run_id,
                fence=fence.number,
                trigger=self._work.trigger,
                caused_by=self._work.caused_by,
                at=at,
                published=tuple(_published_record(key, each) for key, each in good.items()),
                refused=tuple(self._refused_record(each, at) for each in refused),
            ),
        )

    def version_of(self, judged: Judged, version: int, at: datetime, beside: Mapping[str, str] = MappingProxyType({})) -> Published:
        """What the ledger keeps of a published partition. `beside`: what the step says is kept beside it, over what was planned."""
        return Published(
            content=judged.found.content,
            inputs=judged.planned.digest,
            rows=judged.found.rows,
            version=version,
            code=judged.planned.code or self._contract.code_version,
            built_at=at,
            run_id=self._work.run_id,
            counts=Counts(**judged.counts) if judged.counts else None,
            pins={**judged.planned.pins, **beside},
            checks_passed=sum(check.passed for check in judged.checks),
            checks_failed=sum(not check.passed for check in judged.checks),
            origin=self._work.origin,
        )

    def _inspect(self, staged: Sequence[Staged]) -> tuple[dict[str, Inspection], dict[str, Failure]]:
        if not staged:
            return {}, {}
        try:
            return self._inspected(staged, self._frame(staged)), {}
        except Exception as error:  # noqa: BLE001 - whatever stops the pass stops it for all: the others must not pay for one
            if len(staged) == 1:
                return {}, {staged[0].key: self._blame.inspecting(staged[0].key, error)}
        found: dict[str, Inspection] = {}
        failed: dict[str, Failure] = {}
        for each in staged:
            try:
                found |= self._inspected([each], self._frame([each]).where(F.col(self._column) == each.key))
            except Exception as error:  # noqa: BLE001 - as above, and now it is this one's
                failed[each.key] = self._blame.inspecting(each.key, error)
        return found, failed

    def _inspected(self, staged: Sequence[Staged], frame: DataFrame) -> dict[str, Inspection]:
        # In one task few rows are counted without a shuffle, which takes longer than to count them.
        frame = frame.coalesce(1) if self._few else frame
        return inspect(frame, self._compiled, self._column, [each.key for each in staged], alone=_is_alone(staged))

    def _frame(self, staged: Sequence[Staged]) -> DataFrame:
        """The staged rows of these partitions, by the contract's types."""
        failed, origin = any(each.has_failed for each in staged), any(each.has_origin for each in staged)
        ddl = staged_ddl(self._contract, failed=failed, origin=origin)
        frame = self._session.read.schema(f"{ddl}, {ELSEWHERE} BOOLEAN").parquet(
            *dict.fromkeys(path for each in staged for path in (each.path, each.bad) if path is not None)
        )
        # A partition by itself: its key is not read for every row, nor are rows sorted by it before they are written.
        return frame.withColumn(self._column, F.lit(staged[0].key)) if _is_alone(staged) else frame

    def _judged(self, planned: Planned, staged: Staged, found: Inspection, samples: Sequence[int]) -> Judged:
        counts = self._counts(staged, found)
        checks = [contract_check(found), volume_check(found.rows, samples)]
        if self._contract.kind != "endpoint":
            checks.append(accounting_check(counts))
        checks.append(complete_check(planned.missing, len(planned.reads)))
        failure: Failure | None = None
        if found.elsewhere:
            failure = self._blame.elsewhere(found.key, self._column, found.elsewhere)
        elif any(not check.passed and check.severity == "error" for check in checks):
            repeated = any(breach.check == UNIQUE for breach in found.breaches)
            failure = self._blame.refused(found.key, checks, self._contract.unique, repeated)
        return Judged(planned, staged, found, tuple(checks), counts, failure)

    def _counts(self, staged: Staged, found: Inspection) -> dict[str, int]:
        sides = {"good": found.rows, "quarantined": found.quarantined}
        if self._contract.kind != "endpoint":
            return {**staged.counts, **sides}
        return {"landed": found.rows + found.quarantined, **sides} if found.quarantined else {}

    def _samples(self, keys: Sequence[str]) -> dict[str, list[int]]:
        """Rows of the same hour of day on the days before, as far as published."""
        stride = 24 if self._contract.cadence == "hourly" else 1
        earlier = {key: [shift(key, -stride * days) for days in range(1, VOLUME_DAYS + 1)] for key in keys}
        counts = self._platform.ledger.partitions.row_counts(self._contract.key, sorted({each for days in earlier.values() for each in days}))
        return {key: [counts[each] for each in days if each in counts] for key, days in earlier.items()}

    def _refused_record(self, judged: Judged, at: datetime) -> RefusedPartition:
        assert judged.failure is not None
        return RefusedPartition(
            key=judged.found.key,
            reason=judged.failure.why,
            inputs=judged.planned.digest.hex(),
            code=self._contract.code_version,
            at=at,
            checks_passed=sum(check.passed for check in judged.checks),
            checks_failed=sum(not check.passed for check in judged.checks),
        )


def _published_record(key: str, version: Published) -> PublishedPartition:
    counts = version.counts
    return PublishedPartition(
        key=key,
        content=version.content.hex(),
        inputs=version.inputs.hex(),
        rows=version.rows,
        version=version.version,
        code=version.code,
        built_at=version.built_at,
        counts=None if counts is None else {name: getattr(counts, name) for name in counts.__slots__},
        pins=dict(version.pins),
        checks_passed=version.checks_passed,
        checks_failed=version.checks_failed,
        origin=version.origin,
    )


def _is_alone(staged: Sequence[Staged]) -> bool:
    """Whether this is one partition in a folder that holds no other's rows."""
    return len(staged) == 1 and staged[0].alone


def _is_whole(judged: Judged) -> bool:
    """Whether its staged files hold the rows that are to be published, and no other."""
    return judged.staged.alone and (judged.staged.bad is not None or not judged.found.quarantined)


def _had_quarantine(version: Published | None) -> bool:
    return version is not None and version.counts is not None and version.counts.quarantined > 0


def _is_good() -> Column:
    """Of a staged row: no rule was broken."""
    return F.col(FAILED).isNull() | (F.size(F.col(FAILED)) == 0)
