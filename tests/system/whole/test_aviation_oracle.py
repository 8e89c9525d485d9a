"""The main job on real data: published tables equal DuckDB's over the original files, row for row, before and after the late events."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.fixtures.whole import DAYS, Rows, Whole
from tests.oracles.aviation import DAILY, HOURLY, oracle

TABLES = (*HOURLY, *DAILY)


@pytest.fixture(scope="module")
def truths(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, duckdb.DuckDBPyConnection]:
    """DuckDB's tables without and with the late events."""
    return {late: oracle(DAYS, late, tmp_path_factory.mktemp("oracle")) for late in (False, True)}


@pytest.mark.parametrize("table", TABLES)
def test_first_build_equals_the_oracle(table: str, first_build: Rows, truths: dict[bool, duckdb.DuckDBPyConnection]) -> None:
    assert_same(first_build[f"aviation/{table}"], truths[False], table)


@pytest.mark.parametrize("table", TABLES)
def test_tables_with_the_late_events_equal_the_oracle(table: str, after_late: Rows, truths: dict[bool, duckdb.DuckDBPyConnection]) -> None:
    assert_same(after_late[f"aviation/{table}"], truths[True], table)


def test_only_what_late_events_touch_was_built_twice(whole: Whole, first_build: Rows, after_late: Rows) -> None:
    """An hour is built a second time exactly when its rows changed."""
    before, after = _by_partition(first_build["aviation/flight_departed"]), _by_partition(after_late["aviation/flight_departed"])
    touched = {hour for hour in after if before.get(hour) != after[hour]}
    built = Counter(
        attempt.partition for attempt in whole.ledger.attempts.of("aviation/flight_departed", "hourly", limit=10_000) if attempt.outcome == "published"
    )
    assert touched
    assert {hour for hour, times in built.items() if times > 1} == touched
    assert max(built.values()) == 2


def assert_same(published: list[dict[str, Any]], truth: duckdb.DuckDBPyConnection, table: str) -> None:
    """Every row once on both sides, by the oracle's columns."""
    found = truth.execute(f"select * from {table}")
    columns = [one[0] for one in found.description or []]
    expected = Counter(tuple(_plain(value) for value in row) for row in found.fetchall())
    actual = Counter(tuple(_plain(row[column]) for column in columns) for row in published)
    assert not (missing := expected - actual), f"{table}: {missing.total()} rows are missing, first {next(iter(missing))}"
    assert not (extra := actual - expected), f"{table}: {extra.total()} rows are too many, first {next(iter(extra))}"


def _plain(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def _by_partition(rows: list[dict[str, Any]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["hour"], set()).add(row["event_id"])
    return found


def test_the_oracle_reads_the_original_files(tmp_path: Path) -> None:
    """Guards the oracle itself: the whole year's cancellations are the source's own count."""
    year = oracle(366, True, tmp_path)
    assert year.execute("select count(*) from flight_cancelled").fetchone() == (8255,)
