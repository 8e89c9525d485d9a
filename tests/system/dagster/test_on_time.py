"""Check `on_time` as Dagster shows it: told by the build of what is there, by the alerts sensor of what is not, with the root in words."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy.exc import IntegrityError

from platform_defs.build.assets import asset_key, asset_of
from platform_defs.build.dagster_private import earlier_verdicts
from platform_defs.build.instance import bootstrap_instance, open_instance
from platform_defs.build.partitions import partitions_of
from platform_defs.build.platform import overlap_resource
from platform_defs.contracts.contract import Contract
from platform_defs.contracts.loading import LoadedDomain
from platform_defs.contracts.partitions import key_of, shift, window_of
from platform_defs.execution.platform import Platform, Work
from platform_defs.execution.results import PartitionResult
from platform_defs.lake.landing import LandingStore
from platform_defs.lake.layout import Lake
from platform_defs.ledger.decisions import pause, resume
from platform_defs.ledger.embedded import EmbeddedPostgres
from platform_defs.ledger.outcomes import Outcome, RunInfo
from platform_defs.planning.deadlines import ON_TIME, Verdict
from platform_defs.planning.facts import Published
from sensors.alerts import alerts_sensor, tell
from tests.system.dagster.conftest import settings_in
from tests.system.dagster.test_real_graph import PLAYED, SKIPS, STARTED, domains, now, world
from tests.system.dagster.ticking import TickHarness

__all__ = ["domains", "now", "world"]  # fixtures
SINCE = timedelta(hours=4, minutes=30)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
TRACKS = "catalogue/tracks"


@pytest.fixture
def late(world: TickHarness) -> TickHarness:
    """The real graph, some hours after it was applied; tracks are there, receiver r1 has been silent since. Skip rates are to be there within three."""
    world.ledger.landing.beat("r1", world.now, world.now)
    world.ledger.registry.apply(held_for_long(world.ledger.registry.current().values()), "test")
    published_by(world, TRACKS, shift(key_of("daily", world.now), -1))
    world.now += SINCE
    return world


def held_for_long(contracts: Iterable[Contract]) -> list[Contract]:
    """The same contracts, with events that wait for silent receivers for ever."""
    return [
        each if each.lateness is None else each.model_copy(update={"lateness": each.lateness.model_copy(update={"hold_seconds": None})}) for each in contracts
    ]


def shown(world: TickHarness, key: str, partition: str) -> list[dg.AssetCheckEvaluation]:
    """The verdict Dagster shows."""
    return earlier_verdicts(world.instance, asset_key(key), [ON_TIME], [partition])


def first_promised(world: TickHarness) -> str:
    """The skip rates' first hour that ended after they were applied. To be called before time goes on."""
    return key_of("hourly", world.now - SINCE)


def test_what_is_not_there_fails_with_the_root_and_is_told_once(late: TickHarness) -> None:
    hour = first_promised(late)
    assert shown(late, SKIPS, hour) == []
    told = late.alert("charts")
    assert [(each.asset_key, each.partition, each.passed, each.severity) for each in told] == [(asset_key(SKIPS), hour, False, dg.AssetCheckSeverity.ERROR)]
    (verdict,) = shown(late, SKIPS, hour)
    assert verdict.description is not None
    assert "(ready within 3h): waits for " in verdict.description
    assert f"receiver r1 silent since {late.now - SINCE - MINUTE:%Y-%m-%d %H:%M}: restart it or give it up" in verdict.description
    assert "`backline collector lost r1 --why TEXT`" in verdict.description
    assert late.alert("charts") == []
    assert [each.partition for each in late.alert("charts", HOUR)] == [shift(hour, 1)]


def test_a_new_platform_owes_nothing_of_the_time_before(world: TickHarness) -> None:
    """Its domains start in January; what ended before it was applied is due, and overdue to nobody."""
    assert world.alert("charts", timedelta(minutes=20)) == []
    assert world.alert("listening") == []
    assert world.tick().runs


def test_it_is_told_again_when_the_root_changes_and_not_when_it_is_there(late: TickHarness) -> None:
    hour = first_promised(late)
    late.alert("charts")
    late.ledger.landing.lose("r1", "its disk died")
    published_by(late, PLAYED, hour, shift(hour, 1))
    published_by(late, STARTED, hour)
    (changed,) = [each for each in late.alert("charts") if each.partition == hour]
    assert str(changed.description).endswith("(ready within 3h): due: its inputs are complete")
    assert shown(late, SKIPS, hour) == [changed]
    published_by(late, SKIPS, hour)
    assert [each for each in late.alert("charts") if each.partition == hour] == []  # its build tells that it came late
    assert transitions(late, hour) == [("in time", "overdue"), ("overdue", "current")]


def test_verdicts_that_did_not_reach_dagster_are_told_at_the_next_tick(late: TickHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    hour = first_promised(late)

    def gone(*_: object) -> None:
        raise ConnectionError("Dagster's database does not answer")

    with monkeypatch.context() as broken:
        broken.setattr(late.instance, "report_dagster_event", gone)
        with pytest.raises(Exception, match="does not answer"):
            late.alert("charts")
    assert transitions(late, hour) == []
    assert [each.partition for each in late.alert("charts")] == [hour]
    assert late.alert("charts") == []
    assert transitions(late, hour) == [("in time", "overdue")]


def test_dagster_takes_one_verdict_without_a_run(late: TickHarness) -> None:
    """Why verdicts are not a sensor's `asset_events`: once this passes, they can be."""
    hour = first_promised(late)
    verdict = dg.AssetCheckEvaluation(asset_key(SKIPS), ON_TIME, passed=False, partition=hour)
    late.instance.report_runless_asset_event(verdict)
    with pytest.raises(IntegrityError):
        late.instance.report_runless_asset_event(verdict)


def test_a_pause_mutes_the_deadline(late: TickHarness, tmp_path: Path) -> None:
    hour, lake = first_promised(late), Lake(str(tmp_path))
    late.alert("charts")
    pause(late.ledger, lake, "charts", "we know")
    assert [(each.partition, each.passed) for each in late.alert("charts")] == [(hour, True)]
    (muted,) = shown(late, SKIPS, hour)
    assert "its deadline is muted: paused since" in str(muted.description)
    assert late.alert("charts", timedelta(hours=2)) == []
    resume(late.ledger, lake, "charts")
    assert [(each.partition, each.passed) for each in late.alert("charts")] == [(shift(hour, by), False) for by in range(3)]


def test_owners_are_told_of_the_root_and_of_its_end(late: TickHarness) -> None:
    hour, messages = first_promised(late), list[Mapping[str, Any]]()
    sensor, cursor = alerts_sensor("charts", lambda: late.ledger, messages.append), None

    def tick() -> None:
        nonlocal cursor
        late.now += MINUTE
        cursor = sensor.evaluate_tick(dg.build_sensor_context(instance=late.instance, cursor=cursor)).cursor

    tick()
    tick()
    (message,) = messages
    assert message["new"] == [f"{SKIPS} {hour}"]
    assert f"{SKIPS} {hour} is overdue: waits for " in message["text"]
    assert "backline collector lost r1" in message["text"]
    published_by(late, SKIPS, hour)
    tick()
    tick()
    assert [(each["new"], each["over"]) for each in messages[1:]] == [([], [f"{SKIPS} {hour}"])]


def test_an_address_that_does_not_answer_keeps_no_verdict_back(late: TickHarness) -> None:
    hour, messages, answers = first_promised(late), list[Mapping[str, Any]](), [False, False, True, True]

    def deliver(message: Mapping[str, object]) -> None:
        if not answers.pop(0):
            raise ConnectionError("the address does not answer")
        messages.append(message)

    sensor, cursor = alerts_sensor("charts", lambda: late.ledger, deliver), None
    for number in range(3):
        data = sensor.evaluate_tick(dg.build_sensor_context(instance=late.instance, cursor=cursor))
        cursor = data.cursor
        assert len(shown(late, SKIPS, hour)) == 1
        assert ("messages not delivered (ConnectionError), tried again: 1" in str(data.skip_message)) == (number < 2)
    assert [message["new"] for message in messages] == [[f"{SKIPS} {hour}"]]


def test_a_tick_with_nothing_overdue_costs_one_look(world: TickHarness) -> None:
    world.alert("charts")
    os.environ.pop("BACKLINE_ALERTS_URL", None)
    with world.counting() as spent:
        assert world.alert("charts") == []
    assert len(spent.statements) <= 8


def test_the_newest_verdict_is_the_one_that_counts_in_dagsters_database(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = settings_in(tmp_path_factory.mktemp("verdicts"), postgres, "dagster_verdicts")
    bootstrap_instance(settings)
    hour, key = "2026-10-01T03", dg.AssetCheckKey(asset_key(SKIPS), ON_TIME)
    with open_instance(settings) as instance:
        for words in ("receiver r1 is silent", "receiver r2 is silent"):
            tell(instance, "charts", [Verdict(SKIPS, hour, False, True, words)])
        (newest,) = earlier_verdicts(instance, asset_key(SKIPS), [ON_TIME], [hour])
        assert newest.description == "receiver r2 is silent"
        assert len(instance.event_log_storage.get_asset_check_execution_history(key, limit=10)) == 2


# what a build tells


def test_a_build_tells_how_much_time_was_to_spare(world: TickHarness, domains: list[LoadedDomain]) -> None:
    hour = key_of("hourly", world.now)
    world.now = window_of(hour).end + HOUR
    (in_time,) = built(world, domains, hour)
    assert (in_time.passed, in_time.metadata["seconds to spare"].value) == (True, 7200)
    assert str(in_time.description).startswith("there 2 h before its deadline")
    world.now += timedelta(days=2)
    (again,) = built(world, domains, hour)
    assert (again.passed, again.description) == (True, in_time.description)  # its first version counts


def test_a_build_tells_what_came_late_and_what_nobody_promised(world: TickHarness, domains: list[LoadedDomain]) -> None:
    hour = key_of("hourly", world.now)
    (history,) = built(world, domains, shift(hour, -3))
    assert history.passed
    assert "no deadline holds for it" in str(history.description)
    world.now = window_of(hour).end + timedelta(hours=4)
    (late,) = built(world, domains, hour)
    assert (late.passed, late.severity, late.metadata["seconds to spare"].value) == (False, dg.AssetCheckSeverity.WARN, -3600)
    assert str(late.description).startswith("came 1 h late")


def test_a_run_that_publishes_nothing_past_the_deadline_says_why(world: TickHarness, domains: list[LoadedDomain]) -> None:
    hour = key_of("hourly", world.now)
    world.now = window_of(hour).end + timedelta(hours=2)
    (ahead,) = built(world, domains, hour, refuse=True)
    assert (ahead.passed, ahead.description) == (True, "Nothing was judged: no partition was built")  # nothing is late yet
    world.now += timedelta(hours=2)
    (refused,) = built(world, domains, hour, refuse=True)
    assert (refused.passed, refused.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert str(refused.description).endswith("(ready within 3h): a row has no licence")


def built(world: TickHarness, domains: Sequence[LoadedDomain], hour: str, *, refuse: bool = False) -> list[dg.AssetCheckEvaluation]:
    """A run of one hour of the skip rates, as Dagster executes it, with a builder that writes no rows; the verdict it shows then."""
    declared = next(domain.declared[SKIPS] for domain in domains if SKIPS in domain.declared)

    def build(work: Work, platform: Platform) -> list[PartitionResult]:
        common: dict[str, Any] = {"rows": 1, "checks": (), "counts": {}, "version": 1, "seconds": 0.1, "metadata": {}}
        if refuse:
            return [PartitionResult(key, "refused", reason="a row has no licence", **common) for key in work.keys]
        published_by(world, SKIPS, *work.keys)
        return [PartitionResult(key, "published", reason="", **common) for key in work.keys]

    platform = Platform(None, Lake("nowhere"), LandingStore("nowhere"), world.ledger, None, lambda: world.now)  # type: ignore[arg-type]
    asset = asset_of(declared, partitions_of("hourly", declared.contract.start), build)
    dg.materialize([asset], instance=world.instance, partition_key=hour, resources={"platform": platform, "overlap": overlap_resource}, raise_on_error=False)
    return shown(world, SKIPS, hour)


def published_by(world: TickHarness, key: str, *partitions: str) -> None:
    """A run publishes these now."""
    contract = world.ledger.registry.current()[key]
    outcomes = [Outcome(key, each, "published", published=Published(b"c" * 16, b"", 1, 1, contract.code_version, world.now, "run-1")) for each in partitions]
    world.ledger.partitions.record(outcomes, RunInfo("run-1", "schedule", world.now, world.now))


def transitions(world: TickHarness, hour: str) -> list[tuple[str, str]]:
    return [(each.was, each.became) for _, each in world.ledger.transitions.of(SKIPS, "hourly", hour)]
