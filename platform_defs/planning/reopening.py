"""What reopening an event hour would admit, and which partitions would be looked at after it. Pure; the decision and its record are the ledger's matter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from platform_defs.contracts.contract import AsOfInput, Contract, LatenessPolicy
from platform_defs.contracts.partitions import index_of, key_at
from platform_defs.planning.facts import Published
from platform_defs.planning.lateness import awaits_reopening, is_parked
from platform_defs.planning.levels import levels
from platform_defs.planning.seals import is_unread
from platform_defs.planning.windows import readers_of


@dataclass(frozen=True)
class LandedSegment:
    """A segment of an event hour: who sealed it, when, as which seal, with how many rows."""

    receiver: str
    seal: int
    sealed_at: datetime
    rows: int


@dataclass(frozen=True)
class Parked:
    """What of a built hour is parked, or will be at its next build.

    Attributes:
        rows: as they landed; of what landing has dropped, the good ones that lie in the late table.
        segments: that exist. in_lane: rows of the late table.
    """

    rows: int
    segments: int
    in_lane: int


def parked(policy: LatenessPolicy | None, published: Published, reopened_at: datetime | None, landed: Iterable[LandedSegment], *, whole: bool) -> Parked:
    """What a reopening now would take in beyond what an earlier one did.

    Args:
        landed: the segments that exist. whole: whether that is all there ever were; else the late table is what is left of the others.
    """
    if policy is None:
        return Parked(0, 0, 0)
    in_lane = published.counts.parked if published.counts else 0
    found = [each for each in landed if is_parked(policy, published.first_built_at, each.sealed_at, reopened_at)]
    rows = sum(each.rows for each in found)
    if whole:
        return Parked(rows, len(found), in_lane)
    new = [each for each in found if is_unread(published, each.receiver, each.seal, each.sealed_at)]
    in_lane = 0 if awaits_reopening(published, reopened_at) else in_lane
    return Parked(in_lane + sum(each.rows for each in new), len(new), in_lane)


def is_whole(published: Published, landed: Iterable[LandedSegment], *, expired: bool) -> bool:
    """Whether all that the published version was built from still exists, as far as the ledger knows.

    `expired`: segments are known to be gone. A ledger that was made anew after their manifests had gone knows of none: then there are fewer rows.
    """
    known = published.counts.landed if published.counts else 0
    return not expired and known <= sum(each.rows for each in landed)


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
