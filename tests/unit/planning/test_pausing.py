"""What a pause changes, and what it leaves alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from platform_defs.planning.facts import Pause
from platform_defs.planning.pausing import in_force, pauses_of
from platform_defs.planning.states import PartitionState as S
from tests.fixtures.contracts import HOUR, contract, endpoint, event, lateness, reads
from tests.unit.planning.world import World, at

H3, H4 = "2026-10-01T03", "2026-10-01T04"


@pytest.fixture
def world() -> World:
    return World(
        event("l/played", lateness=lateness((HOUR,), 0.0), ready_within_seconds=HOUR),
        endpoint("c/rate", reads("l/played"), ready_within_seconds=3 * HOUR),
        contract("k/chart", kind="source", cadence="daily", recheck_seconds=10 * 86400),
    )


def pause(world: World, name: str, until_hour: float | None = None) -> None:
    world.pauses.append(Pause(name, "the vendor moves house", at(2), None if until_hour is None else at(until_hour)))


@pytest.mark.parametrize("name", ["l", "l/played"])
def test_nothing_is_asked_for_and_no_deadline_counts(world: World, name: str) -> None:
    assert world.decide(at(12))[f"l/played {H3}"].ask
    pause(world, name)
    found = world.decide(at(12))[f"l/played {H3}"]
    assert (found.shown, found.state, found.ask, found.overdue) == (S.PAUSED, S.DUE, False, False)
    assert found.reason == "paused since 2026-10-01 02:00: the vendor moves house; due: closed, nothing landed"


def test_who_waits_for_it_says_so_and_stays_waiting(world: World) -> None:
    pause(world, "l", until_hour=30)
    found = world.decide(at(12))[f"c/rate {H3}"]
    assert (found.state, found.shown, found.paused) == (S.WAITING, S.OVERDUE, False)
    assert found.reason == (
        f"waits for l/played {H3}; l/played is paused since 2026-10-01 02:00 until 2026-10-02 06:00: the vendor moves house (`backline resume l`)"
    )


def test_it_ends_by_itself(world: World) -> None:
    pause(world, "l", until_hour=12)
    assert world.decide(at(12) - timedelta(seconds=1))[f"l/played {H3}"].shown == S.PAUSED
    after = world.decide(at(12))[f"l/played {H3}"]
    assert (after.shown, after.ask) == (S.OVERDUE, True)


def test_what_a_person_started_goes_on(world: World) -> None:
    pause(world, "l")
    world.flight("l/played", H3, "running", at(5))
    assert world.decide(at(12))[f"l/played {H3}"].shown == S.RUNNING
    world.build("l/played", H4)
    assert world.decide(at(12))[f"l/played {H4}"].shown == S.CURRENT
    assert world.decide(at(12))[f"c/rate {H4}"].ask


@pytest.mark.parametrize("state", ["failed", "refused", "stuck"])
def test_troubles_are_left_alone_too(world: World, state: str) -> None:
    world.build("l/played", H3)
    world.trouble("c/rate", H3, state, at(5), again=at(6) if state == "failed" else None, code="older")
    assert world.decide(at(12))[f"c/rate {H3}"].ask
    pause(world, "c/rate")
    found = world.decide(at(12))[f"c/rate {H3}"]
    assert (found.shown, found.state, found.ask) == (S.PAUSED, state, False)
    assert f"it {state}" in found.reason


def test_late_rows_and_sources_wait_for_the_end_of_it(world: World) -> None:
    world.build("l/played", H3)
    world.land("l/played", H3, 5, at(5))
    world.build("k/chart", "2026-10-01", when=at(1, day=2))
    late, recheck = world.decide(at(12, day=2))[f"l/played {H3}"], world.decide(at(12, day=2))["k/chart 2026-10-01"]
    assert (late.state, late.ask, recheck.state, recheck.ask) == (S.STALE, True, S.CURRENT, True)
    pause(world, "l")
    pause(world, "k")
    late, recheck = world.decide(at(12, day=2))[f"l/played {H3}"], world.decide(at(12, day=2))["k/chart 2026-10-01"]
    assert (late.state, late.shown, late.ask, recheck.shown, recheck.ask) == (S.STALE, S.PAUSED, False, S.CURRENT, False)


def test_readers_do_not_hold_their_rebuild_for_a_paused_input(world: World) -> None:
    """A wave waits for what will be rebuilt; a paused input will not be."""
    world.change("c/rate", inputs=(reads("l/played"), reads("l/other")))
    world.facts["l/other"] = World(event("l/other", lateness=lateness((HOUR,), 0.0))).facts["l/other"]
    world.build("l/played", H3)
    world.build("l/other", H3)
    world.build("c/rate", H3)
    world.build("l/other", H3, content="new", when=at(6))
    world.land("l/played", H3, 5, at(6))
    assert not world.decide(at(6.5))[f"c/rate {H3}"].ask
    pause(world, "l/played")
    assert world.decide(at(6.5))[f"c/rate {H3}"].ask


def test_the_endpoints_own_pause_comes_before_its_domains() -> None:
    pauses = [Pause("c", "all", at(1)), Pause("c/rate", "own", at(2), at(5)), Pause("old", "over", at(1), at(2))]
    held = pauses_of(pauses, ["c/rate", "c/day", "old/x", "cc/x"], at(3))
    assert {key: each.why for key, each in held.items()} == {"c/rate": "own", "c/day": "all"}
    assert [each.name for each in in_force(pauses, at(5))] == ["c"]
