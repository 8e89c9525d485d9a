"""`backline backfill` up to its start: what it says it would build, and what it refuses with which answer."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from platform_defs.cli.main import cli
from platform_defs.contracts.partitions import shift
from platform_defs.ledger import Counts
from tests.system.cli.conftest import DAILY, PLAYED, RATE, TRACKS, Desk


@pytest.fixture
def built(desk: Desk) -> Desk:
    """30 hours of events with their readers, ten hours ago; the landing's files are there."""
    hours = [desk.hour(ago) for ago in range(10, 41)]
    for hour in hours:
        desk.land(hour, 10, desk.now - timedelta(hours=9))
        path = Path(segments(desk, hour)[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    desk.publish(PLAYED, *hours, counts=Counts(landed=10, good=10))
    desk.publish(TRACKS, *(desk.day(ago) for ago in range(1, 6)))
    desk.publish(RATE, *hours[:-1], run="run-rate")
    return desk


def segments(desk: Desk, hour: str) -> list[str]:
    return [f"{desk.lake.root.rpartition('/')[0]}/landing/{row.segment.path}" for row in desk.ledger.landing.segments(PLAYED, [hour])[hour]]


def refused(desk: Desk, *words: str) -> str:
    """What the command answers to what cannot be done: exit code 2, nothing on standard output."""
    done = CliRunner().invoke(cli, ["backfill", *words])
    assert (done.exit_code, done.stdout) == (2, ""), f"{done.output}{done.exception!r}"
    return done.stderr


def test_a_plan_says_partitions_runs_and_time_and_starts_nothing(built: Desk) -> None:
    first, last = built.hour(39), built.hour(10)
    said = built.run("backfill", RATE, "--from", first, "--to", last, "--force", "--plan")
    assert f"  {RATE}: 30 partitions, {first} to {last} (30 current, forced)\n" in said
    assert "30 partitions in about 2 runs; about " in said
    assert "from 1 past run" in said
    found = built.json("backfill", RATE, "--from", first, "--to", last, "--force", "--plan")["plan"]
    assert (found["partitions"], found["runs"], found["past_runs"]) == (30, 2, 1)
    assert found["seconds"] > 0
    assert found["datasets"] == [{"key": RATE, "partitions": 30, "ranges": [[first, last]], "runs": 2, "step": 0, "why": {"asked": 30}}]


def test_what_is_current_is_left_alone(built: Desk) -> None:
    said = built.run("backfill", RATE, "--from", built.hour(39), "--to", built.hour(10))
    assert said == "Nothing is to be built: 30 partitions current. --force rebuilds them all the same.\n"
    assert built.json("backfill", RATE, "--from", built.hour(39), "--to", built.hour(10))["plan"]["current"] == {RATE: 30}


def test_readers_come_along(built: Desk) -> None:
    hour = built.hour(20)
    built.publish(PLAYED, hour, code="code-0", counts=Counts(landed=10, good=10))
    contract = built.ledger.registry.current()[PLAYED]
    others = [each for key, each in built.ledger.registry.current().items() if key != PLAYED]
    built.ledger.registry.apply([*others, contract.model_copy(update={"code_version": "code-2"})], "r")
    found = built.json("backfill", PLAYED, "--from", hour, "--to", hour, "--downstream", "--outdated", "--plan")["plan"]
    datasets = {each["key"]: each for each in found["datasets"] if each["key"] != DAILY}  # whether a day is complete depends on when this is run
    assert {key: (each["why"], each["ranges"]) for key, each in datasets.items()} == {
        PLAYED: ({"outdated": 1}, [[hour, hour]]),
        RATE: ({"input": 2}, [[hour, shift(hour, 1)]]),
    }


def test_what_cannot_be_built_is_told_with_the_reason(built: Desk) -> None:
    day = built.day(2)
    said = refused(built, DAILY, "--from", day, "--to", day)
    assert f"Error: {DAILY} {day} cannot be built: what it reads of {RATE} is not published: choose that too, or wait for it\n" == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("charts/rat", "--from", "2026-10-01", "--to", "2026-10-01"), "there is no dataset charts/rat: did you mean charts/rate"),
        ((RATE, "--from", "last week", "--to", "2026-10-01"), "--from 'last week' is no partition: write an hour as 2026-10-01T03 or a day as 2026-10-01"),
        ((RATE, "--from", "2026-10-02", "--to", "2026-10-01"), "--from 2026-10-02 is later than --to 2026-10-01: change their places"),
        ((RATE, "--from", "2001-01-01", "--to", "2001-01-01"), "is before its start"),
        ((RATE, "--from", "2226-01-01", "--to", "2226-01-01"), "is not over"),
        ((RATE,), "say the span: --from and --to"),
        ((RATE, "--from", "2026-10-01"), "say both ends of the span"),
        (("--from", "2026-10-01", "--to", "2026-10-01"), "say what to build"),
        ((RATE, "--resume", "abc"), "--resume ID and --cancel ID stand alone"),
    ],
)
def test_bad_input_is_answered_with_what_to_do(desk: Desk, words: tuple[str, ...], said: str) -> None:
    assert said in refused(desk, *words)


def test_outside_retention(desk: Desk) -> None:
    contracts = dict(desk.ledger.registry.current())
    contracts[RATE] = contracts[RATE].model_copy(update={"retention_seconds": 86400})
    desk.ledger.registry.apply(contracts.values(), "r")
    assert f"{RATE} {desk.day(3)}T00 is past its retention (1d) and would be deleted again" in refused(desk, RATE, "--from", desk.day(3), "--to", desk.day(3))


def test_an_expired_landing_is_refused_before_anything_starts(built: Desk) -> None:
    first, last = built.hour(30), built.hour(20)
    built.ledger.landing.expire(row.segment.path for row in built.ledger.landing.segments(PLAYED, [built.hour(25)])[built.hour(25)])
    for force in ((), ("--force",)):
        said = refused(built, PLAYED, "--from", built.hour(25), "--to", built.hour(25), *force)
        assert f"Error: {PLAYED} {built.hour(25)}: the landing of 1 partition has expired, so a rebuild would overwrite good data with nothing." in said
        assert f"To rebuild what reads it, leave {PLAYED} out" in said
    assert "has expired" in refused(built, PLAYED, RATE, "--from", first, "--to", last, "--force", "--plan")
    assert "cannot be rebuilt, their landing has expired" in built.run("backfill", PLAYED, RATE, "--from", first, "--to", last, "--plan")


def test_what_came_since_is_built_without_the_landing_of_what_came_before(built: Desk) -> None:
    hour = built.hour(25)
    built.ledger.landing.expire(row.segment.path for row in built.ledger.landing.segments(PLAYED, [hour])[hour])
    built.land(hour, 4, built.now)
    Path(segments(built, hour)[0]).touch()
    assert f"  {PLAYED}: 1 partition, {hour} (1 stale)" in built.run("backfill", PLAYED, "--from", hour, "--to", hour, "--plan")


def test_a_segment_that_is_gone_from_disk_is_refused_too(built: Desk) -> None:
    hour = built.hour(25)
    Path(segments(built, hour)[0]).unlink()
    assert f"{PLAYED} {hour}: the landing of 1 partition has expired" in refused(built, PLAYED, "--from", hour, "--to", hour, "--force")


def test_a_domain_takes_hours_and_days_in_one_command(built: Desk) -> None:
    day = built.day(3)
    built.publish(PLAYED, f"{built.day(4)}T23", counts=Counts())  # the day's first hour reads it
    found = built.json("backfill", "listening", "charts", "vendor", "--from", day, "--to", day, "--plan", "--force")["plan"]
    keys = {each["key"]: (each["partitions"], each["runs"]) for each in found["datasets"]}
    assert keys[PLAYED] == (24, 1)
    assert keys[TRACKS] == (1, 1)
    assert keys[DAILY] == (1, 1)
    assert keys[RATE] == (24, 1)
    assert [each["key"] for each in found["datasets"]][-1] == DAILY, "what reads the others comes last"
