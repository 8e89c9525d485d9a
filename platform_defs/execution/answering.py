"""What a build answers on each of its partitions, and what of that the ledger is told, and when. Nothing is decided or built here.

What happens under a lease is told under its fence; what needed none (skipped, waiting, failed before anything was published) at the end of the build.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from platform_defs.execution.platform import Platform, Work
from platform_defs.execution.publishing import Judged
from platform_defs.execution.results import Failure, OutcomeName, PartitionResult, Scalar
from platform_defs.execution.steps import Planned, Waiting
from platform_defs.ledger.leases import Fence
from platform_defs.ledger.outcomes import Outcome, RunInfo
from platform_defs.planning.facts import Published


class Answers:
    """The answers of one build.

    Attributes:
        began: when the build did.
        results: the latest answer on each partition.
    """

    def __init__(self, work: Work, platform: Platform) -> None:
        self._work, self._platform, self._contract = work, platform, work.declared.contract
        self.began = platform.clock()
        self.results: dict[str, PartitionResult] = {}
        self._untold: list[Outcome] = []

    def pass_over(self, key: str, why: str) -> None:
        """A partition that is none of the endpoint's, before its start or past its retention: the ledger is not told."""
        self.results[key] = _result(key, "skipped", why)

    def spare(self, key: str, why: str, version: Published) -> None:
        """A partition nobody looked at; its published version stays, and the ledger is not told."""
        self.results[key] = self._left(key, why, version)

    def skip(self, key: str, why: str, version: Published) -> None:
        """A partition that was looked at and whose published version stays."""
        self._answer(self._left(key, why, version), None)

    def wait(self, plan: Waiting) -> None:
        """A partition that cannot be built yet."""
        result = _result(plan.key, "waiting", plan.why)
        self._answer(replace(result, waiting_for=plan.inputs, retry_seconds=plan.retry_seconds), None)

    def fail(self, key: str, failure: Failure, planned: Planned | None, tell: bool = True) -> None:
        """A partition that failed before anything of it was judged. `tell`: whether the ledger hears of it."""
        self._answer(replace(_result(key, "failed", failure.why), failure=failure), planned, tell)

    def settle(
        self,
        fence: Fence,
        planned: Mapping[str, Planned],
        judged: Mapping[str, Judged],
        published: Mapping[str, Published],
        failed: Mapping[str, Failure],
        share: float,
    ) -> None:
        """What was judged, told under the fence.

        Args:
            failed: why what was judged good was not published after all.
            share: seconds of the build that are nobody's own, for each partition.

        Raises:
            FenceLost: a newer run decides; nothing was told.
        """
        # What was not even staged is told under the fence too: later, another run may have published it.
        outcomes = [each for each in self._untold if each.partition in planned]
        self._untold = [each for each in self._untold if each.partition not in planned]
        results: list[PartitionResult] = []
        for key, each in judged.items():
            failure = failed.get(key) or each.failure
            version = published.get(key)
            seconds = each.staged.seconds + share
            name: OutcomeName = "published" if failure is None else "refused" if each.refused and key not in failed else "failed"
            result = _result(
                key, name, "" if failure is None else failure.why, rows=each.found.rows, version=version.version if version else None, seconds=seconds
            )  # fmt: skip
            metadata = {**self._metadata(each.planned.pins, self._work.run_id), **each.staged.notes}
            counts = {**each.counts, "quarantined": each.found.quarantined}
            results.append(replace(result, checks=each.checks, counts=counts, metadata=metadata, failure=failure))
            if self._told_of(results[-1]):
                outcomes.append(self._outcome(results[-1], planned[key], version))
        self._platform.ledger.partitions.record(outcomes, self._run_info(), [fence])
        self.results.update({result.key: result for result in results})

    def tell(self) -> None:
        """Tells the ledger what was answered without a lease."""
        last = {outcome.partition: outcome for outcome in self._untold if self.results[outcome.partition].outcome == outcome.state}
        self._untold = []
        if last:
            self._platform.ledger.partitions.record(list(last.values()), self._run_info())

    def _answer(self, result: PartitionResult, planned: Planned | None, tell: bool = True) -> None:
        self.results[result.key] = result
        if tell and self._told_of(result):
            self._untold.append(self._outcome(result, planned, None))

    def _told_of(self, result: PartitionResult) -> bool:
        """Whether the ledger hears of it. Of an import only what came in: what did not leaves the partition as it was, and nobody is to try it again."""
        return self._work.origin == "built" or result.outcome == "published"

    def _left(self, key: str, why: str, version: Published) -> PartitionResult:
        counts = {name: getattr(version.counts, name) for name in version.counts.__slots__} if version.counts else {}
        result = _result(key, "skipped", why, rows=version.rows, version=version.version)
        return replace(result, counts=counts, metadata=self._metadata(version.pins, version.run_id))

    def _outcome(self, result: PartitionResult, planned: Planned | None, version: Published | None) -> Outcome:
        retry = None if result.retry_seconds is None else self._platform.clock() + timedelta(seconds=result.retry_seconds)
        return Outcome(
            endpoint=self._contract.key,
            partition=result.key,
            state=result.outcome,
            reason=(result.failure.remembered if result.failure else result.reason) or result.warned or None,
            kind=result.failure.kind.value if result.failure else None,
            published=version,
            inputs=planned.digest if planned else None,
            code=self._contract.code_version,
            lasting=result.failure.lasting if result.failure else False,
            retry_at=retry,
            checks_passed=sum(check.passed for check in result.checks),
            checks_failed=sum(not check.passed for check in result.checks),
            seconds=result.seconds,
            rows_in=planned.rows_in if planned else None,
            bytes_in=planned.bytes_in if planned else None,
            rows_out=result.rows if result.outcome in ("published", "refused") else None,
        )

    def _run_info(self) -> RunInfo:
        work = self._work
        return RunInfo(work.run_id, work.trigger, self.began, self._platform.clock(), work.caused_by, work.request_id)

    def _metadata(self, pins: Mapping[str, str], run_id: str) -> dict[str, Scalar]:
        params = {item.param for item in self._contract.inputs}
        return {"table": self._contract.table, "built by": run_id, **{f"{param} as of": key for param, key in pins.items() if param in params}}


def _result(key: str, outcome: OutcomeName, reason: str, *, rows: int = 0, version: int | None = None, seconds: float = 0.0) -> PartitionResult:
    return PartitionResult(key, outcome, rows, reason, (), {}, version, seconds, {})
