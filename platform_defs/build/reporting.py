"""What a build answered, as what Dagster is told. Pure: results in, a `Report` out; the asset's body only passes it on.

The rules (DESIGN 6, "Range runs"): if every partition is good, each gets its metadata and one output materialises them all. If some are not, the good
ones are materialised one by one and the run fails, without retries: the page shows 45 good and 3 failed, and running it again from failure rebuilds the 3.
A source whose vendor is not ready yet has not failed: the run ends well without a materialisation of that day, and the planner looks again by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from platform_defs.contracts.contract import Contract
from platform_defs.execution.results import CheckResult, PartitionResult, Scalar, Severity

# What one failure message spells out; the rest is counted. All of them are in the failure's table.
_SPELLED = 10
_TABLED = 100

ROW_COUNT = "dagster/partition_row_count"


@dataclass(frozen=True)
class Evaluation:
    """One verdict of one check.

    Attributes:
        partition: the partition judged; None for the summary over all of the run.
    """

    check: str
    partition: str | None
    passed: bool
    severity: Severity
    description: str
    metadata: Mapping[str, Scalar]


@dataclass(frozen=True)
class Trouble:
    """Why the step fails.

    Attributes:
        description: what happened and what to do, in lines.
        table: a row per partition that is not good: partition, outcome, why, action.
        details: partition -> more to read (tracebacks of endpoint code).
    """

    description: str
    table: tuple[Mapping[str, str], ...]
    details: Mapping[str, str]


@dataclass(frozen=True)
class Report:
    """All that Dagster is told of one asset in one run.

    Attributes:
        materialised: metadata of each good partition, in key order.
        evaluations: verdicts of single partitions, then one summary per check.
        complete: whether every partition is good: only then does one output stand for all.
        trouble: None when nothing failed: every partition is good, or the source is only not ready.
        line: the whole in one line, for the run's log.
    """

    materialised: Mapping[str, Mapping[str, Scalar]]
    evaluations: tuple[Evaluation, ...]
    complete: bool
    trouble: Trouble | None
    line: str

    @property
    def of_partitions(self) -> tuple[Evaluation, ...]:
        """The verdicts of single partitions."""
        return tuple(one for one in self.evaluations if one.partition is not None)

    @property
    def summaries(self) -> tuple[Evaluation, ...]:
        """One verdict per check over the whole run."""
        return tuple(one for one in self.evaluations if one.partition is None)


def unjudged(results: Iterable[PartitionResult]) -> list[str]:
    """Partitions that are good and were not judged in this build: found current. Their earlier verdicts still hold."""
    return sorted(result.key for result in results if result.good and not result.checks)


def report(
    contract: Contract, checks: Sequence[str], results: Iterable[PartitionResult], earlier: Iterable[Evaluation] = (), beside: Iterable[Evaluation] = ()
) -> Report:
    """Translates the results of one build.

    Args:
        checks: the asset's declared checks: each gets a summary, and no other is reported.
        earlier: verdicts of earlier builds on what is `unjudged`, told again: a new materialisation without them would hide a warning.
        beside: verdicts on these partitions that the build itself does not know.
    """
    ordered = sorted(results, key=lambda result: result.key)
    built = [result.seconds for result in ordered if result.outcome in ("published", "refused")]
    typical = round(median(built), 3) if built else None
    good = {result.key: _metadata(result, typical) for result in ordered if result.good}
    missing = [result for result in ordered if not result.good]
    patient = [result for result in missing if contract.kind == "source" and result.outcome == "waiting"]
    bad = [result for result in missing if result not in patient]
    now = [
        Evaluation(check.name, result.key, check.passed, check.severity, check.description, _verdict_metadata(check))
        for result in ordered
        for check in result.checks
        if check.name in checks
    ]
    current = set(unjudged(ordered))
    before = [one for one in earlier if one.partition in current and one.check in checks]
    single = tuple(sorted([*now, *before, *beside], key=lambda one: one.partition or ""))
    return Report(
        materialised=good,
        evaluations=(*single, *(_summary(name, [one for one in single if one.check == name], len(ordered)) for name in checks)),
        complete=not missing,
        trouble=_trouble(contract, ordered, bad) if bad else None,
        line=f"{contract.key}: {_outcomes(ordered)}; {sum(result.rows for result in ordered if result.outcome == 'published')} rows published"
        + "".join(f"; {result.key} {why(result)}" for result in patient[:_SPELLED]),
    )


def _metadata(result: PartitionResult, typical: float | None) -> dict[str, Scalar]:
    said: dict[str, Scalar] = {ROW_COUNT: result.rows, "seconds": round(result.seconds, 3)}
    if typical is not None:
        said["median seconds a partition"] = typical
    if result.version is not None:
        said["version"] = result.version
    said.update(result.counts)
    said.update(result.metadata)
    if result.outcome == "skipped":
        said["skipped"] = True
    if result.reason:
        said["reason"] = result.reason
    return said


def _verdict_metadata(check: CheckResult) -> dict[str, Scalar]:
    return dict(check.metadata) if check.failed_rows is None else {**check.metadata, "failed rows": check.failed_rows}


def _summary(name: str, verdicts: Sequence[Evaluation], partitions: int) -> Evaluation:
    failed = [one for one in verdicts if not one.passed]
    numbers: dict[str, Scalar] = {"partitions": partitions, "judged": len(verdicts), "failed": len(failed)}
    if partitions == len(verdicts) == 1:
        # Dagster shows the summary of one partition as that partition's verdict.
        return replace(verdicts[0], partition=None, metadata={**verdicts[0].metadata, **numbers})
    if not failed:
        words = f"{_count(len(verdicts))} passed" if verdicts else "Nothing was judged: no partition was built"
        return Evaluation(name, None, True, "error", words, numbers)
    severity: Severity = "error" if any(one.severity == "error" for one in failed) else "warn"
    told = [f"{one.partition}: {one.description}" for one in failed[:_SPELLED]]
    return Evaluation(name, None, False, severity, f"{len(failed)} of {_count(len(verdicts))} failed. {_listed(told, len(failed))}", numbers)


def _trouble(contract: Contract, ordered: Sequence[PartitionResult], bad: Sequence[PartitionResult]) -> Trouble:
    told = [_words(contract, result) for result in bad[:_SPELLED]]
    return Trouble(
        description=f"{contract.key}: {len(bad)} of {_count(len(ordered))} not published ({_outcomes(bad)}).\n" + _listed(told, len(bad), "\n"),
        table=tuple(
            {
                "partition": result.key,
                "outcome": result.outcome,
                "why": why(result),
                "action": result.failure.action if result.failure else "",
            }
            for result in bad[:_TABLED]
        ),
        details={result.key: result.failure.detail for result in bad[:_TABLED] if result.failure is not None and result.failure.detail},
    )


def _words(contract: Contract, result: PartitionResult) -> str:
    if result.failure is not None:
        return result.failure.words
    return f"{contract.key} {result.key} {result.outcome}: {why(result)}"


def why(result: PartitionResult) -> str:
    """Why a partition is not good, in words."""
    if result.failure is not None:
        return result.failure.why
    if result.outcome == "waiting" and result.waiting_for:
        waits = f"waits for {', '.join(result.waiting_for)}"
        return f"{waits} ({result.reason})" if result.reason else waits
    if result.reason:
        return result.reason
    failed = [f"{check.name}: {check.description}" for check in result.checks if not check.passed and check.severity == "error"]
    return "; ".join(failed) or "no reason given"


def _outcomes(results: Sequence[PartitionResult]) -> str:
    counts = Counter(result.outcome for result in results)
    return ", ".join(f"{counts[name]} {name}" for name in ("published", "skipped", "refused", "failed", "waiting") if counts[name]) or "no partition"


def _count(number: int) -> str:
    return "1 partition" if number == 1 else f"{number} partitions"


def _listed(told: Sequence[str], total: int, between: str = "; ") -> str:
    rest = total - len(told)
    return between.join([*told, f"and {rest} more"] if rest else told)
