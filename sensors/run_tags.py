"""The tags a planned run carries: its range, its `requested` row, its place in the queue. How tags are read again is the build's matter."""

from __future__ import annotations

from typing import Literal

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PRIORITY = "dagster/priority"
REQUEST = "backline/request"
TRIGGER = "backline/trigger"
TIER = "backline/tier"
LANE = "backline/lane"

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
