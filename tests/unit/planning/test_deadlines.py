"""Deadlines: what they hold for, what is past them, what became of it, and the words."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import index_of, key_at, keys_between
from platform_defs.planning.deadlines import Moves, Open, Promise, absent, deadline_of, judged, moves, overdue, past_deadline, spell
from platform_defs.planning.facts import EndpointFacts, Published
from platform_defs.planning.spans import Ranges, joined
from platform_defs.planning.states import PartitionState as S
from tests.fixtures.contracts import DAY, HOUR, endpoint, event
from tests.unit.planning.world import World, at

H = keys_between("2026-10-01T00", "2026-10-02T23")
RATE = endpoint("c/rate", ready_within_seconds=3 * HOUR)
BACK = timedelta(days=3)


def published(*keys: str) -> Ranges:
    return joined((index_of(key), index_of(key)) for key in keys)


def version(built: datetime, first: datetime | None = None, origin: str = "built") -> Published:
    return Published(b"c", b"", 1, 1, "code-1", built, "run", first_built_at=first or built, origin=origin)  # type: ignore[arg-type]


def test_a_new_endpoint_promised_nothing_for_what_had_ended() -> None:
    assert deadline_of(RATE, H[3], None) == at(7)
    assert deadline_of(RATE, H[3], at(4)) is None  # it ended at the very instant
    assert deadline_of(RATE, H[3], at(3.5)) == at(7)
    assert deadline_of(endpoint("c/rate"), H[3], None) is None
    assert not past_deadline(RATE, H[3], None, at(7))
    assert past_deadline(RATE, H[3], None, at(7) + timedelta(microseconds=1))


def test_the_planner_calls_only_promised_partitions_overdue() -> None:
    world = World(event("l/played", ready_within_seconds=HOUR))
    world.facts["l/played"] = replace(world.facts["l/played"], since=at(5.5))
    found = world.decide(at(20))
    assert [key for key, each in found.items() if each.overdue] == [f"l/played {hour}" for hour in H[5:18]]
    assert all(each.state is S.DUE and each.ask for each in list(found.values())[:19])  # asked for all the same


hours_ = st.integers(0, 47)


@given(
    cadence=st.sampled_from(["hourly", "daily"]),
    ready=st.integers(1, 40 * HOUR),
    retention=st.integers(6 * HOUR, 4 * DAY),
    start=hours_,
    since=st.none() | st.floats(0, 60),
    now=st.floats(0, 80),
    built=st.sets(hours_),
    back=st.none() | st.integers(1, 90),
)
def test_in_sets_it_is_what_the_planner_finds_one_by_one(
    cadence: str, ready: int, retention: int, start: int, since: float | None, now: float, built: set[int], back: int | None
) -> None:
    contract = endpoint("c/rate", cadence=cadence, ready_within_seconds=ready, retention_seconds=retention, start=H[start])
    every = H if cadence == "hourly" else ["2026-10-01", "2026-10-02"]
    there = [every[number] for number in built if number < len(every)]
    applied = None if since is None else at(since)
    world = World(contract)
    world.facts["c/rate"] = EndpointFacts(contract, {key: version(at(0)) for key in there}, since=applied)
    one_by_one = {each.partition for each in world.decide(at(now)).values() if each.overdue}
    if back is not None:
        young = at(now) - timedelta(hours=back)
        one_by_one = {key for key in one_by_one if (deadline_of(contract, key, None) or young) > young}
    within = None if back is None else timedelta(hours=back)
    in_sets = overdue(Promise(contract, published(*there), applied), at(now), within)
    assert {key_at(contract.cadence, number) for first, last in in_sets for number in range(first, last + 1)} == one_by_one


def look(
    known: dict[tuple[str, str], Open], now: datetime, *built: str, paused: bool = False, contract: Contract = RATE, since: datetime | None = None
) -> Moves:
    return moves({"c/rate": Promise(contract, published(*built), since or at(0))}, known, {"c/rate"} if paused else set(), now, BACK)


def places(*keys: str) -> tuple[tuple[str, str], ...]:
    return tuple(("c/rate", key) for key in keys)


def test_each_partition_enters_and_leaves_once() -> None:
    first = look({}, at(5.5), H[0])
    assert first == Moves(entered=places(H[1]))
    known = {place: Open(root="x") for place in first.entered}
    assert look(known, at(5.5), H[0]) == Moves(still=places(H[1]))
    assert look(known, at(6.5), H[0], H[1]) == Moves(entered=places(H[2]), left={("c/rate", H[1]): "published"})


def test_a_pause_mutes_what_is_overdue_and_whatever_passes_its_deadline_meanwhile() -> None:
    told = {("c/rate", H[0]): Open(root="x")}
    assert look(told, at(8.5), paused=True) == Moves(muted=places(H[0]))
    muted = {("c/rate", H[0]): Open(muted=True)}
    assert look(muted, at(8.5), paused=True) == Moves()
    assert look(muted, at(6.5)) == Moves(entered=places(H[1], H[2]), resumed=places(H[0]))
    assert look(muted, at(8.5), H[0], paused=True) == Moves(left={("c/rate", H[0]): "published"})


def test_what_no_deadline_holds_for_any_more_is_gone() -> None:
    told = {("c/rate", H[0]): Open(root="x")}
    later = RATE.model_copy(update={"ready_within_seconds": 20 * HOUR})
    assert look(told, at(8.5), contract=later).left == {("c/rate", H[0]): "gone"}
    assert look(told, at(8.5) + timedelta(days=400)).left == {("c/rate", H[0]): "gone"}  # past retention
    assert moves({}, told, (), at(8.5), BACK).left == {("c/rate", H[0]): "gone"}


def test_what_is_known_stays_however_old_it_becomes() -> None:
    told = {("c/rate", H[0]): Open(root="x")}
    found = look(told, at(8.5) + 3 * BACK)
    assert found.still == places(H[0])
    assert ("c/rate", H[1]) not in found.entered


def test_words_of_what_is_there() -> None:
    in_time = judged(RATE, H[3], version(at(20), first=at(5)), at(0))
    assert (in_time.passed, in_time.words, in_time.spare) == (True, "there 2 h before its deadline, 2026-10-01 07:00 (ready within 3h)", 2 * HOUR)
    late = judged(RATE, H[3], version(at(8.25)), at(0))
    assert (late.passed, late.severe, late.spare) == (False, False, -75 * 60)
    assert late.words == "came 1 h 15 min late, at 2026-10-01 08:15; its deadline was 2026-10-01 07:00 (ready within 3h)"
    assert late.numbers == {"deadline": "2026-10-01 07:00 UTC", "seconds to spare": -4500}
    history = judged(RATE, H[3], version(at(30)), at(10))
    assert (history.passed, history.deadline) == (True, None)
    assert history.words == "no deadline holds for it: it had ended when c/rate was first applied, at 2026-10-01 10:00"
    assert judged(RATE, H[3], version(at(30), origin="imported"), at(0)).passed


def test_words_of_what_is_not() -> None:
    found = absent(RATE, H[3], at(0), "receiver r2 is silent")
    assert (found.passed, found.severe, found.spare) == (False, True, None)
    assert found.words == "not there by 2026-10-01 07:00 (ready within 3h): receiver r2 is silent"


@pytest.mark.parametrize(("seconds", "said"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3660, "1 h 1 min"), (90_061, "1 d 1 h"), (86_460, "1 d 1 min")])
def test_lengths_of_time(seconds: int, said: str) -> None:
    assert spell(seconds) == said
