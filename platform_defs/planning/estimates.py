"""How long runs will take, from what runs took: pure arithmetic on past run times. Which runs there will be is said by whoever plans them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

# A run waits for the queue's next look, is started, loads its step and reports: beside its work, on any machine, about this long.
RUN_SECONDS = 2.0
# A level of the graph is asked for at the next look of the backfill loop after the one below has ended.
LEVEL_SECONDS = 3.0


@dataclass(frozen=True)
class Pace:
    """What a run of an endpoint takes: `once` seconds and `each` for every partition. `runs`: of how many past runs it is known."""

    once: float
    each: float
    runs: int

    def seconds(self, partitions: int) -> float:
        """Of a run of so many partitions."""
        return self.once + self.each * partitions


@dataclass(frozen=True)
class RunShape:
    """Runs that are alike.

    Attributes:
        endpoints: built together in each of them. level: runs of a level wait for those below. count: of runs. partitions: of each endpoint in each run.
        serial: one after the other (an endpoint that reads itself).
    """

    endpoints: tuple[str, ...]
    level: int
    count: int
    partitions: int
    serial: bool = False


@dataclass(frozen=True)
class Estimate:
    """How long it takes.

    Attributes:
        seconds: of wall time; None where nothing is known of any endpoint.
        runs: past runs it is drawn from.
        guessed: endpoints that never ran, counted as the others do.
    """

    seconds: float | None
    runs: int
    guessed: tuple[str, ...] = ()


def pace(runs: Sequence[tuple[int, float]]) -> Pace | None:
    """What a run takes, from past ones: (partitions, seconds) each; None without any.

    Medians, so that one slow run changes nothing. Runs of different sizes tell what a run costs beside its partitions; of one size they do not, and
    half of it is counted once: a run of a day takes far less than 24 runs of an hour.
    """
    sizes: dict[int, list[float]] = {}
    for partitions, seconds in runs:
        if partitions > 0:
            sizes.setdefault(partitions, []).append(max(0.0, seconds))
    if not sizes:
        return None
    typical = {size: median(seconds) for size, seconds in sizes.items()}
    count = sum(len(seconds) for seconds in sizes.values())
    if len(typical) == 1:
        ((size, seconds),) = typical.items()
        return Pace(seconds / 2, seconds / 2 / size, count)
    slopes = [(typical[b] - typical[a]) / (b - a) for a in typical for b in typical if a < b]
    each = max(0.0, median(slopes))
    once = max(0.0, median(seconds - each * size for size, seconds in typical.items()))
    return Pace(once, each, count)


def paces(runs: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, Pace]:
    """The pace of each endpoint of which a run is known."""
    return {endpoint: found for endpoint, each in runs.items() if (found := pace(each)) is not None}


def estimate(shapes: Iterable[RunShape], known: Mapping[str, Pace], slots: int) -> Estimate:
    """The wall time of these runs with `slots` of them at a time, levels one after the other where they are.

    An endpoint that never ran is counted as the median of those that did, and named. It errs on the long side: runs of one machine share its cores.
    """
    planned = [shape for shape in shapes if shape.count > 0]
    if not planned:
        return Estimate(0.0, 0)
    asked = dict.fromkeys(endpoint for shape in planned for endpoint in shape.endpoints)
    drawn = [known[endpoint] for endpoint in asked if endpoint in known] or list(known.values())
    if not drawn:
        return Estimate(None, 0, tuple(asked))
    usual = Pace(median(one.once for one in drawn), median(one.each for one in drawn), 0)
    work = 0.0
    longest: dict[int, float] = {}
    for shape in planned:
        one = RUN_SECONDS + sum(known.get(endpoint, usual).seconds(shape.partitions) for endpoint in shape.endpoints)
        work += one * shape.count
        longest[shape.level] = max(longest.get(shape.level, 0.0), one * shape.count if shape.serial else one)
    # Graham's bound for any order of runs that leaves no slot idle while something may run.
    slots = max(1, slots)
    seconds = work / slots + sum(longest.values()) * (1 - 1 / slots) + LEVEL_SECONDS * len(longest)
    return Estimate(seconds, sum(one.runs for one in drawn), tuple(endpoint for endpoint in asked if endpoint not in known))
