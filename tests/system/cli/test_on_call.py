"""What `docs/on-call.md` says of each command, held: what happens, and that it is safe."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from platform_defs.ledger import Counts
from platform_defs.ledger.landing import LandedChange
from platform_defs.ledger.looking import look
from platform_defs.planning.states import PartitionState as S
from platform_defs.running.home import Home
from platform_defs.running.supervisor import CHECKOUT
from tests.system.cli.conftest import DAILY, PLAYED, RATE, TRACKS, Desk

ROWS: dict[str, Callable[[Desk], None]] = {}
HEADING = "## Commands that decide or explain"


def row(command: str) -> Callable[[Callable[[Desk], None]], Callable[[Desk], None]]:
    """The test of one row of the page's table, by the command in its first cell."""

    def keep(held: Callable[[Desk], None]) -> Callable[[Desk], None]:
        ROWS[command] = held
        return held

    return keep


def lines() -> list[str]:
    page = (CHECKOUT / "docs" / "on-call.md").read_text(encoding="utf-8")
    return [line for line in page.partition(HEADING)[2].partition("\n## ")[0].splitlines() if line.startswith("| `")]


def test_every_row_of_the_page_is_held_and_every_held_row_is_there() -> None:
    said = [re.match(r"\| `([^`]*)`", line).group(1) for line in lines()]  # type: ignore[union-attr]
    assert said == list(ROWS)
    assert all(line.count("|") == 4 for line in lines())


@pytest.mark.parametrize("command", [re.match(r"\| `([^`]*)`", line).group(1) for line in lines()])  # type: ignore[union-attr]
def test_row(command: str, desk: Desk) -> None:
    ROWS[command](desk)


def shown(desk: Desk, endpoint: str, partition: str) -> tuple[str, bool]:
    """State of a partition as the planner decides now, and whether it asks for it."""
    found = look(desk.ledger, [(endpoint, partition)], desk.ledger.store.clock())[endpoint, partition]
    return str(found.shown), found.ask


@row("pause NAME --why TEXT [--until WHEN]")
def pausing(desk: Desk) -> None:
    hour = desk.hour(1)
    desk.publish(TRACKS, desk.day(2))
    assert shown(desk, PLAYED, hour)[1]
    said = desk.run("pause", "listening", "--why", "phones lie", "--until", "3h")
    assert re.search(r"listening is paused until \d{4}-\d\d-\d\d \d\d:\d\d UTC: of 1 dataset nothing is asked for and no deadline counts", said)
    assert f"1 dataset outside reads it and will wait: {RATE}." in said
    assert shown(desk, PLAYED, hour) == (S.PAUSED, False)
    assert [(record.decision, record.subject, record.note) for record in desk.decisions] == [("pause", "listening", "phones lie")]
    # Collection goes on, and what a person builds is built.
    desk.land(hour, 5, desk.now)
    assert [change.rows for change in changes(desk)] == [5]
    desk.publish(PLAYED, hour, desk.hour(2), counts=Counts(landed=5, good=5))
    assert shown(desk, PLAYED, hour)[0] == S.CURRENT
    assert f"{desk.hour(0)} is paused" in desk.run("why", PLAYED, desk.hour(0))
    # Without an end it says until when landing holds what is not built.
    assert "stay in landing for 7d" in desk.run("pause", "listening", "--why", "for good")
    for words, code, told in (
        (("pause", "listenin", "--why", "x"), 1, "did you mean listening"),
        (("pause", "listening"), 2, "say why listening is paused"),
        (("pause", "listening", "--why", "x", "--until", "soon"), 2, "is no time: write 2h, 3d"),
        (("pause", "listening", "--why", "x", "--until", "2020-01-01"), 1, "that is over"),
        (("pause",), 2, "name what to pause, or write --list"),
    ):
        assert told in desk.run(*words, code=code)


def changes(desk: Desk) -> list[LandedChange]:
    return desk.ledger.landing.changed_since(0)[0]


@row("pause --list")
def listing_pauses(desk: Desk) -> None:
    assert desk.run("pause", "--list") == "Nothing is paused.\n"
    desk.run("pause", RATE, "--why", "numbers look wrong")
    assert re.search(rf"{RATE} +\d{{4}}-\d\d-\d\d \d\d:\d\d +resumed +numbers look wrong", desk.run("pause", "--list"))
    assert [(each["name"], each["why"], each["until"]) for each in desk.json("pause", "--list")] == [(RATE, "numbers look wrong", None)]


@row("resume NAME")
def resuming(desk: Desk) -> None:
    desk.run("pause", RATE, "--why", "numbers look wrong")
    assert desk.run("resume", RATE) == f"{RATE} is resumed: what is due of its last 48 hours is asked for at the next tick.\n"
    assert desk.ledger.pauses.open() == []
    assert f"{RATE} is not paused; paused: nothing" in desk.run("resume", RATE, code=1)


@row("status")
def status_tells_what_is_paused(desk: Desk) -> None:
    desk.publish(TRACKS, desk.day(1), desk.day(2), desk.day(3))
    before = desk.json("status", "--days", "1")
    assert {cause["endpoint"] for cause in before["causes"]} == {PLAYED}
    desk.run("pause", PLAYED, "--why", "the phones lie")
    after = desk.json("status", "--days", "1")
    assert after["causes"] == []
    (pause,) = after["pauses"]
    assert (pause["pause"]["name"], pause["pause"]["why"], pause["datasets"][0]) == (PLAYED, "the phones lie", RATE)
    counts = {each["name"]: each["counts"] for each in after["endpoints"]}
    assert counts[PLAYED] == {"paused": pause["partitions"]}
    assert counts[RATE]["overdue"] + counts[RATE]["waiting"] <= pause["waiting"]
    said = desk.run("status", "--days", "1")
    assert f"{PLAYED} is paused since" in said
    assert f"./backline resume {PLAYED}" in said
    assert "Nothing is broken." in said or "does not answer" in said


@row("status --processes")
def memory_is_told_while_something_runs(desk: Desk) -> None:
    # Pytest's own folders may be too long for the sockets of a home.
    with tempfile.TemporaryDirectory(prefix="backline-") as short, pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKLINE_HOME", short)
        _memory_is_told_of(Home(Path(short)), desk)


def _memory_is_told_of(here: Home, desk: Desk) -> None:
    here.prepare()
    lock = here.lock()
    lock.take()
    try:
        lock.sign("a" * 32)
        told = desk.json("status", "--processes")
    finally:
        lock.release()
    together, beside_heap = told["totals"]
    assert together["now"] >= beside_heap["now"] > 0
    assert together["now"] == sum(part["now"] for part in told["processes"])


@row("status --missing [NAME]")
def missing(desk: Desk) -> None:
    hours = [desk.hour(ago) for ago in range(24 * 9)]
    gap = [desk.hour(101), desk.hour(100)]
    desk.publish(TRACKS, *(desk.day(ago) for ago in range(12)))
    desk.publish(PLAYED, *(hour for hour in hours if hour not in gap))
    (oldest,) = [each for each in desk.json("status", "--missing", PLAYED)["missing"] if each["endpoint"] == PLAYED]
    assert oldest["ready"][-1] == gap
    assert oldest["readers"] == [RATE]
    found = {each["endpoint"]: each for each in desk.json("status", "--missing")["missing"]}
    assert list(found) == [PLAYED, RATE, DAILY]
    assert found[RATE]["waiting"][-1] == [gap[0], desk.hour(99)]
    assert found[DAILY]["waits_for"] == [RATE]
    said = desk.run("status", "--missing", PLAYED)
    assert f"{gap[0]} to {gap[1]}" in said
    assert f"    {oldest['command']}\n" in said
    assert gap[1] in oldest["command"]
    # Paused ones are not counted, an hour whose landing is gone is said to be.
    desk.run("pause", "charts", "--why", "history")
    paused = desk.json("status", "--missing")
    assert [each["endpoint"] for each in paused["missing"]] == [PLAYED]
    assert set(paused["paused"]) == {RATE, DAILY}
    desk.land(gap[0], 5, desk.now - timedelta(days=3))
    desk.ledger.landing.expire([desk.ledger.landing.segments(PLAYED, [gap[0]])[gap[0]][0].segment.path])
    assert desk.json("status", "--missing", PLAYED)["missing"][0]["gone"] == [[gap[0], gap[0]]]
    assert "nothing can build it any more" in desk.run("status", "--missing", PLAYED)
    assert "no domain and no dataset" in desk.run("status", "--missing", "nothing", code=1)


@row("why NAME PARTITION")
def asking_why(desk: Desk) -> None:
    before = desk.ledger.attempts.of(RATE, "hourly")
    assert f"{RATE} {desk.hour(1)} is waiting" in desk.run("why", RATE, desk.hour(1))
    assert (desk.ledger.attempts.of(RATE, "hourly"), desk.decisions) == (before, [])


def parked(desk: Desk) -> str:
    """An hour of ten rows, with four that came beyond its last settle age and lie in the late table."""
    hour = desk.hour(40)
    desk.land(hour, 10, desk.now - timedelta(hours=39))
    desk.publish(PLAYED, hour, at=desk.now - timedelta(hours=38), counts=Counts(landed=10, good=10))
    desk.publish(RATE, hour, run="run-2")
    desk.land(hour, 4, desk.now - timedelta(hours=2))
    desk.publish(PLAYED, hour, at=desk.now - timedelta(hours=1), counts=Counts(landed=14, good=10, parked=4), run="run-3")
    return hour


@row("reopen EVENT HOUR --dry-run")
def looking_at_a_reopening(desk: Desk) -> None:
    hour = parked(desk)
    said = desk.run("reopen", PLAYED, hour, "--dry-run")
    assert said.splitlines() == [
        f"{PLAYED} {hour}: 4 rows in 1 segment would be taken in, less copies and bad lines; 4 of them lie in the late table.",
        "Looked at after it, and rebuilt where what it reads has changed:",
        f"  {RATE} {hour}",
    ]
    assert (desk.decisions, desk.ledger.reopenings.of(PLAYED, [hour])) == ([], {})
    assert shown(desk, PLAYED, hour) == (S.CURRENT, False)
    desk.ledger.landing.expire([row.segment.path for row in desk.ledger.landing.segments(PLAYED, [hour])[hour]])
    assert desk.run("reopen", PLAYED, hour, "--dry-run").splitlines()[0] == (
        f"{PLAYED} {hour}: 4 rows would be taken in, less copies and bad lines; 4 of them lie in the late table; "
        "segments of the hour are gone, so they join what is published of it."
    )
    assert "4 rows are for the late table: ./backline reopen" in desk.run("why", PLAYED, hour)


@row("reopen EVENT HOUR --why TEXT")
def reopening(desk: Desk) -> None:
    hour = parked(desk)
    assert "is reopened: 4 rows in 1 segment are part of its next build" in desk.run("reopen", PLAYED, hour, "--why", "offline for a week")
    assert shown(desk, PLAYED, hour) == (S.STALE, True)
    assert [(record.decision, record.endpoint, record.partitions) for record in desk.decisions] == [("reopen", PLAYED, (hour,))]
    for words, code, told in (
        (("reopen", PLAYED, hour), 2, "say why"),
        (("reopen", PLAYED, hour, "--why", "again"), 1, "nothing of"),
        (("reopen", RATE, hour, "--why", "x"), 1, "is no event type"),
        (("reopen", PLAYED, "yesterday", "--why", "x"), 2, "is no partition"),
    ):
        assert told in desk.run(*words, code=code)
    desk.run("pause", PLAYED, "--why", "wait")
    other = desk.hour(39)
    desk.land(other, 10, desk.now - timedelta(hours=39))
    desk.publish(PLAYED, other, at=desk.now - timedelta(hours=38), counts=Counts(landed=10, good=10))
    desk.land(other, 4, desk.now - timedelta(hours=2))
    assert f"{PLAYED} is paused (wait): it is rebuilt once that ends" in desk.run("reopen", PLAYED, other, "--why", "x")


@row("collector list")
def listing_receivers(desk: Desk) -> None:
    assert desk.run("collector", "list") == "No receiver was ever seen.\n"
    desk.ledger.landing.beat("r1", desk.now, desk.now)
    assert re.search(r"r1 +live", desk.run("collector", "list"))
    assert [each["state"] for each in desk.json("collector", "list")] == ["live"]


@row("collector lost ID --why TEXT")
def losing_a_receiver(desk: Desk) -> None:
    silent = desk.now - timedelta(hours=3)
    desk.ledger.landing.beat("r2", silent, silent)
    assert shown(desk, PLAYED, desk.hour(0))[1] is False
    assert "r2 is lost (sealed until" in desk.run("collector", "lost", "r2", "--why", "its disk died")
    assert shown(desk, PLAYED, desk.hour(1))[1]
    assert re.search(r"r2 +lost .*its disk died", desk.run("collector", "list"))
    # A receiver that beats again is live again; its log, sealed later, comes as late rows.
    desk.publish(PLAYED, desk.hour(1), counts=Counts())
    desk.land(desk.hour(1), 5, desk.now, receiver="r2")
    assert shown(desk, PLAYED, desk.hour(1)) == (S.STALE, True)
    desk.ledger.landing.beat("r2", desk.now, desk.now)
    assert "it is alive" in desk.run("collector", "lost", "r2", "--why", "x", code=1)
    assert "there is no receiver r7; known: r2" in desk.run("collector", "lost", "r7", "--why", "x", code=1)


@row("collector found ID")
def finding_a_receiver(desk: Desk) -> None:
    silent = desk.now - timedelta(hours=3)
    desk.ledger.landing.beat("r2", silent, silent)
    desk.run("collector", "lost", "r2", "--why", "its disk died")
    assert "r2 counts again" in desk.run("collector", "found", "r2")
    assert shown(desk, PLAYED, desk.hour(0))[1] is False
    assert "r2 is not lost, it is live" in desk.run("collector", "found", "r2", code=1)
