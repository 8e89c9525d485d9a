"""Ticks over the graph in assets/, as it is: what they ask for from closing to the last reader, what comes after failures, and what a tick costs."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from platform_defs.contracts.loading import LoadedDomain, load_domain
from platform_defs.contracts.partitions import key_of, keys_between, shift, start_of
from platform_defs.ledger import Ledger
from sensors.asking import LOST_AFTER
from tests.system.dagster.ticking import Place, Ticked, TickHarness

ASSETS = Path(__file__).parents[3] / "assets"
STARTED, PLAYED, SKIPS = "listening/track_started", "listening/track_played", "charts/skip_rate"
# One tick of one schedule: the registry's version, what is open, the bulk read and the share that is looked at closely, and two for each request.
STATEMENTS_A_TICK, STATEMENTS_A_REQUEST = 20, 2
# A row an endpoint and day: up to eight days back for what settles, once more for windows and for the other cadence's schedule.
ROWS_AN_ENDPOINT = 30


@pytest.fixture(scope="module")
def domains() -> list[LoadedDomain]:
    return [load_domain(folder.parent) for folder in sorted(ASSETS.glob("*/domain.py"))]


@pytest.fixture
def now(domains: list[LoadedDomain]) -> datetime:
    """Some days after everything has started, late in an afternoon."""
    latest = max(start_of(contract.start) for domain in domains for contract in domain.contracts)
    return max(latest, datetime(2026, 3, 1, tzinfo=UTC)).replace(hour=0) + timedelta(days=10, hours=16, minutes=5)


@pytest.fixture
def world(ledger: Ledger, instance: dg.DagsterInstance, domains: list[LoadedDomain], now: datetime) -> TickHarness:
    return TickHarness(ledger, instance, domains, now)


def settled(world: TickHarness, ticks: int = 40) -> list[Place]:
    """Ticks and builds until a tick asks for nothing; what was built, in order."""
    built: list[Place] = []
    for _ in range(ticks):
        if not world.tick().runs and not world.waiting():
            return built
        built += world.finish()
    raise AssertionError(f"still asking after {ticks} ticks: {Counter(key for key, _ in built).most_common(5)}")


def asks(ticked: Ticked, key: str) -> list[str]:
    return [partition for endpoint, partition in ticked.places if endpoint == key]


def test_from_a_first_start_everything_is_built_once_and_in_order(world: TickHarness) -> None:
    hour = key_of("hourly", world.now - timedelta(hours=1))
    world.arrive(PLAYED, hour, 10)
    built = settled(world)
    assert all(number == 1 for number in Counter(built).values())
    contracts = world.ledger.registry.current()
    first = {place: number for number, place in enumerate(built)}
    for key in contracts:
        if contracts[key].kind == "event" and contracts[key].domain == "listening":
            assert {hour for endpoint, hour in built if endpoint == key} >= set(keys_between(shift(hour, -46), hour))
    # The newest hour of a reader of the next hour is still to come.
    assert (SKIPS, shift(hour, -1)) in first
    assert (SKIPS, hour) not in first
    assert first[SKIPS, shift(hour, -1)] > first[PLAYED, hour]
    world.now += timedelta(hours=1)
    world.arrive(PLAYED, shift(hour, 1), 10)
    assert (SKIPS, hour) in settled(world)


def test_after_downtime_the_look_back_is_caught_up_and_what_is_older_is_left_to_people(world: TickHarness) -> None:
    hour = key_of("hourly", world.now - timedelta(hours=1))
    world.arrive(PLAYED, hour, 10)
    settled(world)
    world.now += timedelta(hours=26)
    world.arrive(PLAYED, shift(hour, 26), 10)
    built = settled(world)
    assert [each for endpoint, each in sorted(built) if endpoint == PLAYED] == keys_between(shift(hour, 1), shift(hour, 26))
    assert [each for endpoint, each in sorted(built) if endpoint == SKIPS] == keys_between(hour, shift(hour, 25))
    world.now += timedelta(hours=60)
    world.arrive(PLAYED, shift(hour, 86), 10)
    caught_up = sorted(each for endpoint, each in settled(world) if endpoint == PLAYED)
    assert (len(caught_up), caught_up[-1]) == (48, shift(hour, 86))


def test_a_late_row_rebuilds_what_it_touches_and_nothing_else(world: TickHarness) -> None:
    hour = key_of("hourly", world.now - timedelta(hours=5))
    world.arrive(PLAYED, hour, 1000)
    settled(world)
    world.arrive(PLAYED, hour, 500)
    rebuilt = settled(world)
    # What reads this hour reads it as its own and as its next one; the day is not over, and nothing else has changed.
    assert sorted(rebuilt) == sorted([(PLAYED, hour), (SKIPS, shift(hour, -1)), (SKIPS, hour)])


def test_a_failed_hour_comes_again_in_its_time_and_is_left_when_it_is_stuck(world: TickHarness) -> None:
    hour = key_of("hourly", world.now - timedelta(hours=1))
    world.arrive(PLAYED, hour, 10)
    settled(world)
    world.now += timedelta(hours=1)
    world.arrive(PLAYED, shift(hour, 1), 10)
    place = (PLAYED, shift(hour, 1))
    assert place in world.tick().places
    assert place in world.fail(only=place)
    world.finish()
    for minutes in (5, 20, 60):
        assert place not in world.tick(timedelta(minutes=minutes - 1)).places
        assert place in world.tick(timedelta(minutes=1)).places
        world.fail(only=place)
        world.finish()
    assert place not in world.tick(timedelta(hours=5)).places
    world.finish()
    world.arrive(PLAYED, shift(hour, 1), 1)
    assert place in world.tick().places
    assert place in world.finish()


def test_what_a_dead_tick_asked_for_is_asked_for_again(world: TickHarness) -> None:
    hour = key_of("hourly", world.now - timedelta(hours=1))
    world.arrive(PLAYED, hour, 10)
    assert not world.tick(crash=True).runs
    assert not asks(world.tick(), PLAYED)
    again = world.tick(LOST_AFTER)
    assert hour in asks(again, PLAYED)
    assert not asks(world.tick(LOST_AFTER), PLAYED)  # queued runs keep their requests, however long they wait


def test_a_tick_costs_the_same_whatever_is_known(world: TickHarness) -> None:
    """Statements do not grow with partitions; rows grow with endpoints and days; nothing is asked of an idle platform."""
    hour = key_of("hourly", world.now - timedelta(hours=1))
    world.arrive(PLAYED, hour, 10)
    schedules = 3 * len(world.repositories)  # hourly, daily, late data
    with world.counting() as first:
        asked = world.tick()
    requests = len(asked.runs)
    endpoints = len(world.ledger.registry.current())
    assert len(asked.places) > 10 * endpoints
    assert 0 < requests <= endpoints
    assert first.rows <= endpoints * ROWS_AN_ENDPOINT
    assert len(first.statements) <= schedules * STATEMENTS_A_TICK + requests * STATEMENTS_A_REQUEST
    world.finish()
    settled(world)
    with world.counting() as idle:
        assert not world.tick().runs
    assert len(idle.statements) <= schedules * STATEMENTS_A_TICK
    assert idle.rows <= endpoints * ROWS_AN_ENDPOINT
    with world.counting() as again:
        world.tick()
    assert len(again.statements) == len(idle.statements)
