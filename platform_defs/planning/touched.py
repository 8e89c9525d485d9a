"""Following changes: which partitions a change touches, and which of those must be looked at again, at once or at a known instant.

What happens to a touched partition is decided in states. How far the changes are read is the caller's to keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from platform_defs.contracts.contract import AsOfInput, Contract, Input
from platform_defs.contracts.partitions import window_of
from platform_defs.planning.states import Decision, PartitionState
from platform_defs.planning.windows import readers_of

Place = tuple[str, str]
# Built, or on its way: what comes after depends on how that ends.
_MOVING = (PartitionState.REQUESTED, PartitionState.RUNNING)
# What a pause keeps from being tried is looked at again this often: nobody says when it ends.
_PAUSED_AGAIN = timedelta(minutes=10)
_KEPT = (PartitionState.STALE, PartitionState.REFUSED, PartitionState.FAILED, PartitionState.STUCK)


class Readers:
    """Who reads whom, within one domain: made once for a registry."""

    def __init__(self, contracts: Mapping[str, Contract], domain: str) -> None:
        self._reads: dict[str, list[tuple[Contract, Input]]] = {}
        for contract in contracts.values():
            if contract.domain != domain:
                continue
            for item in contract.inputs:
                self._reads.setdefault(item.endpoint, []).append((contract, item))

    def of(self, endpoint: str, partition: str, now: datetime | None = None) -> Iterator[Place]:
        """The partitions of the domain that read this one, or may. Of a snapshot all that could choose it: a newer one makes nothing stale, but those that
        have chosen it follow its corrections. `now`: what is not over by then is left out of these."""
        for contract, item in self._reads.get(endpoint, ()):
            if now is not None and isinstance(item, AsOfInput):  # a snapshot is mostly new, and of those that could choose it most are not over yet
                age = max(timedelta(), now - window_of(partition).end)
                item = item.model_copy(update={"within_seconds": min(item.within_seconds, int(age.total_seconds()))})
            for key in readers_of(item, partition, contract.cadence):
                yield contract.key, key


@dataclass(frozen=True)
class Unsettled:
    """What must be looked at again.

    Attributes:
        soon: at the next look.
        later: not before an instant, unless it is touched again.
    """

    soon: frozenset[Place]
    later: Mapping[Place, datetime]


def unsettled(decisions: Iterable[Decision], now: datetime) -> Unsettled:
    """What of these partitions is not done with: asked for, being built, held by a wave, or waiting for its hour to settle or its next try.

    One that was to be asked for stays too, whether or not there was room for it. Never built ones that wait are the schedules' to find.
    """
    soon: set[Place] = set()
    later: dict[Place, datetime] = {}
    for each in decisions:
        place = (each.endpoint, each.partition)
        known = each.next_look is not None and (each.late > 0 or each.state is PartitionState.FAILED)
        if each.state in _MOVING or each.ask:
            soon.add(place)
        elif each.paused and each.state in _KEPT:
            later[place] = now + _PAUSED_AGAIN
        elif known and each.next_look is not None:
            later[place] = each.next_look
        elif each.state is PartitionState.STALE:
            soon.add(place)
    return Unsettled(frozenset(soon), later)
