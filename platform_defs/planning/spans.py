"""Sets of partition numbers as ranges (first, last), ends included, in order, apart from each other: how months of hours fit in a few numbers."""

from __future__ import annotations

from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]


def joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The set that some ranges cover together; they may overlap and come in any order, empty ones (last before first) count for nothing."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if last < first:
            continue
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def without(ranges: Ranges, taken: Ranges) -> Ranges:
    """What is left of a set when another is taken out of it."""
    if not ranges or not taken:
        return ranges
    found: list[tuple[int, int]] = []
    place = 0
    for first, last in ranges:
        while place < len(taken) and taken[place][1] < first:
            place += 1
        each = place
        while each < len(taken) and taken[each][0] <= last:
            if taken[each][0] > first:
                found.append((first, taken[each][0] - 1))
            first = taken[each][1] + 1
            each += 1
        if first <= last:
            found.append((first, last))
    return tuple(found)


def within(ranges: Ranges, held: Ranges) -> Ranges:
    """What two sets have in common."""
    return without(ranges, without(ranges, held))


def count(ranges: Ranges) -> int:
    """How many partitions are in a set."""
    return sum(last - first + 1 for first, last in ranges)
