"""The bulk look at gaps against the judgement of single partitions, in any world."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from platform_defs.contracts.partitions import index_of, keys_between
from platform_defs.planning.facts import Pause, Receiver
from platform_defs.planning.gaps import Graph, OpenTrouble, Span, Standing, gaps
from platform_defs.planning.states import Decision
from platform_defs.planning.states import PartitionState as S
from platform_defs.planning.sweep import swept
from tests.fixtures.contracts import DAY, as_of, contract, endpoint, event, reads
from tests.unit.planning.test_random_worlds import worlds
from tests.unit.planning.world import MIDNIGHT, World, at

H3 = "2026-10-01T03"


def standing_of(world: World, now: object, pauses: tuple[Pause, ...] = ()) -> Standing:
    """The same world, as the tick reads it."""
    published = {key: tuple((number, number) for number in sorted(map(index_of, world.published(key)))) for key in world.facts if world.published(key)}
    flight = [Span(key, index_of(partition), index_of(partition)) for key, facts in world.facts.items() for partition in facts.in_flight]
    troubles = [
        OpenTrouble(key, index_of(partition), each.state, each.tries, each.next_try, each.code, partition in world.published(key))
        for key, facts in world.facts.items()
        for partition, each in facts.troubles.items()
    ]
    return Standing(MIDNIGHT, now, tuple(world.facts), published, flight, troubles, tuple(world.receivers), pauses)  # type: ignore[arg-type]


def asked(world: World, now: object, pauses: tuple[Pause, ...] = ()) -> dict[str, Decision]:
    found = gaps(Graph(world.contracts), standing_of(world, now, pauses), now)  # type: ignore[arg-type]
    assert all(each.ask for each in found)
    return {f"{each.endpoint} {each.partition}": each for each in found}


def by_change(decision: Decision) -> bool:
    """Whether only someone who compares contents could know."""
    return decision.state is S.STALE or "new input since" in decision.reason or (decision.state is S.CURRENT and decision.ask)


@settings(deadline=None, max_examples=60)
@given(worlds(), st.sampled_from([at(6), at(23.5), at(5, day=2), at(23.5, day=2), at(3, day=3), at(5, day=4)]))
def test_gaps_are_what_single_judgements_ask_for_but_for_changes(world: World, now: object) -> None:
    exact = {name: each for name, each in world.decide(now).items() if each.ask}  # type: ignore[arg-type]
    bulk = asked(world, now)
    assert set(bulk) <= set(exact)
    assert all(by_change(each) for name, each in exact.items() if name not in bulk)
    for name, each in bulk.items():
        assert each.state == exact[name].state
        assert each.attempt == exact[name].attempt or each.state is not S.FAILED
        assert each.newest == exact[name].newest


@settings(deadline=None, max_examples=60)
@given(st.integers(-30, 3), st.integers(0, 30), st.booleans(), st.sets(st.sampled_from(keys_between("2026-09-29T00", "2026-10-02T23")), min_size=40))
def test_any_window_of_hours_is_complete_for_both(first: int, wide: int, daily: bool, there: set[str]) -> None:
    world = World(event("l/played", start="2026-09-29T05"), endpoint("c/x", reads("l/played", first, first + wide), cadence="daily" if daily else "hourly"))
    world.build("l/played", *there)
    names = {name for name, each in world.decide(at(5, day=3)).items() if each.ask and each.endpoint == "c/x"}
    assert {name for name in asked(world, at(5, day=3)) if name.startswith("c/x")} == names


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 4), st.booleans(), st.sets(st.sampled_from(keys_between("2026-09-24", "2026-10-02"))))
def test_any_snapshot_is_found_by_both(days: int, daily: bool, there: set[str]) -> None:
    snapshots = endpoint("k/tracks", cadence="daily", kind="source", start="2026-09-25")
    world = World(snapshots, endpoint("c/x", as_of("k/tracks", days), cadence="daily" if daily else "hourly"))
    world.build("k/tracks", *[day for day in there if day >= "2026-09-25"])
    names = {name for name, each in world.decide(at(5, day=3)).items() if each.ask}
    assert set(asked(world, at(5, day=3))) == names


def test_hours_over_days_and_days_over_days() -> None:
    world = World(
        event("l/played"),
        endpoint("c/day", reads("l/played"), cadence="daily"),
        endpoint("c/week", reads("c/day", -1, 0, "days"), cadence="daily"),
        endpoint("c/hour", reads("l/played", -1, -1, "days")),
    )
    world.build("l/played", *keys_between("2026-09-29T00", "2026-10-02T23"))
    world.build("c/day", "2026-09-30", "2026-10-01")
    names = {name for name, each in world.decide(at(2, day=3)).items() if each.ask and each.endpoint.startswith("c/")}
    assert {name for name in asked(world, at(2, day=3)) if name.startswith("c/")} == names
    assert "c/week 2026-10-01" in names
    assert "c/hour 2026-10-01T07" in names


def test_an_open_hour_a_pause_and_an_import_are_left_alone() -> None:
    world = World(event("l/played"), endpoint("c/x", reads("l/played")))
    world.receivers = [Receiver("r1", at(2.5), at(2.5), "live")]
    world.build("l/played", "2026-10-01T00")
    assert set(asked(world, at(4.5))) == {"l/played 2026-10-01T01", "c/x 2026-10-01T00"}
    paused = (Pause("c", "moving house", at(1)),)
    assert set(asked(world, at(4.5), paused)) == {"l/played 2026-10-01T01"}
    world.build("c/x", "2026-10-01T00", origin="imported")
    world.trouble("c/x", "2026-10-01T00", "failed", at(2), again=at(3))
    held = standing_of(world, at(4.5))
    held = Standing(held.since, held.until, ("c/x",), held.published, (), [each._replace(imported=True) for each in held.troubles])
    assert gaps(Graph(world.contracts), held, at(4.5)) == []


def test_tries_come_again_in_their_time_and_with_new_code() -> None:
    world = World(contract("k/chart", kind="source", start="2026-10-01"))
    world.trouble("k/chart", H3, "failed", at(5), again=at(6), tries=2)
    assert f"k/chart {H3}" not in asked(world, at(5.9))
    again = asked(world, at(6))[f"k/chart {H3}"]
    assert (again.state, again.attempt) == (S.FAILED, 3)
    world.trouble("k/chart", H3, "stuck", at(6), tries=4)
    assert f"k/chart {H3}" not in asked(world, at(7))
    world.change("k/chart", code_version="code-2")
    assert asked(world, at(7))[f"k/chart {H3}"].state == S.STUCK


def test_nothing_is_asked_beyond_look_back_start_and_retention() -> None:
    world = World(contract("k/a", kind="source", start="2026-10-01T20"), contract("k/b", kind="source", retention_seconds=DAY // 2))
    found = asked(world, at(2, day=3))
    assert {name for name in found if name.startswith("k/a")} == {f"k/a {hour}" for hour in keys_between("2026-10-01T20", "2026-10-03T01")}
    assert {name for name in found if name.startswith("k/b")} == {f"k/b {hour}" for hour in keys_between("2026-10-02T14", "2026-10-03T01")}
    late = asked(world, at(2, day=5))
    assert min(late) == "k/a 2026-10-03T01"


def test_a_backlog_beyond_the_bound_is_named_by_its_ends() -> None:
    world = World(*[contract(f"k/s{number}", kind="source", start="2026-10-01") for number in range(4)])
    found = gaps(Graph(world.contracts), standing_of(world, at(23)), at(23), most=32)
    for key in world.facts:
        hours = [each.partition for each in found if each.endpoint == key]
        assert hours == keys_between("2026-10-01T00", "2026-10-01T01") + keys_between("2026-10-01T17", "2026-10-01T22")


def test_the_newest_hour_is_told_from_the_gaps_behind_what_is_published_asked_for_or_in_trouble() -> None:
    def newest(world: World) -> set[str]:
        return {name for name, each in asked(world, at(6)).items() if each.newest}

    def fresh() -> World:
        return World(contract("k/a", kind="source", start="2026-10-01"))

    world = fresh()
    assert newest(world) == {"k/a 2026-10-01T05"}
    world.build("k/a", "2026-10-01T04")
    assert newest(world) == {"k/a 2026-10-01T05"}
    world.trouble("k/a", "2026-10-01T05", "stuck", at(5.5))
    assert newest(world) == set()
    world = fresh()
    world.build("k/a", "2026-10-01T05")
    assert newest(world) == set()


def test_the_sweep_comes_to_everyone_in_time() -> None:
    keys = [f"a/x{number:03}" for number in range(170)]
    seen = [swept(keys, at(3) + timedelta(minutes=minute)) for minute in range(4)]
    assert sorted(key for share in seen for key in share) == keys
    assert max(map(len, seen)) <= 50
    assert swept(keys[:50], at(3)) == keys[:50]
    assert swept([], at(3)) == []
