"""Each row of on-call.md's tables is held by a test, by name. Those of other pages of it: test_on_call, test_land, test_retention."""

from __future__ import annotations

import re

import pytest

from platform_defs.cli.main import SUBS
from platform_defs.running.supervisor import CHECKOUT
from tests.system.cli import test_land, test_on_call, test_retention

TICKS, GRAPHQL = "tests/system/dagster/test_ticks.py", "tests/system/dagster/test_over_graphql.py"
CONCURRENCY, STATES = "tests/spark/execution/test_concurrency.py", "tests/unit/planning/test_states.py"
STATE_ROWS = {
    "waiting": f"{STATES}::test_a_partition_waits_for_named_hours",
    "due, requested, running": f"{STATES}::test_what_is_in_flight_is_not_asked_again",
    "stale": "tests/system/ledger/test_outside.py::test_rows_deleted_by_hand_make_their_partition_stale_until_it_is_built",
    "outdated": f"{STATES}::test_new_code_outdates_and_changes_nothing_by_itself",
    "refused": f"{STATES}::test_a_refused_rebuild_keeps_its_name_while_the_last_good_version_stays",
    "failed": f"{STATES}::test_failed_refused_stuck",
    "stuck": f"{TICKS}::test_what_raised_is_tried_once_until_its_code_or_input_changes",
    "stuck, changed outside": "tests/system/ledger/test_outside.py::test_an_imported_partition_waits_for_a_person",
    "overdue": "tests/system/dagster/test_on_time.py::test_what_is_not_there_fails_with_the_root_and_is_told_once",
    "paused": "tests/system/dagster/test_decisions.py::test_a_paused_domain_is_not_asked_for_until_it_is_resumed",
}
BUTTONS = {
    "Materialize, one partition": f"{CONCURRENCY}::test_a_double_click_builds_once",
    "Materialize, a range": f"{GRAPHQL}::test_a_click_rebuilds_what_a_range_skips",
    "Materialize, several datasets": f"{GRAPHQL}::test_a_person_may_start_parent_and_child_in_one_run",
    "Cancel a backfill, Re-execute": f"{GRAPHQL}::test_cancelled_and_resumed",
    "Terminate a run": f"{CONCURRENCY}::test_a_cancelled_build_leaves_nothing_behind",
    "Force termination": f"{CONCURRENCY}::test_a_force_cancelled_run_that_wakes_after_another_published_is_refused",
    "A run's process is killed": f"{CONCURRENCY}::test_a_dead_runs_work_is_stopped_before_anything_is_computed",
    "Re-execute from failure": f"{GRAPHQL}::test_one_refused_hour_is_shown_and_built_again_from_failure",
    "Switch a schedule or a sensor off, in Automation": "tests/system/running/test_up.py::test_a_schedule_that_is_switched_off_is_named",
    "Wipe materializations, Delete a run": f"{TICKS}::test_what_dagster_is_made_to_forget_is_not_built_again",
}
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

UP, LOGS = "tests/system/running/test_up.py", "tests/unit/cli/test_logs.py"
SHOWN = {
    "failed list [--last 24h]": f"{UP}::test_sent_events_get_their_verdicts",
    "failed show ID": f"{UP}::test_sent_events_get_their_verdicts",
    "logs [NAME]": f"{LOGS}::test_the_last_lines_of_a_process",
    "logs RUN": f"{LOGS}::test_a_run_is_found_by_the_beginning_of_its_id",
    "read NAME --from A --to B": f"{UP}::test_planted_values_reach_tables_and_outputs_as_pseudonyms",
    "collector token CLIENT": "tests/unit/collection/test_tokens.py::test_a_new_token_voids_the_old_one",
    "collector revoke CLIENT": "tests/unit/collection/test_tokens.py::test_a_new_token_voids_the_old_one",
    "down": f"{UP}::test_after_kill_9_and_a_restart_only_landing_holds_what_was_planted",
}
# What authors and who sets a platform up meet: their own pages tell of these.
NOT_ON_CALL = {"demo", "up", "test", "new", "send", "secret", "bench"}

TABLES = {
    "# For people on call": STATE_ROWS,
    "## Buttons of the web pages": BUTTONS,
    "## Commands that change contracts and build the past": HELD,
    "## Commands that show what lies there, and stop": SHOWN,
}


@pytest.mark.parametrize("heading", TABLES)
def test_every_row_is_held_and_every_held_row_is_there(heading: str) -> None:
    page = (CHECKOUT / "docs" / "on-call.md").read_text(encoding="utf-8").partition(heading)[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| ")][1:]
    assert [row[0].strip(" `") for row in rows] == list(TABLES[heading])
    assert all(len(row) == 3 for row in rows)


def test_every_table_of_states_buttons_and_commands_is_held() -> None:
    page = (CHECKOUT / "docs" / "on-call.md").read_text(encoding="utf-8")
    tables = [part.splitlines()[0] for part in page.split("\n## ") if re.search(r"^\| (state|button|command) \|", part, re.MULTILINE)]
    elsewhere = [test_on_call.HEADING, test_land.HEADING, test_retention.HEADING]
    assert sorted(heading.lstrip("# ") for heading in tables) == sorted(heading.lstrip("# ") for heading in [*TABLES, *elsewhere])


def test_every_command_that_there_is_is_told() -> None:
    page = (CHECKOUT / "docs" / "on-call.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z]+)[ `]", page, re.MULTILINE)) == SUBS.keys() - NOT_ON_CALL


@pytest.mark.parametrize("where", sorted({where for held in TABLES.values() for where in held.values()}))
def test_the_test_that_holds_it_is_there(where: str) -> None:
    file, _, name = where.partition("::")
    assert re.search(rf"^def {name}\(", (CHECKOUT / file).read_text(encoding="utf-8"), re.MULTILINE)
