"""From the states of partitions to what is broken or paused: the few things that many partitions wait for. Pure; how it is shown is in `status`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass

from platform_defs.planning.facts import Pause, Trouble
from platform_defs.planning.states import Decision, PartitionState

_BROKEN = frozenset({PartitionState.REFUSED, PartitionState.FAILED, PartitionState.STUCK})
_UNDER_WAY = frozenset({PartitionState.REQUESTED, PartitionState.RUNNING})
Place = tuple[str, str]


@dataclass(frozen=True)
class Cause:
    """One thing that is broken.

    Attributes:
        state: `refused`, `failed`, `stuck`, or `overdue`: past its deadline though it waits for no other partition and
            nothing is under way; `waiting` or `due` where it has promised nothing itself, and what waits for it is overdue.
        reason: in words, of the newest of them, with what becomes of it.
        partitions: of this endpoint with this reason, in order.
        waiting: how many partitions of other endpoints wait for these. datasets: which endpoints those are.
    """

    endpoint: str
    state: str
    reason: str
    partitions: tuple[str, ...]
    waiting: int
    datasets: tuple[str, ...]


@dataclass(frozen=True)
class Resting:
    """One pause and what it means now.

    Attributes:
        partitions: how many it keeps from being built. waiting: how many of other endpoints wait for these. datasets: which endpoints those are.
    """

    pause: Pause
    partitions: int
    waiting: int
    datasets: tuple[str, ...]


def causes(decisions: Iterable[Decision], troubles: Mapping[Place, Trouble], paused: Collection[str] = ()) -> list[Cause]:
    """What is broken, first what most waits for. What is paused is not: a person knows of it.

    Args:
        decisions: states of the partitions looked at, what is read before what reads it (as `decide` gives them).
        troubles: everything in trouble, older partitions too, by (endpoint, partition).
        paused: endpoints that are.
    """
    known = {(each.endpoint, each.partition): each for each in decisions}
    broken: dict[Place, tuple[str, str]] = {
        place: (trouble.state, trouble.reason)
        for place, trouble in troubles.items()
        if trouble.state in _BROKEN and place not in known and place[0] not in paused
    }
    for place, each in known.items():
        if each.paused:
            continue
        if each.state in _BROKEN:
            # Some of them may be tried again already: what is broken is the same thing.
            same = troubles.get(place)
            broken[place] = (each.state, same.reason if same is not None and same.state == each.state else each.reason)
        elif each.overdue and not each.waiting_for and each.state not in _UNDER_WAY:
            broken[place] = (PartitionState.OVERDUE, each.reason)
    broken |= _behind_the_overdue(known, broken.keys())
    behind = _behind(known, broken.keys())
    groups: dict[tuple[str, str, str], list[Place]] = defaultdict(list)
    for place, (state, reason) in broken.items():
        groups[place[0], state, reason].append(place)
    found = []
    for (endpoint, state, reason), places in groups.items():
        waiting = set().union(*(behind[place] for place in places))
        datasets = tuple(sorted({dataset for dataset, _ in waiting}))
        newest = known.get(max(places, key=lambda place: place[1]))
        said = newest.reason if newest is not None and newest.state == state else reason
        found.append(Cause(endpoint, state, said, tuple(sorted(partition for _, partition in places)), len(waiting), datasets))
    return sorted(found, key=lambda cause: (-cause.waiting, cause.endpoint, cause.partitions))


def resting(decisions: Iterable[Decision], pauses: Mapping[str, Pause], every: Iterable[Pause]) -> list[Resting]:
    """The pauses, by name, each with what it keeps from being built and what waits for that.

    Args:
        pauses: the pause that holds for each endpoint that one holds for. every: all of them: one may hold for nothing.
    """
    known = {(each.endpoint, each.partition): each for each in decisions}
    still = {place for place, each in known.items() if each.paused}
    behind = _behind(known, still)
    found = []
    for pause in every:
        places = {place for place in still if pauses.get(place[0]) == pause}
        waiting = set().union(*(behind[place] for place in places))
        found.append(Resting(pause, len(places), len(waiting), tuple(sorted({dataset for dataset, _ in waiting}))))
    return found


def _behind_the_overdue(known: Mapping[Place, Decision], broken: Set[Place]) -> dict[Place, tuple[str, str]]:
    """Why the overdue wait that wait for nothing broken: an hour held open by a receiver that is silent is past no deadline, where its event type has none.

    What is paused, or under way, is no cause. Where nothing is known of what is waited for, the overdue partition stands for itself.
    """
    ends = {one for each in known.values() for one in _waits(each) if one in broken or (one in known and not known[one].waiting_for)}
    found: dict[Place, tuple[str, str]] = {}
    for place, roots in _roots(known, ends).items():
        each = known[place]
        if not each.overdue or each.state in _UNDER_WAY or place in broken:
            continue
        for root in roots - broken:
            end = known[root]
            if not end.paused and not end.ask and end.state not in _UNDER_WAY:
                found[root] = (end.state, end.reason)
        if not roots:
            found[place] = (PartitionState.OVERDUE, each.reason)
    return found


def _waits(decision: Decision) -> list[Place]:
    return [(each.endpoint, each.partition) for each in decision.waiting_for]


def _roots(known: Mapping[Place, Decision], ends: Collection[Place]) -> dict[Place, frozenset[Place]]:
    """Which of these ends each place that waits does so for, directly or through others. One pass: what is read comes before what reads it."""
    roots: dict[Place, frozenset[Place]] = {}
    for place, each in known.items():
        if each.waiting_for and place not in ends:
            roots[place] = frozenset().union(*({one} if one in ends else roots.get(one, ()) for one in _waits(each)))
    return roots


def _behind(known: Mapping[Place, Decision], ends: Collection[Place]) -> Mapping[Place, set[Place]]:
    """What waits for each of these places, directly or through others."""
    behind: dict[Place, set[Place]] = defaultdict(set)
    for place, roots in _roots(known, ends).items():
        for root in roots:
            behind[root].add(place)
    return behind
