"""What Dagster is told: all good in one go, some bad one by one with a failure that names them, summaries that cannot hide a bad partition."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from platform_defs.build.reporting import ROW_COUNT, Evaluation, report, unjudged
from platform_defs.execution.results import CheckResult, Failure, FailureKind, PartitionResult
from tests.unit.build.contracts import contract

CHECKS = ("contract", "volume")
C = contract("charts/skip_rate")


def check(name: str, passed: bool = True, severity: Any = "error") -> CheckResult:
    return CheckResult(name, passed, severity, None if passed else 3, f"{name} {'holds' if passed else 'fails'}")


def result(key: str, outcome: Any = "published", **given: Any) -> PartitionResult:
    values: dict[str, Any] = {
        "rows": 5,
        "reason": "",
        "checks": (check("contract"), check("volume")),
        "counts": {},
        "version": 4,
        "seconds": 1.0,
        "metadata": {},
    }
    return PartitionResult(key=key, outcome=outcome, **{**values, **given})


def test_all_good() -> None:
    told = report(C, CHECKS, [result("2026-01-01T01", seconds=3.0), result("2026-01-01T00", counts={"landed": 6}, seconds=1.0)])
    assert told.trouble is None
    assert list(told.materialised) == ["2026-01-01T00", "2026-01-01T01"]
    assert told.materialised["2026-01-01T00"] == {ROW_COUNT: 5, "seconds": 1.0, "median seconds a partition": 2.0, "version": 4, "landed": 6}
    assert [(one.check, one.partition, one.passed) for one in told.summaries] == [("contract", None, True), ("volume", None, True)]
    assert told.line == "charts/skip_rate: 2 published; 10 rows published"


def test_a_source_that_is_not_ready_has_not_failed() -> None:
    source = contract("charts/vendor", "daily", kind="source")
    late = result("2026-01-02", "waiting", checks=(), rows=0, reason="charts/2026/01/02.csv.gz is not there yet")
    told = report(source, CHECKS, [result("2026-01-01"), late])
    assert told.trouble is None
    assert not told.complete
    assert list(told.materialised) == ["2026-01-01"]
    assert told.line.endswith("2026-01-02 charts/2026/01/02.csv.gz is not there yet")
    broken = report(source, CHECKS, [late, result("2026-01-03", "failed", checks=())])
    assert broken.trouble is not None
    assert [row["partition"] for row in broken.trouble.table] == ["2026-01-03"]
    assert report(C, CHECKS, [late]).trouble is not None  # an endpoint that a person builds before its inputs are there


def test_skipped_partitions_keep_their_metadata_and_say_so() -> None:
    told = report(C, CHECKS, [result("2026-01-01T00", "skipped", checks=(), seconds=0.0, reason="current", metadata={"run": "r1"})])
    assert told.trouble is None
    assert told.materialised["2026-01-01T00"] == {ROW_COUNT: 5, "seconds": 0.0, "version": 4, "run": "r1", "skipped": True, "reason": "current"}
    assert all(one.passed for one in told.summaries)
    assert not told.of_partitions


def test_what_is_current_keeps_its_earlier_verdicts() -> None:
    """A partition judged anew, or refused, does not get an old verdict."""
    current, judged = result("2026-01-01T00", "skipped", checks=()), result("2026-01-01T01")
    old = [Evaluation("volume", key, False, "warn", "few rows", {"failed rows": 1}) for key in ("2026-01-01T00", "2026-01-01T01")]
    results = [current, judged, result("2026-01-01T02", "failed", checks=())]
    assert unjudged(results) == ["2026-01-01T00"]
    told = report(C, CHECKS, results, [*old, Evaluation("other", "2026-01-01T00", False, "warn", "", {})])
    assert [one for one in told.of_partitions if not one.passed] == [old[0]]
    (volume,) = [one for one in told.summaries if one.check == "volume"]
    assert (volume.passed, volume.severity) == (False, "warn")
    assert "1 of 2 partitions failed. 2026-01-01T00: few rows" in volume.description


def test_a_refused_hour_among_good_ones() -> None:
    bad = result("2026-01-01T01", "refused", checks=(check("contract", False), check("volume")))
    told = report(C, CHECKS, [result("2026-01-01T00"), bad, result("2026-01-01T02")])
    assert list(told.materialised) == ["2026-01-01T00", "2026-01-01T02"]
    assert told.trouble is not None
    assert "1 of 3 partitions not published (1 refused)" in told.trouble.description
    assert "2026-01-01T01 refused: contract: contract fails" in told.trouble.description
    assert told.trouble.table == ({"partition": "2026-01-01T01", "outcome": "refused", "why": "contract: contract fails", "action": ""},)
    (summary,) = [one for one in told.summaries if one.check == "contract"]
    assert (summary.passed, summary.severity, summary.metadata["failed"]) == (False, "error", 1)
    assert "2026-01-01T01" in summary.description
    assert next(one for one in told.of_partitions if not one.passed).metadata == {"failed rows": 3}


def test_a_failure_says_what_to_do_and_keeps_its_detail() -> None:
    failure = Failure(
        FailureKind.RAISED, "charts/skip_rate", "assets.charts.listening.skip_rate", "2026-01-01T00", "it raised KeyError", "Mend it", "Traceback"
    )
    told = report(C, CHECKS, [result("2026-01-01T00", "failed", checks=(), failure=failure, version=None)])
    assert told.trouble is not None
    assert "it raised KeyError. Mend it" in told.trouble.description
    assert told.trouble.details == {"2026-01-01T00": "Traceback"}
    assert told.trouble.table[0]["action"] == "Mend it"


def test_waiting_names_what_it_waits_for() -> None:
    told = report(C, CHECKS, [result("2026-01-01T00", "waiting", checks=(), waiting_for=("listening/track_played 2026-01-01T01",), reason="the hour is open")])
    assert told.trouble is not None
    assert "waits for listening/track_played 2026-01-01T01 (the hour is open)" in told.trouble.description


def test_a_warning_does_not_fail_the_run() -> None:
    told = report(C, CHECKS, [result("2026-01-01T00", checks=(check("contract"), check("volume", False, "warn")))])
    assert told.trouble is None
    assert [(one.check, one.passed, one.severity) for one in told.summaries] == [("contract", True, "error"), ("volume", False, "warn")]


def test_undeclared_checks_are_not_reported() -> None:
    assert {one.check for one in report(C, CHECKS, [result("2026-01-01T00", checks=(check("other"),))]).evaluations} == set(CHECKS)


outcomes = st.lists(st.sampled_from(["published", "skipped", "refused", "failed", "waiting"]), min_size=1, max_size=72)


@given(outcomes)
def test_every_partition_is_either_materialised_or_named(given_outcomes: list[str]) -> None:
    results = [result(f"2026-01-{1 + n // 24:02}T{n % 24:02}", outcome) for n, outcome in enumerate(given_outcomes)]
    told = report(C, CHECKS, results)
    bad = {one.key for one in results if not one.good}
    assert set(told.materialised) == {one.key for one in results} - bad
    assert (told.trouble is None) == (not bad)
    if told.trouble is not None:
        assert {row["partition"] for row in told.trouble.table} == bad
        assert told.trouble.description.count("\n") <= 11
    assert [one.check for one in told.summaries] == list(CHECKS)


def test_verdicts_from_beside_the_build_are_summed_up_with_the_others() -> None:
    late = Evaluation("on_time", "2026-01-01T01", False, "warn", "came 2 h late", {"seconds to spare": -7200})
    good = Evaluation("on_time", "2026-01-01T00", True, "warn", "there 1 h before its deadline", {"seconds to spare": 3600})
    told = report(C, (*CHECKS, "on_time"), [result("2026-01-01T00"), result("2026-01-01T01", "skipped", checks=())], beside=[late, good])
    assert [(one.partition, one.passed) for one in told.of_partitions if one.check == "on_time"] == [("2026-01-01T00", True), ("2026-01-01T01", False)]
    (summary,) = [one for one in told.summaries if one.check == "on_time"]
    assert (summary.passed, summary.severity, summary.description) == (False, "warn", "1 of 2 partitions failed. 2026-01-01T01: came 2 h late")


def test_the_summary_of_one_partition_is_its_verdict() -> None:
    """Dagster shows it in place of the verdict where a run has one partition."""
    told = report(C, CHECKS, [result("2026-01-01T00", "refused", checks=(check("contract", passed=False), check("volume")))])
    (contract_,) = [one for one in told.summaries if one.check == "contract"]
    assert (contract_.partition, contract_.passed, contract_.description) == (None, False, "contract fails")
    assert contract_.metadata == {"failed rows": 3, "partitions": 1, "judged": 1, "failed": 1}
