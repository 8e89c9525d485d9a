"""A planned run, a click, a range and a repeated run are told apart by their tags."""

import pytest

from platform_defs.build.dagster_private import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from platform_defs.build.tags import Asked, read_tags
from sensors.run_tags import PRIORITY, RANGE_END, RANGE_START, backfill_tags, planned_tags


@pytest.mark.parametrize(
    ("tags", "asked"),
    [
        ({"dagster/partition": "2026-01-01T00"}, Asked("click", False, None)),
        ({"dagster/partition": "2026-01-01T00", "dagster/parent_run_id": "r"}, Asked("click", False, None)),
        ({"dagster/partition": "2026-01-01T00", "dagster/backfill": "b"}, Asked("range", False, None)),
        ({RANGE_START: "2026-01-01T00", RANGE_END: "2026-01-01T03"}, Asked("range", False, None)),
        ({RANGE_START: "2026-01-01T00", RANGE_END: "2026-01-01T03", "backline/force": "yes"}, Asked("range", True, None)),
        ({"dagster/backfill": "b", "backline/trigger": "command"}, Asked("command", False, None)),
        ({"dagster/backfill": "b", **backfill_tags(force=False)}, Asked("command", False, None)),
        ({"dagster/backfill": "b", **backfill_tags(force=True)}, Asked("command", True, None)),
        ({"dagster/backfill": "b", "dagster/parent_run_id": "r"}, Asked("retry", False, None)),
        ({"backline/trigger": "nonsense", "dagster/backfill": "b"}, Asked("range", False, None)),
        (planned_tags(7, "2026-01-01T00", "2026-01-01T03", "high", "schedule"), Asked("schedule", False, 7)),
        (planned_tags(7, "2026-01-01T00", "2026-01-01T03", "high", "late"), Asked("late", False, 7)),
        ({**planned_tags(7, "2026-01-01T00", "2026-01-01T00", "high", "late"), "dagster/partition": "2026-01-01T00"}, Asked("late", False, 7)),
    ],
)
def test_what_a_run_was_asked_for(tags: dict[str, str], asked: Asked) -> None:
    assert read_tags(tags) == asked


def test_high_tier_goes_first() -> None:
    order = [int(planned_tags(1, "a", "b", tier, "schedule")[PRIORITY]) for tier in ("high", "normal", "low")]
    assert order == sorted(order, reverse=True)
    assert len(set(order)) == 3


def test_a_backfill_goes_behind_every_planned_run() -> None:
    assert int(backfill_tags(force=False)[PRIORITY]) < int(planned_tags(1, "a", "b", "low", "schedule")[PRIORITY])


def test_ranges_are_said_in_dagsters_own_tags() -> None:
    assert (RANGE_START, RANGE_END) == (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)
