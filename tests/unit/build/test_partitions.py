"""Windows as Dagster sees them: never less than what a partition reads, and exactly that where Dagster can say it."""

from datetime import UTC, datetime

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_defs.build.partitions import Partitions, backfill_policy, mapping_of, partitions_of
from platform_defs.contracts.contract import Input
from platform_defs.contracts.partitions import Cadence, hours_of, key_of, shift, step
from platform_defs.planning.windows import keys_read
from tests.unit.build.contracts import newest, over

NOW = datetime(2026, 8, 1, tzinfo=UTC)


def drawn(reader: Cadence, read: Input, upstream: Cadence, key: str) -> list[str]:
    """What Dagster thinks a partition reads."""
    here, there = partitions_of(reader, "2026-01-01"), partitions_of(upstream, "2026-01-01")
    mapped = mapping_of(reader, read).get_upstream_mapped_partitions_result_for_partitions(
        here.subset_with_partition_keys([key]), here, there, current_time=NOW
    )
    assert not list(mapped.required_but_nonexistent_subset.get_partition_keys())
    return sorted(mapped.partitions_subset.get_partition_keys())


hours = st.integers(100 * 24, 120 * 24).map(lambda n: shift("2026-01-01T00", n))
days = st.integers(100, 120).map(lambda n: shift("2026-01-01", n))
spans = st.tuples(st.integers(-30, 10), st.integers(0, 30)).map(lambda pair: (pair[0], pair[0] + pair[1]))
within = st.integers(1, 5)


@given(hours, spans)
def test_hour_over_hours_is_exact(key: str, span: tuple[int, int]) -> None:
    read = over("a/b", *span)
    assert drawn("hourly", read, "hourly", key) == sorted(keys_read(read, key, "hourly"))


@given(days, spans)
def test_day_over_days_is_exact(key: str, span: tuple[int, int]) -> None:
    read = over("a/b", *span, unit="days")
    assert drawn("daily", read, "daily", key) == sorted(keys_read(read, key, "daily"))


@given(days, spans)
def test_day_over_days_of_hours_is_exact(key: str, span: tuple[int, int]) -> None:
    read = over("a/b", *span, unit="days")
    assert drawn("daily", read, "hourly", key) == sorted(keys_read(read, key, "hourly"))


@given(days, spans)
def test_day_over_hours_covers_what_is_read_by_whole_days(key: str, span: tuple[int, int]) -> None:
    read = over("a/b", *span)
    seen, needed = drawn("daily", read, "hourly", key), keys_read(read, key, "hourly")
    assert set(needed) <= set(seen)
    assert {hour[:10] for hour in seen} == {hour[:10] for hour in needed}


@given(hours, st.tuples(st.integers(-3, 0), st.integers(0, 3)))
def test_hour_over_days_of_hours_covers_what_is_read(key: str, span: tuple[int, int]) -> None:
    read = over("a/b", *span, unit="days")
    assert set(keys_read(read, key, "hourly")) <= set(drawn("hourly", read, "hourly", key))


def test_a_day_reads_its_24_hours() -> None:
    assert drawn("daily", over("a/b"), "hourly", "2026-03-01") == hours_of("2026-03-01")


@given(hours, within)
def test_as_of_by_the_hour_draws_every_snapshot_it_may_choose(key: str, days_back: int) -> None:
    read = newest("a/b", days_back)
    assert drawn("hourly", read, "daily", key) == sorted(keys_read(read, key, "daily"))


@given(days, within)
def test_as_of_by_the_day_draws_every_snapshot_it_may_choose(key: str, days_back: int) -> None:
    read = newest("a/b", days_back)
    assert drawn("daily", read, "daily", key) == sorted(keys_read(read, key, "daily"))


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
