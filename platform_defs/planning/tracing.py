"""Why a partition is where it is, down to the root: a tree of what it waits for, from decisions. What is current is left out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from platform_defs.contracts.contract import AsOfInput, Contract
from platform_defs.contracts.partitions import index_of, key_at, window_of
from platform_defs.planning.missing import existing
from platform_defs.planning.spans import Ranges
from platform_defs.planning.states import Decision, PartitionState
from platform_defs.planning.windows import before_start, keys_read

Place = tuple[str, str]
Look = Callable[[Collection[Place]], Mapping[Place, Decision]]
"""Decisions about some places; those not over yet, or past retention, are absent."""

DONE = frozenset({PartitionState.CURRENT, PartitionState.OUTDATED})
_REASONS = 3


@dataclass(frozen=True)
class Node:
    """Partitions of one endpoint that are in the same state.

    Attributes:
        state: what is the matter; `paused` where that is left alone; `not over` or `past retention` where nothing is decided.
        reasons: in words, each once; the first few. overdue: a deadline of theirs has passed.
        waits: what these wait for in turn. seen: that is told elsewhere in the tree.
    """

    endpoint: str
    partitions: tuple[str, ...]
    state: str
    reasons: tuple[str, ...]
    waits: tuple[Node, ...] = ()
    seen: bool = False
    overdue: bool = False


def state_of(decision: Decision) -> str:
    """What is the matter, deadlines aside: an overdue partition is refused or waits, and that is what has to be mended."""
    return str(decision.shown if decision.paused else decision.state)


class Tracer:
    """Follows what places wait for.

    Args:
        contracts: the registry.
        look: see `Look`.
        published: what is published of an endpoint, as ranges; asked for endpoints that read themselves, whose partitions wait in a row.
    """

    def __init__(self, contracts: Mapping[str, Contract], look: Look, published: Callable[[str], Ranges], now: datetime) -> None:
        self._contracts, self._look, self._published, self._now = contracts, look, published, now
        self._told: set[Place] = set()

    def trace(self, decision: Decision) -> tuple[Node, ...]:
        """What this one waits for; empty if it waits for no other partition."""
        self._told.add((decision.endpoint, decision.partition))
        return self._grow(self.below(decision))

    def _grow(self, places: Iterable[Place]) -> tuple[Node, ...]:
        wanted = sorted(set(places))
        if not wanted:
            return ()
        found = self._look(wanted)
        groups: dict[tuple[str, str], list[Place]] = {}
        for place in wanted:
            decision = found.get(place)
            if decision is None or decision.state not in DONE:
                groups.setdefault((place[0], self._state(place, decision)), []).append(place)
        return tuple(self._node(endpoint, state, members, found) for (endpoint, state), members in groups.items())

    def _node(self, endpoint: str, state: str, members: list[Place], found: Mapping[Place, Decision]) -> Node:
        decisions = [found[place] for place in members if place in found]
        reasons = tuple(dict.fromkeys(each.reason for each in decisions)) or (self._absent(members[0]),)
        new = [each for each in decisions if (each.endpoint, each.partition) not in self._told]
        self._told |= {(each.endpoint, each.partition) for each in new}
        waits = self._grow(place for each in new for place in self.below(each))
        seen = bool(decisions) and not new and any(self.below(each) for each in decisions)
        return Node(endpoint, tuple(partition for _, partition in members), state, reasons[:_REASONS], waits, seen, any(each.overdue for each in decisions))

    def below(self, decision: Decision) -> list[Place]:
        """What a partition waits for directly: what it lacks, and for a stale one what it reads."""
        places = [(each.endpoint, each.partition) for each in decision.waiting_for]
        if not places and decision.state is PartitionState.STALE:
            contract = self._contracts[decision.endpoint]
            for item in contract.inputs:
                read = self._contracts[item.endpoint]
                if not isinstance(item, AsOfInput):
                    places += [(item.endpoint, key) for key in keys_read(item, decision.partition, read.cadence) if not before_start(read, key)]
        return [self._first_of_row(decision.endpoint, place) for place in places]

    def _first_of_row(self, reader: str, place: Place) -> Place:
        """Partitions that read their predecessor wait in a row: the first of them says why, the others add nothing."""
        endpoint, partition = place
        if endpoint != reader:
            return place
        cadence = self._contracts[endpoint].cadence
        before = [last for _, last in self._published(endpoint) if last < index_of(partition)]
        first = key_at(cadence, max(before) + 1) if before else self._start(endpoint)
        return endpoint, min(first, partition)

    def _start(self, endpoint: str) -> str:
        return key_at(self._contracts[endpoint].cadence, existing(self._contracts[endpoint], self._now)[0][0])

    def _state(self, place: Place, decision: Decision | None) -> str:
        if decision is not None:
            return state_of(decision)
        return "not over" if window_of(place[1]).end > self._now else "past retention"

    def _absent(self, place: Place) -> str:
        window = window_of(place[1])
        if window.end > self._now:
            return f"ends at {window.end:%Y-%m-%d %H:%M}"
        return "its rows are past their retention and it is not built again"
