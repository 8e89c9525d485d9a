"""The tags of a run: how a planned run, a click and a range are told apart (DESIGN 5). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, get_args

from platform_defs.build.dagster_private import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    PARENT_RUN_ID_TAG,
    PARTITION_NAME_TAG,
)
from platform_defs.execution.platform import Trigger

REQUEST = "backline/request"
TRIGGER = "backline/trigger"
FORCE = "backline/force"
TIER = "backline/tier"
LANE = "backline/lane"
PRIORITY = "dagster/priority"

RANGE_START = ASSET_PARTITION_RANGE_START_TAG
RANGE_END = ASSET_PARTITION_RANGE_END_TAG

_PRIORITIES = {"high": "2", "normal": "1", "low": "0"}


@dataclass(frozen=True)
class Asked:
    """What a run's tags say.

    Attributes:
        force: rebuild what is current too.
        request_id: the `requested` row it serves; None for a person's run.
    """

    trigger: Trigger
    force: bool
    request_id: int | None


def planned_tags(request_id: int, first: str, last: str, tier: str, trigger: Trigger) -> dict[str, str]:
    """The tags of a run that the planner asks for: its range, its `requested` row, its place in the queue."""
    return {
        RANGE_START: first,
        RANGE_END: last,
        REQUEST: str(request_id),
        TRIGGER: trigger,
        TIER: tier,
        LANE: "cadence",
        PRIORITY: _PRIORITIES.get(tier, "1"),
    }


def read_tags(tags: Mapping[str, str]) -> Asked:
    """Reads a run's tags.

    A planned run carries its request's id. A person's run of one partition (`dagster/partition` without a backfill's id) is a click. All else is a range:
    a backfill, or a range launched as one run; `backline backfill` marks its own as `command`. A repeated run (from failure) keeps its tags; it is a
    `retry` unless it was a click, for a click still wants its partition rebuilt.
    """
    force = tags.get(FORCE, "").lower() in ("yes", "true", "1")
    request = tags.get(REQUEST, "")
    request_id = int(request) if request.isdecimal() else None
    said = tags.get(TRIGGER)
    if request_id is None and PARTITION_NAME_TAG in tags and BACKFILL_ID_TAG not in tags:
        return Asked("click", force, None)
    if PARENT_RUN_ID_TAG in tags:
        return Asked("retry", force, request_id)
    if said in get_args(Trigger):
        return Asked(cast(Trigger, said), force, request_id)
    return Asked("schedule" if request_id is not None else "range", force, request_id)
