"""`backline land` and `backline import`: what `docs/on-call.md` says of them, row by row; the import itself is in tests/spark/execution."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_defs.contracts.partitions import shift
from platform_defs.ledger.looking import look
from platform_defs.planning.states import PartitionState
from platform_defs.running.supervisor import CHECKOUT
from tests.fixtures.contracts import DAY, event, lateness
from tests.system.cli.conftest import PLAYED, RATE, TRACKS, Desk

HEADING = "## Bringing history in"
HERE = "tests/system/cli/test_land.py"
IMPORTING = "tests/spark/execution/test_importing.py"
HELD = {
    "land TYPE FILES --dry-run": f"{HERE}::test_a_dry_run_says_what_would_follow",
    "land TYPE FILES --client NAME": f"{HERE}::test_what_follows_is_told_and_happens",
    "import NAME --from PATH --dry-run": f"{IMPORTING}::test_the_command_says_what_it_would_do_then_does_it",
    "import NAME --from PATH": f"{IMPORTING}::test_the_command_says_what_it_would_do_then_does_it",
    "import NAME --from PATH --replace": f"{IMPORTING}::test_what_was_built_is_left_alone_unless_replaced",
    "Ctrl-C in either": f"{IMPORTING}::test_a_killed_import_holds_nothing_up_and_is_taken_up_again",
}


def test_every_row_is_held_and_every_held_row_is_there() -> None:
    page = (CHECKOUT / "docs" / "on-call.md").read_text(encoding="utf-8").partition(HEADING)[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| ")][1:]
    assert [row[0].replace("`", "").strip() for row in rows] == list(HELD)
    assert all(len(row) == 3 for row in rows)
    for where in HELD.values():
        file, _, name = where.partition("::")
        assert re.search(rf"^def {name}\(", (CHECKOUT / file).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture
def old(desk: Desk, tmp_path: Path) -> Path:
    """Events of four hours: never built and long ago (two, with an hour between), built and settled, built lately, and one of this moment."""
    contracts = dict(desk.ledger.registry.current()) | {PLAYED: event(PLAYED, start=desk.day(10), lateness=lateness((6 * 3600,), 0.5), fields=())}
    desk.ledger.registry.apply(contracts.values(), "more time")
    desk.publish(PLAYED, desk.hour(100), at=desk.now - timedelta(hours=99))
    desk.publish(PLAYED, desk.hour(5), at=desk.now - timedelta(hours=4))
    return events(tmp_path / "old.jsonl", *(desk.hour(ago) for ago in (122, 120, 100, 5)))


def events(path: Path, *hours: str, **more: Any) -> Path:
    path.write_text("".join(json.dumps({"id": f"{hour}-{path.name}", "time": f"{hour}:15:00Z", "data": {}, **more}) + "\n" for hour in hours))
    return path


def state(desk: Desk, hour: str) -> tuple[PartitionState, bool]:
    found = look(desk.ledger, [(PLAYED, hour)], desk.ledger.store.clock())[PLAYED, hour]
    return found.state, found.ask


def test_what_follows_is_told_and_happens(desk: Desk, old: Path, tmp_path: Path) -> None:
    said = desk.run("land", PLAYED, str(old), "--client", "web")
    assert said.splitlines() == [
        f"{old}: 4 accepted, 0 rejected; 4 hours, {desk.hour(122)} to {desk.hour(5)}",
        f"1 hour built before: rebuilt with them by itself, at {PLAYED}'s settle ages.",
        "1 hour built before and settled: their rows go to the late table. To take them in, hour by hour:",
        f'  ./backline reopen {PLAYED} {desk.hour(100)} --why "TEXT"',
        "2 hours never built, and older than what is built by itself. Build them with:",
        f"  ./backline backfill {PLAYED} --from {desk.hour(122)} --to {desk.hour(120)} --downstream",
    ]
    assert state(desk, desk.hour(5))[0] == PartitionState.STALE
    assert state(desk, desk.hour(122)) == (PartitionState.DUE, False)
    # The command that was named builds them, and the hour between.
    plan = desk.json("backfill", PLAYED, "--from", desk.hour(122), "--to", desk.hour(120), "--plan")["plan"]
    assert (plan["partitions"], plan["blocked"]) == (3, [])
    assert "taken in" in desk.run("reopen", PLAYED, desk.hour(100), "--dry-run")
    # Again, also under another name: nothing changes.
    again = desk.run("land", PLAYED, str(old.rename(tmp_path / "renamed")), "--client", "web")
    assert re.match(r".*renamed: already landed at \d{4}-\d\d-\d\d \d\d:\d\d UTC: 4 accepted, 0 rejected; nothing changed\n", again)
    told = desk.json("land", PLAYED, str(tmp_path / "renamed"), "--client", "web")
    assert (told["files"][0]["accepted"], told["files"][0]["landed_at"] is None) == (4, False)
    assert told["next"]["spans"] == [[desk.hour(122), desk.hour(120)]]


def test_hours_of_the_look_back_are_asked_for_by_themselves(desk: Desk, tmp_path: Path) -> None:
    said = desk.run("land", PLAYED, str(events(tmp_path / "a.jsonl", desk.hour(8), desk.hour(7))), "--client", "web")
    assert said.endswith("2 hours never built: asked for within a tick.\n")
    assert state(desk, desk.hour(8)) == (PartitionState.DUE, True)
    desk.run("pause", PLAYED, "--why", "phones lie")
    said = desk.run("land", PLAYED, str(events(tmp_path / "b.jsonl", desk.hour(6))), "--client", "web")
    assert f"{PLAYED} is paused (phones lie): nothing is built by itself until that ends." in said


def test_a_span_ends_where_landing_is_lost(desk: Desk, old: Path) -> None:
    between = shift(desk.hour(122), 1)
    desk.land(between, 5, desk.now)
    (segment,) = desk.ledger.landing.segments(PLAYED, [between])[between]
    desk.ledger.landing.expire([segment.segment.path])
    told = desk.json("land", PLAYED, str(old), "--client", "web")
    assert told["next"]["spans"] == [[desk.hour(122)] * 2, [desk.hour(120)] * 2]


def test_a_dry_run_says_what_would_follow(desk: Desk, old: Path) -> None:
    said = desk.run("land", PLAYED, str(old), "--client", "web", "--dry-run")
    assert f"{old}: 4 would be accepted, 0 would be rejected; 4 hours" in said
    assert f"./backline backfill {PLAYED} --from {desk.hour(122)} --to {desk.hour(120)} --downstream" in said
    assert said.endswith("Nothing was landed: this was a dry run.\n")
    assert desk.ledger.landing.changed_since(0)[0] == []
    assert not (old.parent / "landing").exists()


def test_rejected_lines_are_told_and_fail(desk: Desk, tmp_path: Path) -> None:
    path = events(tmp_path / "bad.jsonl", desk.hour(8), *([desk.hour(300)] * 22))
    said = desk.run("land", PLAYED, str(path), "--client", "web", code=1)
    assert f"{path}: 1 accepted, 22 rejected; 1 hour" in said
    assert "  line 2: out_of_range: too_old: time\n" in said
    assert "  and 2 more: ./backline failed list --client web\n" in said
    assert "out_of_range" in desk.run("failed", "list", "--client", "web")
    assert "already landed" in desk.run("land", PLAYED, str(path), "--client", "web")


def test_what_is_asked_for_wrongly(desk: Desk, tmp_path: Path) -> None:
    path = events(tmp_path / "a.jsonl", desk.hour(8))
    other = events(tmp_path / "b.jsonl", desk.hour(8), type="listening/unknown")
    for words, code, told in (
        (("listening/plaid", path, "--client", "web"), 2, "there is no listening/plaid: did you mean listening/played?"),
        ((TRACKS, path, "--client", "web"), 2, f"{TRACKS} is a source: what it has is pulled, not landed: ./backline backfill {TRACKS}"),
        ((RATE, path, "--client", "web"), 2, f"./backline import {RATE} --from PATH"),
        ((PLAYED, path), 1, "line 1 says no client: say whose events these are with --client NAME"),
        ((PLAYED, path, "--client", "A web"), 2, "cannot be a client's name: write 1 to 64 of a-z"),
        ((PLAYED, tmp_path / "none", "--client", "web"), 2, "does not exist"),
        ((PLAYED, other, "--client", "web"), 1, "left out: 1 of a type that no contract has"),
        (("import", PLAYED, "--from", path), 2, f"./backline land {PLAYED} FILES"),
    ):
        line = [str(word) for word in words]
        assert told in desk.run(*(line if line[0] == "import" else ["land", *line]), code=code).replace("\n", " ")
    with desk.ledger.forgetting.alone(f"landing files of {PLAYED}") as free:
        assert free
        assert f"another `backline land {PLAYED}` is at work" in desk.run("land", PLAYED, str(path), "--client", "web", code=1)


def test_the_deepest_history_is_what_is_kept(desk: Desk, tmp_path: Path) -> None:
    contracts = dict(desk.ledger.registry.current()) | {PLAYED: event(PLAYED, start=desk.day(10), retention_seconds=9 * DAY)}
    desk.ledger.registry.apply(contracts.values(), "shorter")
    told = desk.json("land", PLAYED, str(events(tmp_path / "a.jsonl", desk.hour(9 * 24 - 2))), "--client", "web")
    assert told["files"][0]["accepted"] == 1
