"""What is missing beyond the look-back: partitions the planner no longer asks for by itself, as ranges per endpoint, root causes first.

Sets of partitions are ranges throughout: tens of thousands of endpoints with months of history are looked at, and most lack nothing. Within the
look-back the planner's own decisions say what is the matter.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from platform_defs.contracts.contract import AsOfInput, Contract, Input
from platform_defs.contracts.partitions import Cadence, index_of, key_at, key_of
from platform_defs.planning.levels import levels
from platform_defs.planning.spans import Ranges, count, joined, within, without
from platform_defs.planning.states import LOOK_BACK
from platform_defs.planning.windows import first_key, reader_span, readers_of


@dataclass(frozen=True)
class Hole:
    """What one endpoint lacks, by partition number.

    Attributes:
        ready: a backfill of these alone builds them: all they read is there.
        waiting: these read what is missing itself. behind: of which endpoints.
        gone: hours of an event type of whose landing something has expired: nothing can build them any more.
        readers: endpoints that wait for it directly.
    """

    endpoint: str
    cadence: Cadence
    ready: Ranges
    waiting: Ranges
    gone: Ranges
    behind: tuple[str, ...]
    readers: tuple[str, ...]

    @property
    def partitions(self) -> int:
        """How many there are."""
        return count(self.ready) + count(self.waiting) + count(self.gone)

    @property
    def span(self) -> tuple[str, str]:
        """Its first and last partition."""
        every = [*self.ready, *self.waiting, *self.gone]
        return key_at(self.cadence, min(first for first, _ in every)), key_at(self.cadence, max(last for _, last in every))

    @property
    def buildable(self) -> tuple[str, str] | None:
        """First and last of what a backfill can build, itself or after its inputs; None if there is nothing."""
        every = [*self.ready, *self.waiting]
        return (key_at(self.cadence, min(first for first, _ in every)), key_at(self.cadence, max(last for _, last in every))) if every else None

    @property
    def is_root(self) -> bool:
        """Whether something of it waits for nothing else."""
        return bool(self.ready or self.gone)


def existing(contract: Contract, now: datetime, back: timedelta = timedelta()) -> Ranges:
    """The partitions that should be there: not before start, not past retention, over since at least `back`."""
    oldest = key_of(contract.cadence, now - timedelta(seconds=contract.retention_seconds))
    newest = index_of(key_of(contract.cadence, now - back)) - 1
    return joined([(index_of(max(oldest, first_key(contract))), newest)])


def missing(
    contracts: Mapping[str, Contract],
    published: Mapping[str, Ranges],
    now: datetime,
    paused: Collection[str] = (),
    gone: Mapping[str, Ranges] | None = None,
    back: timedelta = LOOK_BACK,
) -> list[Hole]:
    """What was never published between an endpoint's start (or its retention, if that is later) and the look-back.

    Args:
        contracts: the registry.
        published: what is published of each endpoint, of all time.
        paused: endpoints that are left alone: not told; who waits for them is.
        gone: of event types, hours of whose landing something has expired.

    Returns:
        Those that wait for nothing before those that wait in part, and these before those that only wait; of equals first what most others wait for.
    """
    level = levels(contracts.values())
    lacking = {key: without(existing(contract, now, back), published.get(key, ())) for key, contract in contracts.items()}
    read_by: dict[str, list[str]] = {}
    found: dict[str, Hole] = {}
    for key in sorted(contracts, key=lambda each: (level[each], each)):
        if not lacking[key] or key in paused:
            continue
        contract = contracts[key]
        waiting, behind = _waiting(contract, contracts, published, lacking[key], now)
        lost = within(lacking[key], (gone or {}).get(key, ()))
        waiting = without(waiting, lost)
        found[key] = Hole(key, contract.cadence, without(without(lacking[key], waiting), lost), waiting, lost, behind, ())
        for each in behind:
            read_by.setdefault(each, []).append(key)
    holes = [_with_readers(hole, read_by.get(hole.endpoint, ())) for hole in found.values()]
    return sorted(holes, key=lambda hole: (not hole.is_root, bool(hole.waiting), -len(hole.readers) if hole.is_root else level[hole.endpoint], hole.endpoint))


def _with_readers(hole: Hole, readers: Collection[str]) -> Hole:
    return Hole(hole.endpoint, hole.cadence, hole.ready, hole.waiting, hole.gone, hole.behind, tuple(sorted(readers)))


def _waiting(
    contract: Contract, contracts: Mapping[str, Contract], published: Mapping[str, Ranges], mine: Ranges, now: datetime
) -> tuple[Ranges, tuple[str, ...]]:
    """Those of an endpoint's missing partitions for which an input is incomplete, and which inputs are."""
    blocked: list[tuple[int, int]] = []
    behind: list[str] = []
    for item in contract.inputs:
        if item.endpoint == contract.key:  # running totals: built in order, one backfill does it
            continue
        held = _held_up(item, contract, contracts[item.endpoint], published.get(item.endpoint, ()), mine, now)
        if held:
            blocked += held
            behind.append(item.endpoint)
    return within(mine, joined(blocked)), tuple(dict.fromkeys(behind))


def _held_up(item: Input, contract: Contract, read: Contract, published: Ranges, mine: Ranges, now: datetime) -> Ranges:
    """Those of `mine` that wait for this input."""
    if isinstance(item, AsOfInput):
        served = []
        for first, last in published:
            at_first = readers_of(item, key_at(read.cadence, first), contract.cadence)
            at_last = readers_of(item, key_at(read.cadence, last), contract.cadence)
            if at_first and at_last:
                served.append((index_of(at_first[0]), index_of(at_last[-1])))
        return without(mine, joined(served))
    # What is past the input's retention is not there either, and what is not over yet.
    newest = index_of(key_of(read.cadence, now))
    lacking = without(((index_of(first_key(read)), newest + _AHEAD[read.cadence]),), published)
    return within(mine, joined(reader_span(item, first, last, read.cadence, contract.cadence) for first, last in lacking))


# Windows may read ahead of what is over: as far as this all of an input counts as not there yet.
_AHEAD: dict[Cadence, int] = {"hourly": 24 * 400, "daily": 400}
