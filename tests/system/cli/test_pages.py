"""Each row of on-call.md's table on contracts and backfills is held by a test, by name."""

from __future__ import annotations

import re

import pytest

from platform_defs.running.supervisor import CHECKOUT

HEADING = "## Commands that change contracts and build the past"
HELD = {
    "plan": "tests/system/cli/test_plan.py::test_what_breaks_is_named_with_its_senders_and_how_it_is_decided",
    "plan --against GIT_REF": "tests/system/cli/test_plan.py::test_against_a_git_ref",
    "apply": "tests/unit/running/test_applying.py::test_what_breaks_is_refused_with_the_way_to_decide_it",
    "apply --allow NAME": "tests/unit/running/test_applying.py::test_every_breaking_change_is_refused_unless_it_is_named",
    "backfill NAME --from A --to B --plan": "tests/system/cli/test_backfill_plan.py::test_a_plan_says_partitions_runs_and_time_and_starts_nothing",
    "backfill NAME --from A --to B": "tests/system/cli/test_backfill_plan.py::test_an_expired_landing_is_refused_before_anything_starts",
    "backfill NAME --from A --to B --downstream": "tests/system/cli/test_backfill_plan.py::test_readers_come_along",
    "backfill NAME --outdated": "tests/system/dagster/test_backfill_command.py::test_only_what_needs_it_is_built_gap_by_gap",
    "backfill NAME --from A --to B --force": "tests/system/dagster/test_backfill_command.py::test_force_reaches_the_builder",
    "Ctrl-C in a backfill": "tests/system/dagster/test_backfill_command.py::test_left_by_ctrl_c_it_goes_on_cancelled_it_stops_and_is_resumed",
    "backfill --cancel ID": "tests/system/dagster/test_backfill_command.py::test_left_by_ctrl_c_it_goes_on_cancelled_it_stops_and_is_resumed",
    "backfill --resume ID": "tests/system/dagster/test_backfill_command.py::test_what_is_refused_is_named_and_resumed_once_it_is_mended",
}


def test_every_row_is_held_and_every_held_row_is_there() -> None:
    page = (CHECKOUT / "docs" / "on-call.md").read_text(encoding="utf-8").partition(HEADING)[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| ")][1:]
    assert [row[0].strip(" `") for row in rows] == list(HELD)
    assert all(len(row) == 3 for row in rows)


@pytest.mark.parametrize("where", sorted(set(HELD.values())))
def test_the_test_that_holds_it_is_there(where: str) -> None:
    file, _, name = where.partition("::")
    assert re.search(rf"^def {name}\(", (CHECKOUT / file).read_text(encoding="utf-8"), re.MULTILINE)
