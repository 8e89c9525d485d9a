"""What people decide, as ticks see it: a pause keeps everything back and loses nothing of it; a reopened hour is asked for, however old."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from platform_defs.contracts.partitions import hours_of, key_of
from platform_defs.lake.layout import Lake
from platform_defs.ledger.decisions import pause, reopen, resume
from platform_defs.ledger.outcomes import Outcome, RunInfo
from platform_defs.planning.lateness import reopening_pins
from sensors.alerts import alerts_sensor
from tests.system.dagster.music import NOW, PLAYED, World, asked


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def test_a_paused_domain_is_not_asked_for_until_it_is_resumed(world: World, lake: Lake) -> None:
    world.land("2024-10-10T11", 5)
    pause(world.ledger, lake, "music", "the vendor moves house")
    assert isinstance(world.schedule("hourly"), str)
    assert world.ledger.requests.open() == []
    resume(world.ledger, lake, "music")
    assert {endpoint for endpoint, _, _ in asked(world.schedule("hourly"))} == {PLAYED}


def test_a_pause_whose_time_is_over_is_closed_by_a_tick(world: World, lake: Lake) -> None:
    world.land("2024-10-10T11", 5)
    pause(world.ledger, lake, "music", "lunch", NOW + timedelta(minutes=30))
    assert isinstance(world.schedule("hourly"), str)
    world.now += timedelta(minutes=31)
    world.ledger.landing.beat("r1", world.now, world.now)
    assert not isinstance(world.schedule("hourly"), str)
    assert world.ledger.pauses.settle() == []
    assert [each.became for _, each in world.ledger.transitions.of(PLAYED, "hourly")] == ["paused", "active"]


def test_late_rows_of_a_paused_endpoint_are_taken_when_it_is_resumed(world: World, lake: Lake) -> None:
    old = key_of("hourly", NOW - timedelta(days=6))
    world.land(old, 5)
    world.publish(PLAYED, [old])
    world.sensor()
    pause(world.ledger, lake, PLAYED, "being looked into")
    world.now += timedelta(minutes=1)
    world.land(old, 50)
    for _ in range(3):
        assert not world.sensor().run_requests
        world.now += timedelta(minutes=11)
    resume(world.ledger, lake, PLAYED)
    world.now += timedelta(minutes=11)
    assert (PLAYED, old, old) in asked(world.sensor().run_requests)


def test_a_reopened_hour_is_asked_for_once_and_not_again_when_it_was_taken_up(world: World, lake: Lake) -> None:
    old = key_of("hourly", NOW - timedelta(days=6))
    world.land(old, 5)
    world.publish(PLAYED, [old])
    world.now += timedelta(days=4)
    world.land(old, 2)
    world.now += timedelta(minutes=1)
    world.publish(PLAYED, [old], rows=7)
    world.sensor()
    world.now += timedelta(minutes=1)
    assert not world.sensor().run_requests
    reopen(world.ledger, lake, PLAYED, old, "the phones were offline")
    at = world.ledger.reopenings.of(PLAYED, [old])[old]
    assert asked(world.sensor().run_requests) == {(PLAYED, old, old)}
    assert not world.sensor().run_requests
    for request in world.ledger.requests.open():
        world.ledger.requests.close(request.id)
    world.now += timedelta(minutes=1)
    world.publish(PLAYED, [old], rows=7, pins=reopening_pins(at))
    world.sensor()
    world.now += timedelta(minutes=1)
    assert not world.sensor().run_requests


def test_a_pause_is_not_told_as_the_end_of_trouble(world: World, lake: Lake) -> None:
    told: list[Mapping[str, object]] = []
    sensor = alerts_sensor("music", lambda: world.ledger, told.append)
    hour = hours_of("2024-10-10")[10]
    bad = Outcome(PLAYED, hour, "refused", reason="unique failed", inputs=b"i" * 16, code="x")
    world.ledger.partitions.record([bad], RunInfo("run", "schedule", world.now, world.now))
    cursor = None

    def tick() -> None:
        nonlocal cursor
        context = dg.build_sensor_context(instance=world.instance, cursor=cursor, repository_def=world.repository)
        cursor = sensor.evaluate_tick(context).cursor

    tick()
    assert len(told) == 1
    pause(world.ledger, lake, "music", "we know")
    tick()
    resume(world.ledger, lake, "music")
    tick()
    assert len(told) == 1
