"""How long runs take, from what runs took."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_defs.planning.estimates import LEVEL_SECONDS, RUN_SECONDS, Estimate, Pace, RunShape, estimate, pace, paces


def test_runs_of_two_sizes_tell_what_a_run_costs_beside_its_partitions() -> None:
    found = pace([(1, 3.0), (24, 7.6), (1, 3.0), (24, 7.6), (24, 90.0)])
    assert found is not None
    assert (round(found.once, 6), round(found.each, 6), found.runs) == (2.8, 0.2, 5)
    assert found.seconds(24) == pytest.approx(7.6)


def test_runs_of_one_size_are_not_taken_for_all_work() -> None:
    assert pace([(1, 3.0), (1, 5.0), (1, 4.0)]) == Pace(2.0, 2.0, 3)


def test_nothing_is_known_without_runs() -> None:
    assert pace([]) is None
    assert pace([(0, 3.0)]) is None
    assert paces({"a/x": [], "a/y": [(1, 2.0)]}) == {"a/y": Pace(1.0, 1.0, 1)}
    assert estimate([RunShape(("a/x",), 0, 3, 24)], {}, 2) == Estimate(None, 0, ("a/x",))


def test_runs_share_the_slots() -> None:
    known = {"a/x": Pace(1.0, 0.5, 9)}
    one = RUN_SECONDS + 1.0 + 0.5 * 24
    found = estimate([RunShape(("a/x",), 0, 10, 24)], known, 2)
    assert found == Estimate(10 * one / 2 + one / 2 + LEVEL_SECONDS, 9)


def test_levels_wait_for_each_other() -> None:
    known = {"a/x": Pace(1.0, 0.0, 1), "a/y": Pace(1.0, 0.0, 1)}
    side = estimate([RunShape(("a/x",), 0, 1, 1), RunShape(("a/y",), 0, 1, 1)], known, 2).seconds
    above = estimate([RunShape(("a/x",), 0, 1, 1), RunShape(("a/y",), 1, 1, 1)], known, 2).seconds
    assert side is not None
    assert above is not None
    assert above > side


def test_what_never_ran_is_counted_as_others_do_and_named() -> None:
    known = {"a/x": Pace(1.0, 0.5, 9), "b/z": Pace(99.0, 0.0, 1)}
    found = estimate([RunShape(("a/x",), 0, 1, 2), RunShape(("a/new",), 1, 1, 2)], known, 1)
    assert found.guessed == ("a/new",)
    assert found.seconds == 2 * (RUN_SECONDS + 2.0) + 2 * LEVEL_SECONDS


def test_an_endpoint_that_reads_itself_uses_one_slot() -> None:
    known = {"a/x": Pace(1.0, 0.0, 1)}
    times = [estimate([RunShape(("a/x",), 0, 10, 7, serial)], known, 4).seconds for serial in (False, True)]
    assert times[1] is not None
    assert times[1] >= 10 * (RUN_SECONDS + 1.0)
    assert times[0] is not None
    assert times[0] < times[1] / 2


def test_nothing_takes_no_time() -> None:
    assert estimate([], {}, 2) == Estimate(0.0, 0)
    assert estimate([RunShape(("a/x",), 0, 0, 24)], {}, 2) == Estimate(0.0, 0)


past = st.lists(st.tuples(st.integers(1, 24), st.floats(0, 600)), min_size=1, max_size=20)


@given(past, st.integers(1, 24), st.integers(1, 24))
def test_more_partitions_never_take_less(runs: list[tuple[int, float]], few: int, more: int) -> None:
    found = pace(runs)
    assert found is not None
    assert min(found.once, found.each) >= 0
    assert found.seconds(few) <= found.seconds(few + more)


@given(st.integers(1, 50), st.integers(1, 8))
def test_more_slots_never_take_longer(count: int, slots: int) -> None:
    known = {"a/x": Pace(1.0, 0.5, 9)}
    times = [estimate([RunShape(("a/x",), 0, count, 24)], known, n).seconds for n in (slots, slots + 1)]
    assert times[0] is not None
    assert times[1] is not None
    assert times[1] <= times[0] + 1e-9
