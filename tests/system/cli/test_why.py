"""One partition on one screen."""

from __future__ import annotations

from datetime import timedelta

from platform_defs.ledger import Counts
from tests.system.cli.conftest import DAILY, PLAYED, RATE, TRACKS, Desk


def block(output: str, title: str) -> list[str]:
    """The lines under a title of the screen."""
    lines = output.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{title:<10}"))
    end = next((number for number in range(start + 1, len(lines)) if not lines[number].startswith(" " * 10)), len(lines))
    return [line[10:] for line in lines[start:end]]


def test_what_waits_is_followed_to_the_root_and_what_is_current_is_left_out(desk: Desk) -> None:
    silent = desk.now - timedelta(hours=9)
    desk.ledger.landing.beat("r2", silent, silent)
    hours = [desk.hour(ago) for ago in range(30)]
    desk.publish(PLAYED, *hours[1:])
    desk.publish(TRACKS, desk.day(2))
    shown = desk.run("why", RATE, hours[0])
    assert shown.startswith(f"{RATE} {hours[0]} is waiting (endpoint of team:test)\n  waits for {PLAYED} {hours[0]}\n")
    (root,) = block(shown, "waits for")
    assert root.startswith(f"{PLAYED} {hours[0]} waiting: receiver r2 silent since {silent:%Y-%m-%d %H:%M}: restart it or give it up")
    assert block(shown, "built") == ["never"]
    assert block(shown, "from") == [
        f"played: {PLAYED} {hours[1]} to {hours[0]} (2), Delta version 3, 1 not there",
        f"tracks: {TRACKS} as of {desk.day(2)}, Delta version 3",
    ]


def test_the_tree_goes_through_every_level(desk: Desk) -> None:
    desk.publish(TRACKS, desk.day(2))
    yesterday = desk.day(1)
    hours = [f"{yesterday}T{hour:02d}" for hour in range(24)]
    before = f"{desk.day(2)}T23"
    desk.publish(PLAYED, before, *hours)
    desk.publish(RATE, *(hour for hour in hours if hour not in (hours[3], hours[4])))
    desk.fail(RATE, hours[3], "refused", "contract: plays: 3 rows below 0")
    desk.fail(RATE, hours[4], "failed", "it raised KeyError", lasting=True)
    found = desk.json("why", DAILY, yesterday)
    nodes = {node["state"]: node for node in found["waits_for"]}
    assert {(node["state"], node["overdue"]) for node in found["waits_for"]} == {("refused", True), ("stuck", True)}
    assert (nodes["refused"]["partitions"], nodes["refused"]["waits"]) == ([hours[3]], [])
    assert nodes["refused"]["reasons"][0].startswith("contract: plays: 3 rows below 0")
    assert found["state"] == "waiting"


def test_a_current_partition_tells_its_build_its_rows_and_its_readers(desk: Desk) -> None:
    hour, other = desk.hour(3), desk.hour(4)
    desk.publish(TRACKS, desk.day(2))
    desk.land(hour, 12, desk.now - timedelta(hours=2, minutes=30), rejected=3)
    counts = Counts(landed=12, good=9, duplicate=2, quarantined=1)
    desk.publish(PLAYED, hour, other, rows=9, counts=counts, checks_passed=3, checks_failed=1, reason="volume: 9 rows, fewer than the usual 100 to 200")
    desk.publish(RATE, hour, run="run-2", pins={"tracks": desk.day(2)})
    shown = desk.run("why", PLAYED, hour)
    assert shown.startswith(f"{PLAYED} {hour} is current (event of team:test)")
    assert block(shown, "built") == [f"{desk.now - timedelta(minutes=5):%Y-%m-%d %H:%M:%S} by run run-1 (schedule) in 2.5 s, Delta version 3"]
    assert block(shown, "rows") == ["9; 12 landed = 9 good + 2 duplicate + 1 quarantined"]
    assert block(shown, "checks") == ["3 passed, 1 failed", "volume: 9 rows, fewer than the usual 100 to 200"]
    assert block(shown, "landed")[0].startswith("12 rows in 1 segment of r1, the last sealed ")
    assert block(shown, "read by") == [f"{RATE} {hour} to {desk.hour(2)}: 1 current, 1 waiting"]
    snapshot = desk.json("why", TRACKS, desk.day(2))
    (reader,) = snapshot["readers"]
    assert (reader["endpoint"], reader["pinned"]) == (RATE, 1)
    assert desk.json("why", DAILY, desk.day(1))["readers"] == []


def test_rejected_events_of_the_day_are_counted(desk: Desk) -> None:
    hour = desk.hour(0)
    desk.land(hour, 12, desk.now.replace(hour=int(hour[11:]), minute=30) if hour[:10] == f"{desk.now:%Y-%m-%d}" else desk.now - timedelta(hours=2), rejected=3)
    found = desk.json("why", PLAYED, hour)["landing"]
    assert (found["rejected"], found["rows"]) == ({"schema": 3}, 12)


def test_inputs_that_changed_since_are_named(desk: Desk) -> None:
    hour, before = desk.hour(2), desk.hour(3)
    desk.publish(TRACKS, desk.day(2))
    desk.publish(PLAYED, hour, before, at=desk.now - timedelta(minutes=50))
    desk.publish(RATE, hour, run="run-2", at=desk.now - timedelta(minutes=40))
    shown = desk.run("why", RATE, hour)
    assert f"{RATE} {hour} is current" in shown
    assert block(shown, "from")[0].endswith("unchanged since")
    desk.publish(PLAYED, before, at=desk.now - timedelta(minutes=20), content="other", run="run-3")
    shown = desk.run("why", RATE, hour)
    assert f"{RATE} {hour} is stale" in shown
    assert block(shown, "from")[1].startswith(f"  changed since: {before} at ")


def test_late_and_parked_rows_are_told_with_what_to_do(desk: Desk) -> None:
    hour = desk.hour(40)
    desk.land(hour, 10, desk.now - timedelta(hours=39))
    desk.publish(PLAYED, hour, at=desk.now - timedelta(hours=38), counts=Counts(landed=10, good=10))
    desk.land(hour, 4, desk.now - timedelta(hours=1))
    shown = desk.run("why", PLAYED, hour)
    assert block(shown, "landed")[1:] == [
        "4 rows since the last build",
        f"4 rows are for the late table: ./backline reopen {PLAYED} {hour} --why TEXT takes them in",
    ]


def test_a_row_of_running_totals_is_told_by_its_first(desk: Desk) -> None:
    from tests.fixtures.contracts import endpoint, reads

    total = endpoint("charts/total", reads(DAILY, 0, 0, "days"), reads("charts/total", -1, -1, "days"), cadence="daily", start=desk.day(9))
    desk.ledger.registry.apply([*desk.ledger.registry.current().values(), total], "ref")
    desk.publish(DAILY, *(desk.day(ago) for ago in range(1, 10) if ago != 7))
    found = desk.json("why", "charts/total", desk.day(1))
    (row,) = found["waits_for"]
    assert (row["endpoint"], row["partitions"], row["state"]) == ("charts/total", [desk.day(9)], "due")


def test_what_does_not_exist_is_answered_with_what_to_write(desk: Desk) -> None:
    hour, tomorrow = desk.hour(1), desk.day(-1)
    for words, code, said in (
        (("charts/rat", hour), 1, "there is no charts/rat: did you mean charts/rate"),
        (("charts", hour), 1, "charts is a domain: name one of its 2 datasets, as in charts/day"),
        (("zzz/qqq", hour), 1, "./backline status lists what there is"),
        ((RATE, "2026-13-01"), 2, "write an hour as 2026-10-01T03 or a day as 2026-10-01 (UTC)"),
        ((RATE, desk.day(1)), 2, f"{RATE} is hourly, {desk.day(1)} is a day: write one of its hours, as in {desk.day(1)}T00"),
        ((DAILY, hour), 2, f"{DAILY} is daily, {hour} is an hour: write the day, {hour[:10]}"),
        ((DAILY, tomorrow), 1, "is not over before"),
        ((RATE, "2020-01-01T00"), 1, "is before its start"),
        ((PLAYED, "2020-01-01T00"), 1, "the first is"),
    ):
        assert said in desk.run("why", *words, code=code), words
    short = desk.ledger.registry.current()[RATE].model_copy(update={"retention_seconds": 3 * 86400})
    desk.ledger.registry.apply([*(each for key, each in desk.ledger.registry.current().items() if key != RATE), short], "ref")
    assert "is past its retention (3d): its rows are dropped" in desk.run("why", RATE, desk.hour(100), code=1)
