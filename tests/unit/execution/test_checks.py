"""Verdicts from numbers: contract, volume, accounting, complete."""

from __future__ import annotations

import json

import pytest

from platform_defs.execution.checks import accounting_check, as_pandera, complete_check, contract_check, volume_check
from platform_defs.execution.quality.inspect import Breach, Inspection

NULLS = Breach("plays", "not_nullable", "not_nullable", 2, True)
RANGE = Breach("plays", "greater_than_or_equal_to", "greater_than_or_equal_to(0)", 3, True)
WARNED = Breach("starts", "less_than", "less_than(10)", 7, False)
KEY = Breach(None, "unique", "unique(track_id)", 1, True)


def found(*breaches: Breach, rows: int = 10, quarantined: dict[str, int] | None = None) -> Inspection:
    taken = quarantined or {}
    return Inspection("2026-10-01T00", rows, sum(taken.values()), b"", taken, breaches)


def test_a_contract_that_holds() -> None:
    check = contract_check(found())
    assert (check.passed, check.failed_rows, check.description) == (True, 0, "10 rows hold it")


def test_breaches_are_named_by_column_check_and_count() -> None:
    check = contract_check(found(NULLS, RANGE, KEY))
    assert (check.passed, check.severity, check.failed_rows) == (False, "error", 3)
    assert check.description == "plays: not_nullable: 2 rows; plays: greater_than_or_equal_to(0): 3 rows; unique(track_id): 1 key more than once"


def test_warnings_alone_do_not_refuse_and_do_not_hide_what_does() -> None:
    assert contract_check(found(WARNED)).severity == "warn"
    assert "starts" not in contract_check(found(WARNED, NULLS)).description


def test_many_breaches_are_counted_not_listed() -> None:
    check = contract_check(found(*(Breach(f"c{i}", "isin", "isin(" + "x" * 500 + ")", 1, True) for i in range(8))))
    assert "and 3 more" in check.description
    assert len(check.description) < 1200


def test_quarantined_rows_are_told_and_fail_nothing() -> None:
    check = contract_check(found(quarantined={"plays:less_than": 4}))
    assert check.passed
    assert check.description == "10 rows hold it, 4 quarantined"
    assert check.metadata["quarantined plays:less_than"] == 4


def test_errors_have_panderas_shape_with_counts() -> None:
    shape = as_pandera([NULLS, RANGE, KEY])
    assert shape["SCHEMA"]["SERIES_CONTAINS_NULLS"] == [{"column": "plays", "check": "not_nullable", "failure_count": 2}]
    assert shape["DATA"]["DATAFRAME_CHECK"] == [{"column": "plays", "check": "greater_than_or_equal_to(0)", "failure_count": 3}]
    assert shape["DATA"]["DUPLICATES"] == [{"column": None, "check": "unique(track_id)", "failure_count": 1}]
    assert json.loads(str(contract_check(found(NULLS)).metadata["errors"]))["SCHEMA"]


@pytest.mark.parametrize(
    ("rows", "samples", "passed"),
    [
        (0, [], True),
        (0, [100, 100, 100, 100], True),
        (100, [90, 95, 100, 105, 110], True),
        (130, [90, 95, 100, 105, 110], True),
        (131, [90, 95, 100, 105, 110], False),
        (69, [90, 95, 100, 105, 110], False),
        (70, [90, 95, 100, 105, 110], True),
        (99, [100] * 5, False),
        (0, [0, 0, 0, 0, 3], True),
    ],
)
def test_volume_warns_outside_six_mad(rows: int, samples: list[int], passed: bool) -> None:
    check = volume_check(rows, samples)
    assert (check.passed, check.severity) == (passed, "warn")


def test_volume_says_which_side_and_what_is_usual() -> None:
    assert volume_check(10, [90, 95, 100, 105, 110]).description.startswith("10 rows, fewer than the usual 70 to 130")
    assert "2 of at least 5" in volume_check(1, [1, 1]).description


def test_a_dropped_receiver_is_seen_in_the_volume() -> None:
    """Two receivers share the traffic evenly; without one of them an hour has half its rows."""
    usual = [1000 + 7 * (day % 5) for day in range(28)]
    assert volume_check(1010, usual).passed
    assert not volume_check(505, usual).passed


def test_accounting_balances_or_refuses() -> None:
    counts = {"landed": 10, "good": 5, "duplicate": 1, "conflict": 1, "quarantined": 1, "parked": 1, "erased": 1}
    check = accounting_check(counts)
    assert check.passed
    assert check.description == "10 landed = 5 good + 1 duplicate + 1 conflict + 1 quarantined + 1 parked + 1 erased"
    lost = accounting_check({**counts, "good": 3})
    assert (lost.passed, lost.severity, lost.failed_rows) == (False, "error", 2)
    assert "2 missing" in lost.description
    assert "1 too many" in accounting_check({**counts, "good": 6}).description
    assert accounting_check({}).passed


def test_complete_names_who_is_missing() -> None:
    assert complete_check([], 3).passed
    check = complete_check(["receiver r2, silent since 02:14"], 1)
    assert (check.passed, check.severity) == (False, "warn")
    assert check.description == "built without receiver r2, silent since 02:14"
