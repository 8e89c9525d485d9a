"""The tags of a run, read: how a planned run, a click and a range are told apart (DESIGN 5). Pure. What a planned run carries is in sensors.run_tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, get_args

from platform_defs.build.dagster_private import BACKFILL_ID_TAG, PARENT_RUN_ID_TAG, PARTITION_NAME_TAG
from platform_defs.execution.platform import Trigger
from sensors.run_tags import FORCE, REQUEST, TRIGGER


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
