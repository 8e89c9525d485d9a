"""The root of a partition's delay in words: the few things at the far end of what it waits for, each with what to do about it. Pure.

What waits for what is tracing's; many partitions are traced together here, so that what they share is looked at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import window_of
from platform_defs.planning.facts import Pause
from platform_defs.planning.spans import Ranges
from platform_defs.planning.states import Decision, PartitionState
from platform_defs.planning.tracing import DONE, Look, Node, Place, Tracer

# More than a verdict can hold is counted.
_SPELLED = 2
_NAMED = 4
_BROKEN = frozenset({PartitionState.REFUSED, PartitionState.STUCK, PartitionState.FAILED})


@dataclass(frozen=True)
class Root:
    """Why something is not there.

    Attributes:
        name: of the cause, the same as long as the cause is: without instants and counts, which move.
        words: the cause and the next action.
        moving: nothing but builds that are asked for or run; that passes by itself.
    """

    name: str
    words: str
    moving: bool


@dataclass(frozen=True)
class _Cause:
    """One end of a trace. `rank`: what needs a person first comes first. `own`: it is the partition itself."""

    rank: int
    name: str
    words: str
    moving: bool


class Roots:
    """Finds the roots of many partitions; what is looked at is kept for as long as this lives, which is one tick.

    Args:
        contracts: the registry.
        look: decisions about some places, in one look.
        published: see `tracing.Tracer`.
        pauses: the pause that holds for each endpoint that one holds for.
    """

    def __init__(self, contracts: Mapping[str, Contract], look: Look, published: Callable[[str], Ranges], pauses: Mapping[str, Pause], now: datetime) -> None:
        self._contracts, self._look, self._published, self._pauses, self._now = contracts, look, published, pauses, now
        self._known: dict[Place, Decision | None] = {}

    def of(self, places: Iterable[Place]) -> dict[Place, Root]:
        """The root of each of these places that is not there; those that are, and those about which nothing is decided, are absent. One look a level."""
        wanted = list(places)
        self._learn(wanted)
        decisions = [found for place in wanted if (found := self._known[place]) is not None and found.state not in DONE]
        return {(each.endpoint, each.partition): self._root(each) for each in decisions}

    def _learn(self, places: Sequence[Place]) -> None:
        """Looks at these and, level by level, at all they wait for."""
        tracer, ahead = self._tracer(), set(places)
        while new := ahead - self._known.keys():
            found = self._look(sorted(new))
            self._known.update({place: found.get(place) for place in new})
            ahead = {below for each in found.values() if each.state not in DONE for below in tracer.below(each)}

    def _tracer(self) -> Tracer:
        return Tracer(self._contracts, self._at_hand, self._published, self._now)

    def _at_hand(self, places: Iterable[Place]) -> dict[Place, Decision]:
        return {place: found for place in places if (found := self._known.get(place)) is not None}

    def _root(self, decision: Decision) -> Root:
        ends = list(_ends(self._tracer().trace(decision)))
        causes = [self._cause(end) for end in ends] or [self._own(decision)]
        causes.sort(key=lambda cause: (cause.rank, cause.name))
        moving = all(cause.moving for cause in causes)
        told = [cause for cause in causes if not cause.moving] or causes
        rest = len(told) - _SPELLED
        words = "; and ".join(dict.fromkeys(cause.words for cause in told[:_SPELLED])) + (f"; and {rest} more: `backline why` tells them" if rest > 0 else "")
        return Root("; ".join(dict.fromkeys(cause.name for cause in told[:_NAMED])), words, moving)

    def _cause(self, end: Node) -> _Cause:
        decision = self._known.get((end.endpoint, end.partitions[0]))
        span = end.partitions[0] if len(end.partitions) == 1 else f"{end.partitions[0]} to {end.partitions[-1]} ({len(end.partitions)})"
        if decision is None:
            over = window_of(end.partitions[0]).end <= self._now
            return _Cause(1 if over else 3, f"{end.endpoint} {end.state}", f"waits for {end.endpoint} {span}; {end.reasons[0]}", False)
        own = self._own(decision)
        return _Cause(own.rank, own.name, f"waits for {end.endpoint} {span}; {own.words}", own.moving)

    def _own(self, decision: Decision) -> _Cause:
        """What is the matter with a partition that waits for no other."""
        key, partition, state, reason = decision.endpoint, decision.partition, decision.state, decision.reason
        if decision.paused:
            pause = self._pauses.get(key)
            return _Cause(0, f"{key} paused", f"{reason}" + (f" (`backline resume {pause.name}`)" if pause else ""), False)
        if state in _BROKEN:
            failed = state is PartitionState.FAILED  # tried again by itself
            action = "" if failed else f"; mend data or code, `backline why {key} {partition}` shows what failed"
            return _Cause(1 if failed else 0, f"{key} {state} {partition}", f"{state}: {reason}{action}", False)
        if state is PartitionState.WAITING:
            return _Cause(2, " ".join([key, "waiting", *decision.held_by]), reason, False)
        if state is PartitionState.DUE and not decision.ask:
            return _Cause(1, f"{key} due", f"{reason}: `backline backfill {key} --from {partition} --to {partition}`", False)
        return _Cause(4, f"{key} moving", f"{state}: {reason}", True)


def is_news(told: str | None, root: Root) -> bool:
    """Whether a root is another one than was told. What was told and is now being built is no news: it passes, or the cause comes back."""
    if told is None:
        return True
    if root.moving:
        return not {name.partition(" ")[0] for name in root.name.split("; ")} <= {name.partition(" ")[0] for name in told.split("; ")}
    return told != root.name


def _ends(nodes: Iterable[Node]) -> Iterable[Node]:
    for node in nodes:
        if node.waits:
            yield from _ends(node.waits)
        elif not node.seen:
            yield node
