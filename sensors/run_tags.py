"""The tags that runs are given: a planned run's range, its `requested` row, its place in the queue; a backfill's. How tags are read is the build's matter."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Literal

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PRIORITY = "dagster/priority"
REQUEST = "backline/request"
TRIGGER = "backline/trigger"
TIER = "backline/tier"
LANE = "backline/lane"
FORCE = "backline/force"
SPARED = "backline/spared"

PlannedTrigger = Literal["schedule", "late"]
_PRIORITIES = {"high": "2", "normal": "1", "low": "0"}


def planned_tags(request_id: int, first: str, last: str, tier: str, trigger: PlannedTrigger, spared: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """The tags of a run that the planner asks for. `spared`: (endpoint, partition) of its range that it leaves alone."""
    left = spared_said(spared)
    return {
        RANGE_START: first,
        RANGE_END: last,
        REQUEST: str(request_id),
        TRIGGER: trigger,
        TIER: tier,
        LANE: "cadence",
        PRIORITY: _PRIORITIES[tier],
        **({SPARED: left} if left else {}),
    }


def spared_said(spared: Iterable[tuple[str, str]]) -> str:
    """The tag of what a run leaves alone, as people can read it: partitions by endpoint, JSON; empty if there is nothing."""
    by_endpoint: dict[str, list[str]] = {}
    for endpoint, partition in spared:
        by_endpoint.setdefault(endpoint, []).append(partition)
    return json.dumps(by_endpoint) if by_endpoint else ""


def spared_read(tags: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """What a run leaves alone, by endpoint."""
    return {endpoint: frozenset(partitions) for endpoint, partitions in json.loads(tags.get(SPARED) or "{}").items()}


def backfill_tags(*, force: bool) -> dict[str, str]:
    """The tags of a backfill that a command starts, handed on to its runs: behind every planned run in the queue, in a lane of its own.

    How many of them go at a time is said of the tag `dagster/backfill` in dagster.yaml, for those from the web pages too.
    """
    return {TRIGGER: "command", LANE: "backfill", PRIORITY: "-1", **({FORCE: "yes"} if force else {})}
