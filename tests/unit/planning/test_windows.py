"""Windows: which partitions are read, and the inverse."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_defs.contracts.contract import AsOfInput, Input, WindowInput
from platform_defs.contracts.partitions import Cadence, index_of, key_at, shift, window_of
from platform_defs.planning.windows import before_start, first_key, keys_read, readers_of
from tests.fixtures.contracts import as_of, contract, reads

DAY = 20_700
cadences = st.sampled_from(["hourly", "daily"])
offsets = st.tuples(st.integers(-30, 30), st.integers(0, 30)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@st.composite
def inputs(draw: st.DrawFn) -> Input:
    if draw(st.booleans()):
        return AsOfInput(param="x", endpoint="d/x", within_seconds=draw(st.integers(0, 10 * 86400)))
    first, last = draw(offsets)
    return WindowInput(param="x", endpoint="d/x", unit=draw(st.sampled_from(["hours", "days"])), first=first, last=last)


@given(inputs(), cadences, cadences, st.integers(0, 24 * 60))
def test_readers_of_is_the_inverse_of_keys_read(item: Input, reader: Cadence, read: Cadence, at: int) -> None:
    """A partition is among the readers of exactly what it reads, looked at on both sides of both edges of every window."""
    key = key_at(reader, DAY * 24 + at if reader == "hourly" else DAY + at // 24)
    keys = sorted(keys_read(item, key, read))
    for edge in (keys[0], keys[-1]) if keys else (key_at(read, DAY * (24 if read == "hourly" else 1)),):
        for other in (shift(edge, -1), edge, shift(edge, 1)):
            assert (other in keys) == (key in readers_of(item, other, reader))


@settings(deadline=None)  # some windows have a thousand readers
@given(inputs(), cadences, cadences, st.integers(0, 24 * 60))
def test_every_reader_found_reads_it(item: Input, reader: Cadence, read: Cadence, at: int) -> None:
    changed = key_at(read, DAY * (24 if read == "hourly" else 1) + at)
    for key in readers_of(item, changed, reader):
        assert changed in keys_read(item, key, read)


def test_a_day_with_the_next_hour_reads_25_hours() -> None:
    keys = keys_read(reads("d/x", 0, 1), "2026-10-01", "hourly")
    assert len(keys) == 25
    assert (keys[0], keys[-1]) == ("2026-10-01T00", "2026-10-02T00")


@pytest.mark.parametrize(
    ("item", "key", "read", "expected"),
    [
        (reads("d/x"), "2026-10-01T03", "hourly", ["2026-10-01T03"]),
        (reads("d/x", 0, 1), "2026-10-01T23", "hourly", ["2026-10-01T23", "2026-10-02T00"]),
        (reads("d/x", -1, -1, "days"), "2026-10-01", "daily", ["2026-09-30"]),
        (reads("d/x", -6, 0, "days"), "2026-10-03", "daily", [f"2026-09-{n}" for n in (27, 28, 29, 30)] + [f"2026-10-0{n}" for n in (1, 2, 3)]),
        (as_of("d/x", 3), "2026-10-04T05", "daily", ["2026-10-03", "2026-10-02", "2026-10-01"]),
        (as_of("d/x", 3), "2026-10-04T23", "daily", ["2026-10-04", "2026-10-03", "2026-10-02", "2026-10-01"]),
        (as_of("d/x", 3), "2026-10-04", "daily", ["2026-10-04", "2026-10-03", "2026-10-02", "2026-10-01"]),
    ],
)
def test_what_is_read(item: Input, key: str, read: Cadence, expected: list[str]) -> None:
    assert list(keys_read(item, key, read)) == expected


@given(st.integers(0, 24 * 30), st.integers(0, 5 * 86400))
def test_a_snapshot_has_ended_and_is_young_enough(hour: int, within: int) -> None:
    item = AsOfInput(param="x", endpoint="d/x", within_seconds=within)
    key = key_at("hourly", DAY * 24 + hour)
    end = window_of(key).end
    ages = [end - window_of(each).end for each in keys_read(item, key, "daily")]
    assert ages == sorted(ages)
    assert all(timedelta(0) <= age <= timedelta(seconds=within) for age in ages)
    assert len(ages) == len(
        [n for n in range(10) if timedelta(0) <= (end - window_of(key_at("daily", index_of(key) // 24 + 1 - n)).end) <= timedelta(seconds=within)]
    )


@pytest.mark.parametrize(
    ("start", "cadence", "first"),
    [
        ("2026-01-05", "hourly", "2026-01-05T00"),
        ("2026-01-05", "daily", "2026-01-05"),
        ("2026-01-05T07", "daily", "2026-01-06"),
        ("2026-01-05T07", "hourly", "2026-01-05T07"),
    ],
)
def test_the_first_partition(start: str, cadence: Cadence, first: str) -> None:
    """A day that begins before the start is before it, as execution answers it."""
    one = contract("d/x", start=start, cadence=cadence)
    assert first_key(one) == first
    assert not before_start(one, first)
    assert before_start(one, key_at(cadence, index_of(first) - 1))
