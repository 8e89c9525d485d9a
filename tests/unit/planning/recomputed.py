"""What a partition reads and holds, worked out anew from the contract's words with nothing of the planner's: what a simulated platform is held to.

Windows are instants here: an input's partitions that lie within a span of time, and begin no earlier than the input itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from platform_defs.contracts.contract import AsOfInput, Contract, Input
from tests.unit.planning.simulated import hashed

ContentOf = Callable[[str, str], bytes | None]
_SIZE = {"hourly": timedelta(hours=1), "daily": timedelta(days=1)}
_FORM = {"hourly": "%Y-%m-%dT%H", "daily": "%Y-%m-%d"}


@lru_cache(maxsize=1 << 14)
def begins(partition: str) -> datetime:
    """First instant of an hour, a day, or a `start`."""
    return datetime.strptime(partition, _FORM["hourly" if "T" in partition else "daily"]).replace(tzinfo=UTC)


def ends(partition: str) -> datetime:
    """The instant after an hour or a day."""
    return begins(partition) + _SIZE["hourly" if "T" in partition else "daily"]


def places_read(contract: Contract, partition: str, contracts: Mapping[str, Contract], pins: Mapping[str, str]) -> list[tuple[str, str]]:
    """The partitions of its inputs, as (endpoint, key). Of snapshots the one that was chosen, if it may be read at all."""
    return [
        (endpoint, key)
        for item in contract.inputs
        for endpoint, key in candidates(item, contract, partition, contracts)
        if not isinstance(item, AsOfInput) or pins.get(item.param) == key
    ]


def candidates(item: Input, contract: Contract, partition: str, contracts: Mapping[str, Contract]) -> list[tuple[str, str]]:
    """All that one input may read."""
    found, read = [], contracts[item.endpoint]
    first, end = _span(item, contract, partition)
    size = _SIZE[read.cadence]
    at = max(first, begins(read.start))
    while at + size <= end:
        found.append((item.endpoint, at.strftime(_FORM[read.cadence])))
        at += size
    return found


def _span(item: Input, contract: Contract, partition: str) -> tuple[datetime, datetime]:
    """From the first instant that is read to the one after the last; a snapshot's lies whole within it."""
    first, end = begins(partition), begins(partition) + _SIZE[contract.cadence]
    if isinstance(item, AsOfInput):
        oldest = end - timedelta(seconds=item.within_seconds)  # the earliest a snapshot may have ended
        midnight = oldest.replace(hour=0)
        return (midnight if midnight == oldest else midnight + timedelta(days=1)) - timedelta(days=1), end
    if item.unit == "hours":
        return first + timedelta(hours=item.first), end + timedelta(hours=item.last)
    midnight = first.replace(hour=0)
    return midnight + timedelta(days=item.first), midnight + timedelta(days=item.last + 1)


def computed(contract: Contract, partition: str, contracts: Mapping[str, Contract], pins: Mapping[str, str], content: ContentOf) -> bytes | None:
    """What an endpoint's function makes of what is published: one time in four the same whatever it reads. None: something it reads is not there."""
    read = [(*place, content(*place)) for place in places_read(contract, partition, contracts, pins)]
    snapshots = sum(isinstance(item, AsOfInput) for item in contract.inputs)
    if any(held is None for _, _, held in read) or len(pins) < snapshots:
        return None
    rows = hashed(*read)
    return hashed(contract.key, partition, contract.code_version, rows if rows[0] % 4 else b"the same again")
