"""Windows as Dagster sees them: never less than what a partition reads, and exactly that where Dagster can say it."""

from datetime import UTC, datetime

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_defs.build.partitions import Partitions, backfill_policy, mapping_of, partitions_of
from platform_defs.contracts.contract import Input
from platform_defs.contracts.partitions import Cadence, hours_of, key_at, key_of, keys_between, shift, step, window_of
from tests.unit.build.contracts import newest, over

NOW = datetime(2026, 8, 1, tzinfo=UTC)


def drawn(reader: Cadence, read: Input, upstream: Cadence, key: str) -> list[str]:
    """What Dagster thinks a partition reads."""
    here, there = partitions_of(reader, "2026-01-01"), partitions_of(upstream, "2026-01-01")
    mapped = mapping_of(reader, read, upstream).get_upstream_mapped_partitions_result_for_partitions(
        here.subset_with_partition_keys([key]), here, there, current_time=NOW
    )
    assert not list(mapped.required_but_nonexistent_subset.get_partition_keys())
    return sorted(mapped.partitions_subset.get_partition_keys())


def read_by_window(key: str, first: int, last: int) -> list[str]:
    """Hours from the partition's first + `first` to its last + `last`."""
    hours = hours_of(key)
    return keys_between(shift(hours[0], first), shift(hours[-1], last))


hours = st.integers(100 * 24, 120 * 24).map(lambda n: shift("2026-01-01T00", n))
days = st.integers(100, 120).map(lambda n: shift("2026-01-01", n))
spans = st.tuples(st.integers(-30, 10), st.integers(0, 30)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(hours, spans)
def test_hour_over_hours_is_exact(key: str, span: tuple[int, int]) -> None:
    assert drawn("hourly", over("a/b", *span), "hourly", key) == read_by_window(key, *span)


@given(days, spans)
def test_day_over_days_is_exact(key: str, span: tuple[int, int]) -> None:
    assert drawn("daily", over("a/b", *span, unit="days"), "daily", key) == keys_between(shift(key, span[0]), shift(key, span[1]))


@given(days, spans)
def test_day_over_hours_covers_what_is_read_by_whole_days(key: str, span: tuple[int, int]) -> None:
    seen = drawn("daily", over("a/b", *span), "hourly", key)
    needed = read_by_window(key, *span)
    assert set(needed) <= set(seen)
    assert {hour[:10] for hour in seen} == {hour[:10] for hour in needed}


def test_a_day_reads_its_24_hours() -> None:
    assert drawn("daily", over("a/b"), "hourly", "2026-03-01") == hours_of("2026-03-01")


def snapshots(key: str, within_days: int) -> list[str]:
    """Days that ended by the partition's end, none of them longer ago than `within_days`."""
    end = window_of(key).end
    every = [key_at("daily", i) for i in range(window_of("2026-01-01").start.toordinal() - 719_163, NOW.toordinal() - 719_163)]
    return [day for day in every if window_of(day).end <= end and (end - window_of(day).end).days * 86_400 <= within_days * 86_400 - _rest(end, day)]


def _rest(end: datetime, day: str) -> int:
    return (end - window_of(day).end).seconds


@given(hours, st.integers(1, 5))
def test_as_of_by_the_hour_draws_every_snapshot_it_may_choose(key: str, within: int) -> None:
    assert drawn("hourly", newest("a/b", within), "daily", key) == snapshots(key, within)


@given(days, st.integers(1, 5))
def test_as_of_by_the_day_draws_every_snapshot_it_may_choose(key: str, within: int) -> None:
    assert drawn("daily", newest("a/b", within), "daily", key) == snapshots(key, within)


@pytest.mark.parametrize(
    ("cadence", "start", "first"),
    [("hourly", "2026-01-01", "2026-01-01T00"), ("hourly", "2026-01-01T05", "2026-01-01T05"), ("daily", "2026-01-01", "2026-01-01")],
)
def test_partitions_begin_at_the_start_and_hold_what_has_ended(cadence: Cadence, start: str, first: str) -> None:
    definition: Partitions = partitions_of(cadence, start)
    assert definition.get_first_partition_key() == first
    now = datetime(2026, 1, 9, 12, 30, tzinfo=UTC)
    assert definition.get_partition_keys(current_time=now)[-1] == key_of(cadence, now - step(cadence))


def test_backfills_are_cut_into_days_and_weeks() -> None:
    assert backfill_policy("hourly") == dg.BackfillPolicy.multi_run(24)
    assert backfill_policy("daily") == dg.BackfillPolicy.multi_run(7)
