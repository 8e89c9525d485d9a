"""What both ways of cleaning share: what a partition is made of, and what it is once staged. How lines become rows is in cleaning and in_process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from platform_defs.execution.steps import Staged
from platform_defs.lake.landing import Segment

OTHER_PARTITION = "time:other_partition"
"""The rule an event breaks whose time is not in the hour it was sealed for."""
LATE = "late."
"""What the staged folder of a partition's rows for the late lane begins with."""
BAD = "bad."
"""And that of its rows that broke a rule."""


class SegmentDamaged(RuntimeError):
    """A segment that does not hold the lines its manifest lists. The message names it and the numbers."""


@dataclass(frozen=True)
class Batch:
    """What one partition is made of.

    Attributes:
        late: paths of those that were sealed after the partition's first build.
        parked: of these, those beyond the last settle age: their good rows go to the late lane.
        reopened: rows that were parked earlier are taken in: the late lane is written even if nothing is left for it.
    """

    key: str
    segments: tuple[Segment, ...]
    late: frozenset[str] = frozenset()
    parked: frozenset[str] = frozenset()
    reopened: bool = False


@dataclass(frozen=True)
class Cleaned:
    """One partition, staged.

    Attributes:
        late_path: folder of the rows for the late lane; None if it has no parked segment and never had one that was taken in since.
    """

    staged: Staged
    late_path: str | None = None


def cleaned(batch: Batch, base: str, counts: Mapping[str, int], lost: int, seconds: float) -> Cleaned:
    """A partition whose rows lie below `base`, a folder `_part=...` each for the good ones, the bad ones and the late lane's, where there are any.

    Args:
        lost: values without their person.
    """
    late = sum(segment.rows for segment in batch.segments if segment.path in batch.late)
    notes = {"late rows": late, "values without their person": lost}
    notes = {name: number for name, number in notes.items() if number}
    path, bad, empty = f"{base}/_part={batch.key}", f"{base}/_part={BAD}{batch.key}", not batch.segments
    staged = Staged(batch.key, path, bad=bad, counts=counts, seconds=seconds, has_failed=True, has_origin=True, alone=True, empty=empty, notes=notes)
    return Cleaned(staged, f"{base}/_part={LATE}{batch.key}" if batch.parked or batch.reopened else None)


def check_lines(segment: Segment, found: int) -> None:
    """Raises SegmentDamaged unless the segment holds as many lines as its manifest lists."""
    if found != segment.rows:
        raise SegmentDamaged(f"{segment.path} holds {found} lines, its manifest lists {segment.rows}: restore the segment")
