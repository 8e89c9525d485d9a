"""What a person sees and does in Dagster's pages, over GraphQL, through the real daemon: backfills, refusals, cancel and resume, clicks."""

import json
from pathlib import Path

import pytest

from platform_defs.contracts.partitions import keys_between
from sensors.run_tags import planned_tags
from tests.fixtures.dagster import RunningDagster, until


def asked(dagster: RunningDagster) -> list[dict[str, object]]:
    """What the builder was asked, oldest first."""
    return [json.loads(path.read_text()) for path in sorted((dagster.settings.home / "built").glob("*.json"))]


@pytest.fixture
def home(scripted: RunningDagster) -> Path:
    return scripted.settings.home


def test_the_catalogue_says_what_the_contract_says(scripted: RunningDagster) -> None:
    plays = scripted.asset("music/plays")
    assert plays["description"] == "Plays of each track."
    assert plays["owners"] == [{"team": "music"}]
    assert set(plays["kinds"]) == {"endpoint", "spark", "deltalake"}
    assert plays["dependencyKeys"] == [{"path": ["music", "track_played"]}]
    entries = {entry["label"]: entry for entry in plays["metadataEntries"]}
    assert entries["dagster/table_name"]["text"] == "music.plays"
    assert [column["name"] for column in entries["dagster/column_schema"]["schema"]["columns"]] == ["hour", "track_id", "plays"]
    assert json.loads(entries["inputs"]["jsonString"]) == ['played = "music/track_played"']
    royalties = scripted.asset("sales/royalties")
    assert royalties["dependencyKeys"] == [{"path": ["music", "plays"]}]


def test_one_asset_over_72_hours(scripted: RunningDagster) -> None:
    backfill = scripted.backfill({"music/track_played": ("2024-10-05T00", "2024-10-07T23")})
    state = scripted.wait_backfill(backfill)
    assert state["status"] == "COMPLETED_SUCCESS", state
    assert [run["status"] for run in state["runs"]] == ["SUCCESS"] * 3
    rows = scripted.materialised("music/track_played")
    assert set(keys_between("2024-10-05T00", "2024-10-07T23")) <= set(rows)
    one = rows["2024-10-06T13"]
    assert (one["dagster/partition_row_count"], one["version"], one["median seconds a partition"], one["landed"]) == (7, 1, 0.5, 7)
    for name in ("contract", "volume", "accounting", "complete"):
        ranges = scripted.checks("music/track_played")[name]["partitionStatuses"]["ranges"]
        assert {"status": "SUCCEEDED", "startKey": "2024-10-05T00", "endKey": "2024-10-07T23"} in ranges, (name, ranges)
    assert {call["trigger"] for call in asked(scripted) if call["key"] == "music/track_played"} == {"range"}


def test_four_assets_of_two_domains_over_30_hours_across_midnight(scripted: RunningDagster) -> None:
    hours = ("2024-10-10T20", "2024-10-12T01")
    days = ("2024-10-10", "2024-10-11")
    backfill = scripted.backfill({"music/track_played": hours, "music/plays": hours, "sales/royalties": hours, "sales/royalties_day": days})
    state = scripted.wait_backfill(backfill)
    assert state["status"] == "COMPLETED_SUCCESS", state
    for key in ("music/track_played", "music/plays", "sales/royalties"):
        assert set(keys_between(*hours)) <= set(scripted.materialised(key)), key
    assert set(keys_between(*days)) <= set(scripted.materialised("sales/royalties_day"))
    order = [str(call["key"]) for call in asked(scripted) if set(call["keys"]) & {*keys_between(*hours), *keys_between(*days)}]  # type: ignore[call-overload]
    assert order.index("music/track_played") < order.index("music/plays") < order.index("sales/royalties") < order.index("sales/royalties_day")


def test_running_totals_are_built_day_by_day_in_few_runs(scripted: RunningDagster) -> None:
    days = ("2024-10-01", "2024-10-10")
    state = scripted.wait_backfill(scripted.backfill({"music/totals": days}))
    assert state["status"] == "COMPLETED_SUCCESS", state
    calls = [call["keys"] for call in asked(scripted) if call["key"] == "music/totals"]
    assert [key for keys in calls for key in keys] == keys_between(*days)  # type: ignore[attr-defined]
    assert len(calls) == 2


def test_one_refused_hour_is_shown_and_built_again_from_failure(scripted: RunningDagster, home: Path) -> None:
    (home / "refuse.json").write_text(json.dumps(["music/plays 2024-10-15T03"]))
    first, last = "2024-10-15T00", "2024-10-15T23"
    backfill = scripted.backfill({"music/plays": (first, last)})
    state = scripted.wait_backfill(backfill)
    assert state["status"] == "COMPLETED_FAILED", state
    (run,) = state["runs"]
    assert run["status"] == "FAILURE"
    assert "music/plays: 1 of 24 partitions not published (1 refused)" in scripted.failure_of(run["runId"])
    shown = scripted.materialised("music/plays")
    assert set(keys_between(first, last)) - set(shown) == {"2024-10-15T03"}
    contract = scripted.checks("music/plays")["contract"]
    assert {"status": "FAILED", "startKey": "2024-10-15T03", "endKey": "2024-10-15T03"} in contract["partitionStatuses"]["ranges"]
    assert contract["executionForLatestMaterialization"]["status"] == "FAILED"
    assert "1 of 24 partitions failed. 2024-10-15T03" in contract["executionForLatestMaterialization"]["evaluation"]["description"]
    failed_before = scripted.partitions("music/plays")["failed"]

    (home / "refuse.json").unlink()
    again = scripted.retry_backfill(backfill)
    assert scripted.wait_backfill(again)["status"] == "COMPLETED_SUCCESS"
    assert "2024-10-15T03" in scripted.materialised("music/plays")
    assert asked(scripted)[-1]["keys"] == ["2024-10-15T03"]
    assert scripted.partitions("music/plays")["failed"] == failed_before - 1
    ranges = scripted.checks("music/plays")["contract"]["partitionStatuses"]["ranges"]
    assert {"status": "SUCCEEDED", "startKey": first, "endKey": last} in ranges


def test_a_refused_rebuild_keeps_the_good_version_and_shows_the_failed_check(scripted: RunningDagster, home: Path) -> None:
    key = "2024-10-16T05"
    assert scripted.wait_run(scripted.launch("music", ["music/plays"], {"dagster/partition": key})) == "SUCCESS"
    good = scripted.materialised("music/plays")[key]
    (home / "refuse.json").write_text(json.dumps([f"music/plays {key}"]))
    try:
        assert scripted.wait_run(scripted.launch("music", ["music/plays"], {"dagster/partition": key})) == "FAILURE"
    finally:
        (home / "refuse.json").unlink()
    assert scripted.materialised("music/plays")[key] == good
    assert {"status": "FAILED", "startKey": key, "endKey": key} in scripted.checks("music/plays")["contract"]["partitionStatuses"]["ranges"]


def test_a_source_that_is_not_ready_ends_its_run_well(scripted: RunningDagster, home: Path) -> None:
    (home / "wait.json").write_text(json.dumps(["sales/prices 2024-10-03"]))
    tags = {"dagster/asset_partition_range_start": "2024-10-02", "dagster/asset_partition_range_end": "2024-10-03"}
    assert scripted.wait_run(scripted.launch("sales", ["sales/prices"], tags)) == "SUCCESS"
    assert set(scripted.materialised("sales/prices")) == {"2024-10-02"}
    assert scripted.wait_run(scripted.launch("sales", ["sales/prices"], {"dagster/partition": "2024-10-03"})) == "SUCCESS"
    assert set(scripted.materialised("sales/prices")) == {"2024-10-02"}
    (home / "wait.json").unlink()
    assert scripted.wait_run(scripted.launch("sales", ["sales/prices"], {"dagster/partition": "2024-10-03"})) == "SUCCESS"
    assert set(scripted.materialised("sales/prices")) == {"2024-10-02", "2024-10-03"}


def test_cancelled_and_resumed(scripted: RunningDagster, home: Path) -> None:
    (home / "hold").touch()
    try:
        backfill = scripted.backfill({"music/track_played": ("2024-10-20T00", "2024-10-21T23")})
        until(lambda: any("2024-10-20T00" in call["keys"] for call in asked(scripted)), 90, "the builder was asked")  # type: ignore[operator]
        scripted.cancel_backfill(backfill)
        state = scripted.wait_backfill(backfill)
        assert state["status"] == "CANCELED", state
        assert {run["status"] for run in state["runs"]} == {"CANCELED"}
    finally:
        (home / "hold").unlink()
    wanted = set(keys_between("2024-10-20T00", "2024-10-21T23"))
    assert not wanted & set(scripted.materialised("music/track_played"))
    again = scripted.retry_backfill(backfill)
    assert scripted.wait_backfill(again)["status"] == "COMPLETED_SUCCESS"
    assert wanted <= set(scripted.materialised("music/track_played"))


def test_a_click_rebuilds_what_a_range_skips(scripted: RunningDagster) -> None:
    key = "2024-10-25T10"
    tags = {"dagster/asset_partition_range_start": key, "dagster/asset_partition_range_end": key}
    for extra, expected, skipped in (({}, "range", None), ({}, "range", True), ({"backline/force": "yes"}, "range", None)):
        run = scripted.launch("music", ["music/plays"], {**tags, **extra})
        assert scripted.wait_run(run) == "SUCCESS"
        assert asked(scripted)[-1]["trigger"] == expected
        assert scripted.materialised("music/plays")[key].get("skipped") == skipped
        # What is found current keeps the verdict of the build that judged it.
        assert {"status": "SUCCEEDED", "startKey": key, "endKey": key} in scripted.checks("music/plays")["volume"]["partitionStatuses"]["ranges"]
    run = scripted.launch("music", ["music/plays"], {"dagster/partition": key})
    assert scripted.wait_run(run) == "SUCCESS"
    assert asked(scripted)[-1]["trigger"] == "click"
    assert "skipped" not in scripted.materialised("music/plays")[key]


def test_a_person_may_start_parent_and_child_in_one_run(scripted: RunningDagster) -> None:
    key = "2024-10-26T10"
    run = scripted.launch("music", ["music/plays", "music/track_played"], {"dagster/partition": key})
    assert scripted.wait_run(run) == "SUCCESS"
    assert [call["key"] for call in asked(scripted)[-2:]] == ["music/track_played", "music/plays"]


def test_assets_of_one_run_are_built_side_by_side_and_each_fails_by_itself(scripted: RunningDagster, home: Path) -> None:
    day = "2024-10-28"
    (home / "meet.json").write_text(json.dumps(["sales/prices", "sales/royalties_day"]))
    (home / "refuse.json").write_text(json.dumps([f"sales/prices {day}"]))
    try:
        run = scripted.launch("sales", ["sales/prices", "sales/royalties_day"], {"dagster/partition": day})
        assert scripted.wait_run(run) == "FAILURE"
    finally:
        (home / "meet.json").unlink()
        (home / "refuse.json").unlink()
    assert "sales/prices: 1 of 1 partition not published (1 refused)" in scripted.failure_of(run)
    assert day in scripted.materialised("sales/royalties_day")
    assert day not in scripted.materialised("sales/prices")

    again = scripted.reexecute(run)
    assert scripted.wait_run(again) == "SUCCESS"
    assert [call["key"] for call in asked(scripted) if call["run"] == again] == ["sales/prices"]


def test_a_planned_runs_tags_reach_the_builder(scripted: RunningDagster) -> None:
    hours = keys_between("2024-10-27T00", "2024-10-27T05")
    tags = planned_tags(41, hours[0], hours[-1], "high", "schedule", [("music/plays", hours[2]), ("music/track_played", hours[3])])
    run = scripted.launch("music", ["music/plays", "music/track_played"], tags, job="music_hourly")
    assert scripted.wait_run(run) == "SUCCESS"
    common = {"keys": hours, "trigger": "schedule", "force": False, "request_id": 41, "run": run}
    assert sorted((call for call in asked(scripted) if call["run"] == run), key=lambda call: str(call["key"])) == [
        {"key": "music/plays", "spared": [hours[2]], **common},
        {"key": "music/track_played", "spared": [hours[3]], **common},
    ]
