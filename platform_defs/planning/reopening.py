"""What reopening an event hour would admit, and which partitions would be looked at after it. Pure; the decision and its record are the ledger's matter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from platform_defs.contracts.contract import AsOfInput, Contract, LatenessPolicy
from platform_defs.contracts.partitions import index_of, key_at
from platform_defs.planning.lateness import is_parked
from platform_defs.planning.levels import levels
from platform_defs.planning.windows import readers_of


def parked(
    policy: LatenessPolicy | None, first_built_at: datetime | None, reopened_at: datetime | None, segments: Iterable[tuple[datetime, int]]
) -> tuple[int, int]:
    """How many segments of an hour are parked or will be at its next build, and their rows as landed. `segments`: (sealed at, rows)."""
    if policy is None:
        return 0, 0
    rows = [count for sealed_at, count in segments if is_parked(policy, first_built_at, sealed_at, reopened_at)]
    return len(rows), sum(rows)


def downstream(contracts: Mapping[str, Contract], endpoint: str, partition: str) -> dict[str, tuple[str, str]]:
    """The partitions (first, last) of each endpoint that read this one over windows, directly or through others, in order of the graph.

    What is said is what is looked at: a span may hold partitions in which nothing changes. Not followed: an `as_of`, because a correction makes nothing
    stale there; a self-read (running totals), because it goes on to the newest partition.
    """
    level = levels(contracts.values())
    spans = {endpoint: (index_of(partition), index_of(partition))}
    for contract in sorted(contracts.values(), key=lambda each: (level[each.key], each.key)):
        reached: list[int] = []
        for item in contract.inputs:
            if item.endpoint not in spans or isinstance(item, AsOfInput) or item.endpoint == contract.key:
                continue
            read = contracts[item.endpoint].cadence
            reached += [index_of(key) for index in spans[item.endpoint] for key in readers_of(item, key_at(read, index), contract.cadence)]
        if reached:
            spans[contract.key] = (min(reached), max(reached))
    del spans[endpoint]
    return {key: (key_at(contracts[key].cadence, first), key_at(contracts[key].cadence, last)) for key, (first, last) in spans.items()}
