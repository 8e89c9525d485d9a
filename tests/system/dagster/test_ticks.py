"""Ticks as Dagster makes them, over a real ledger and instance: what is asked, once; what closes it; how late rows travel."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from platform_defs.contracts.partitions import key_of, keys_between
from platform_defs.ledger.leases import Held
from platform_defs.ledger.outcomes import Outcome, RunInfo
from sensors import late_data
from sensors.alerts import alerts_sensor
from sensors.late_data import Cursor, decide_on, follow, readers
from sensors.run_tags import REQUEST, TRIGGER, spared_read
from tests.system.dagster.domains import loaded
from tests.system.dagster.music import PLAYED, PLAYS, PLAYS_DAY, World, asked, covers, requests_of


def test_closed_hours_are_asked_for_once(world: World) -> None:
    world.land("2024-10-10T11", 5)
    first = requests_of(world)
    spans = asked(first)
    assert {endpoint for endpoint, _, _ in spans} == {PLAYED}
    assert {key for _, low, high in spans for key in keys_between(low, high)} == set(keys_between("2024-10-08T12", "2024-10-10T11"))
    assert all(len(keys_between(low, high)) <= 24 for _, low, high in spans)
    assert {request.run_key for request in first} == {request.tags[REQUEST] for request in first}
    assert {request.tags[TRIGGER] for request in first} == {"schedule"}
    again = world.schedule("hourly")
    assert isinstance(again, str)
    assert "requested" in again


def test_a_request_is_closed_by_its_runs_end_and_not_before(world: World) -> None:
    world.land("2024-10-10T11", 5)
    first = requests_of(world)
    for request in first:
        world.run(request, dg.DagsterRunStatus.STARTED)
    world.now += timedelta(hours=3)  # past their expiry: live runs keep them
    world.schedule("hourly")
    still = {request.id for request in world.ledger.requests.open()}
    assert {int(request.tags[REQUEST]) for request in first} <= still
    for record in world.instance.get_run_records():
        world.instance.report_run_failed(record.dagster_run)
    world.schedule("hourly")
    assert not {int(request.tags[REQUEST]) for request in first} & {request.id for request in world.ledger.requests.open()}


def test_what_terminated_runs_were_to_build_is_asked_for_again(world: World) -> None:
    world.land("2024-10-10T11", 5)
    first = requests_of(world)
    for request in first:
        world.run(request, dg.DagsterRunStatus.CANCELED)
    again = requests_of(world)
    assert asked(again) == asked(first)
    assert not {request.run_key for request in first} & {request.run_key for request in again}


def test_a_queue_held_for_an_hour_asks_once(world: World) -> None:
    world.land("2024-10-10T11", 5)
    first = requests_of(world)
    for request in first:
        world.run(request, dg.DagsterRunStatus.NOT_STARTED)  # as QUEUED to the ticks, and needs no code server
    held = {(endpoint, key) for endpoint, low, high in asked(first) for key in keys_between(low, high)}
    for _ in range(12):
        world.now += timedelta(minutes=5)
        more = world.schedule("hourly")
        new = set() if isinstance(more, str) else {(endpoint, key) for endpoint, low, high in asked(more) for key in keys_between(low, high)}
        assert not held & new
        held |= new
        assert not world.sensor().run_requests
    assert len(world.instance.get_runs()) == len(first)


def test_what_raised_is_tried_once_until_its_code_or_input_changes(world: World) -> None:
    hour = "2024-10-10T11"
    world.land(hour, 5)
    world.publish(PLAYED, keys_between("2024-10-08T12", hour))
    tries: list[str] = []

    def tried() -> int:
        """How often the hour was asked for since the last look; each try raises."""
        (inputs,) = [decision.inputs for decision in decide_on(world.ledger, {(PLAYS, hour)})]
        requests = world.schedule("hourly")
        mine = [each for each in [*([] if isinstance(requests, str) else requests), *(world.sensor().run_requests or ())] if covers(each, PLAYS, hour)]
        for request in mine:
            tries.append(request.run_key or "")
            run = RunInfo(f"run-{len(tries)}", "schedule", world.now, world.now, request_id=int(request.tags[REQUEST]))
            code = world.ledger.registry.current()[PLAYS].code_version
            world.ledger.partitions.record([Outcome(PLAYS, hour, "failed", "it raised", inputs=inputs, code=code, lasting=True)], run)
            world.run(request, dg.DagsterRunStatus.FAILURE)
        return len(mine)

    assert tried() == 1
    for _ in range(6):
        world.now += timedelta(hours=1)
        assert tried() == 0
    world.publish(PLAYED, [hour], content=b"new input".ljust(16))
    assert [tried(), tried()] == [1, 0]
    contracts = world.ledger.registry.current()
    world.ledger.registry.apply([*(each for key, each in contracts.items() if key != PLAYS), contracts[PLAYS].model_copy(update={"code_version": "new"})], "r2")
    assert [tried(), tried()] == [1, 0]


def test_what_dagster_is_made_to_forget_is_not_built_again(world: World) -> None:
    """Wiped materialisations, deleted runs: the pages are emptier, and what is published is what the ledger says."""
    hours = keys_between("2024-10-08T12", "2024-10-10T11")
    world.land(hours[-1], 5)
    for endpoint in (PLAYED, PLAYS):
        world.publish(endpoint, hours)
        key = dg.AssetKey(endpoint.split("/"))
        for hour in hours:
            world.instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=hour))
    world.schedule("hourly")
    world.instance.add_run(dg.DagsterRun(job_name="music_hourly", run_id="run", status=dg.DagsterRunStatus.SUCCESS))
    world.instance.wipe_assets([dg.AssetKey(endpoint.split("/")) for endpoint in (PLAYED, PLAYS)])
    world.instance.delete_run("run")
    assert isinstance(world.schedule("hourly"), str)
    asked_for = asked(list(world.sensor().run_requests or ()))
    assert {endpoint for endpoint, _, _ in asked_for} <= {PLAYS_DAY}  # the day that is complete was never built


def test_a_request_nobody_launched_expires(world: World) -> None:
    world.land("2024-10-10T11", 5)
    world.schedule("hourly")
    world.now += timedelta(minutes=61)
    assert not isinstance(world.schedule("hourly"), str)


def test_a_dead_runs_leases_become_void_at_the_next_tick(world: World) -> None:
    runs = [dg.DagsterRun(job_name="music_hourly", status=status) for status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELED)]
    for run, key in zip(runs, ("2024-10-10T00", "2024-10-10T01"), strict=True):
        world.instance.add_run(run)
        world.ledger.leases.acquire(PLAYS, [key], run.run_id)
    world.schedule("hourly")
    assert world.ledger.leases.holders() == [runs[0].run_id]
    held = world.ledger.leases.acquire(PLAYS, ["2024-10-10T01"], "another")
    assert isinstance(held, Held)
    assert held.void


def test_readers_are_asked_for_when_their_inputs_are_there(world: World) -> None:
    world.land("2024-10-10T11", 5)
    world.publish(PLAYED, keys_between("2024-10-09T00", "2024-10-10T11"))
    assert {endpoint for endpoint, _, _ in asked(world.schedule("hourly"))} >= {PLAYS}
    assert isinstance(world.schedule("daily"), str)
    world.publish(PLAYS, keys_between("2024-10-09T00", "2024-10-10T11"))
    assert asked(world.schedule("daily")) == {(PLAYS_DAY, "2024-10-09", "2024-10-09")}


def test_late_rows_of_an_old_hour_are_followed_to_its_readers(world: World) -> None:
    """Weeks beyond the look-back: only the touched hour is rebuilt, then what reads it, as far as content changes."""
    old = "2024-10-02T07"
    built = world.now - timedelta(days=7)
    present, world.now = world.now, built
    world.land(old, 5)
    world.publish(PLAYED, keys_between("2024-10-02T00", "2024-10-02T23"))
    world.publish(PLAYS, keys_between("2024-10-02T00", "2024-10-02T23"))
    world.publish(PLAYS_DAY, ["2024-10-02"])
    world.now = present
    first = world.sensor()
    settled = Cursor.model_validate_json(first.cursor)

    world.now += timedelta(minutes=1)
    world.land(old, 50)  # far over the share of 1 %
    tick = world.sensor()
    assert asked(tick.run_requests) == {(PLAYED, old, old)}
    assert tick.run_requests[0].tags[TRIGGER] == "late"
    (observed,) = tick.asset_events
    assert (observed.partition, observed.metadata["late rows"].value) == (old, 50)
    assert settled.landed < Cursor.model_validate_json(tick.cursor).landed

    world.now += timedelta(minutes=1)
    world.run(tick.run_requests[0], dg.DagsterRunStatus.SUCCESS)
    world.publish(PLAYED, [old], rows=55, content=b"d" * 16)
    assert (PLAYS, old, old) in asked(world.sensor().run_requests)

    world.now += timedelta(minutes=1)
    for request in world.ledger.requests.open():
        world.ledger.requests.close(request.id)
    world.publish(PLAYS, [old])  # same content as before: the wave stops here
    quiet = world.sensor()
    assert (PLAYS_DAY, "2024-10-02", "2024-10-02") not in (asked(quiet.run_requests) if quiet.run_requests else set())


def test_more_changes_than_a_tick_can_look_at_are_read_by_several(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_data, "MAX_PENDING", 3)
    monkeypatch.setattr(late_data, "_FIRST_CHANGES", 1)
    hours = [f"2024-10-0{day}T05" for day in range(1, 9)]
    for hour in hours:
        world.publish(PLAYED, [hour])
    cursor, read = Cursor(), []
    while not read or read[-1]:
        _, content, after = follow(world.ledger, "music", cursor, world.now)
        assert after.partitions == {(PLAYS, change.partition) for change in content}
        read.append([change.partition for change in content])
        cursor = Cursor(landed=after.landed, content=after.content)  # all of it was settled
    assert read == [hours[:3], hours[3:6], hours[6:], []]


def test_scattered_late_hours_are_one_run_that_spares_the_hours_between(world: World) -> None:
    present, world.now = world.now, world.now - timedelta(days=7)
    hours = keys_between("2024-10-02T00", "2024-10-02T23")
    late, late_too = hours[3], hours[9]
    for hour in (late, late_too):
        world.land(hour, 1000)
    world.publish(PLAYED, hours, rows=1000)
    world.now = present
    world.sensor()
    world.land(late, 50)
    world.land(late_too, 50)
    (request,) = world.sensor().run_requests
    assert asked([request]) == {(PLAYED, late, late_too)}
    assert spared_read(request.tags) == {PLAYED: frozenset(hours[4:9])}


def test_a_trickle_is_held_until_its_settle_age_and_not_forgotten(world: World) -> None:
    hour = key_of("hourly", world.now - timedelta(hours=2))
    world.land(hour, 1000)
    world.publish(PLAYED, [hour], rows=1000)
    world.sensor()
    world.now += timedelta(minutes=5)
    world.land(hour, 1)
    held = world.sensor()
    assert not [span for span in (asked(held.run_requests) if held.run_requests else set()) if span[:2] == (PLAYED, hour)]
    assert (PLAYED, hour) in Cursor.model_validate_json(held.cursor).waiting
    world.now += timedelta(hours=1)
    assert (PLAYED, hour, hour) in asked(world.sensor().run_requests)


def test_an_hour_before_the_look_back_is_left_to_people(world: World) -> None:
    world.land("2024-10-03T07", 5)
    tick = world.sensor()
    assert not tick.run_requests
    assert not Cursor.model_validate_json(tick.cursor).pending
    assert not tick.asset_events


def test_what_failed_long_ago_is_tried_again_when_its_time_has_come(world: World) -> None:
    """A backfill's hour, days beyond what schedules look at: a passing error is said to be tried again by itself, and is."""
    old = "2024-10-02T07"
    world.land(old, 5)
    world.sensor()
    contract = world.ledger.registry.current()[PLAYED]
    failed = Outcome(PLAYED, old, "failed", reason="Spark does not answer", code=contract.code_version)
    world.ledger.partitions.record([failed], RunInfo("run", "range", world.now, world.now))
    assert not world.sensor().run_requests
    world.now += timedelta(minutes=6)
    assert asked(world.sensor().run_requests) == {(PLAYED, old, old)}
    assert not world.sensor().run_requests


def test_windows_reach_their_readers_in_their_own_domain(world: World, tmp_path: Path) -> None:
    contracts = {contract.key: contract for contract in (*world.domain.contracts, *loaded(tmp_path, "sales").contracts)}
    assert readers(contracts, "music", PLAYED, "2024-10-10T03") == {(PLAYS, "2024-10-10T03")}
    assert readers(contracts, "music", PLAYS, "2024-10-10T03") == {(PLAYS_DAY, "2024-10-10")}
    assert readers(contracts, "sales", PLAYS, "2024-10-10T03") == {("sales/royalties", "2024-10-10T03"), ("sales/royalties", "2024-10-10T04")}


def test_owners_are_told_once_of_trouble_and_of_its_end(world: World) -> None:
    told: list[Mapping[str, object]] = []
    sensor = alerts_sensor("music", lambda: world.ledger, told.append)
    cursor = None

    def tick() -> None:
        nonlocal cursor
        cursor = sensor.evaluate_tick(dg.build_sensor_context(instance=world.instance, cursor=cursor)).cursor

    world.land("2024-10-10T10", 5)
    world.publish(PLAYED, ["2024-10-10T09"])
    tick()
    assert told == []
    code = world.ledger.registry.current()[PLAYS].code_version
    (seen,) = decide_on(world.ledger, {(PLAYS, "2024-10-10T09")})
    refused = Outcome(PLAYS, "2024-10-10T09", "refused", "contract: 1 row has plays over 3", inputs=seen.inputs, code=code)
    world.ledger.partitions.record([refused], RunInfo("bad", "schedule", world.now, world.now))
    tick()
    tick()
    (message,) = told
    assert message["owner"] == "team:music"
    assert "music/plays 2024-10-10T09 is refused: contract: 1 row has plays over 3" in str(message["text"])
    world.publish(PLAYS, ["2024-10-10T09"])
    tick()
    assert told[1:] == [{"owner": "team:music", "text": "music/plays 2024-10-10T09 is well again", "new": [], "over": ["music/plays 2024-10-10T09"]}]
