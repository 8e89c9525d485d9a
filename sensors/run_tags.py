"""The tags that runs are given: a planned run's range, its `requested` row, its place in the queue; a backfill's. How tags are read is the build's matter."""

from __future__ import annotations

from typing import Literal

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PRIORITY = "dagster/priority"
REQUEST = "backline/request"
TRIGGER = "backline/trigger"
TIER = "backline/tier"
LANE = "backline/lane"
FORCE = "backline/force"

PlannedTrigger = Literal["schedule", "late"]
_PRIORITIES = {"high": "2", "normal": "1", "low": "0"}


def planned_tags(request_id: int, first: str, last: str, tier: str, trigger: PlannedTrigger) -> dict[str, str]:
    """The tags of a run that the planner asks for."""
    return {
        RANGE_START: first,
        RANGE_END: last,
        REQUEST: str(request_id),
        TRIGGER: trigger,
        TIER: tier,
        LANE: "cadence",
        PRIORITY: _PRIORITIES[tier],
    }


def backfill_tags(*, force: bool) -> dict[str, str]:
    """The tags of a backfill that a command starts, handed on to its runs: behind every planned run in the queue, in a lane of its own.

    How many of them go at a time is said of the tag `dagster/backfill` in dagster.yaml, for those from the web pages too.
    """
    return {TRIGGER: "command", LANE: "backfill", PRIORITY: "-1", **({FORCE: "yes"} if force else {})}
