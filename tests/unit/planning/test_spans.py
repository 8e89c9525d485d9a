"""Ranges behave as the sets they stand for."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from platform_defs.planning.spans import Ranges, count, joined, within, without

pairs = st.lists(st.tuples(st.integers(0, 40), st.integers(-3, 8)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=8)


def members(ranges: Ranges) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(pairs)
def test_joined_is_the_union_in_fewest_ranges(given_: list[tuple[int, int]]) -> None:
    found = joined(given_)
    assert members(found) == members(tuple(given_))
    assert all(later[0] > earlier[1] + 1 for earlier, later in pairwise(found))
    assert count(found) == len(members(found))


@given(pairs, pairs)
def test_difference_and_intersection(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    one, other = joined(left), joined(right)
    assert members(without(one, other)) == members(one) - members(other)
    assert members(within(one, other)) == members(one) & members(other)
    assert without(one, other) == joined(without(one, other))
