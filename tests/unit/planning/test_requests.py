"""How much a tick asks for, of which tier, and in which order: nobody is forgotten while it fits, and no tier while it does not."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import hours_of, index_of
from platform_defs.planning.levels import levels
from platform_defs.planning.requests import MAX_PARTITIONS, MAX_RUNS, Room, RunRequestPlan, plan_tick
from platform_defs.planning.states import Decision
from platform_defs.planning.states import PartitionState as S
from platform_defs.planning.touched import Place
from tests.fixtures.contracts import endpoint, reads

HOURS = [hour for day in ("2026-10-01", "2026-10-02") for hour in hours_of(day)]
TIERS = ["high", "normal", "low"]


def drained(asked: set[Place], contracts: dict[str, Contract], room: Room, ticks: int) -> list[list[RunRequestPlan]]:
    """What that many ticks ask for, one after the other."""
    level, left, asks = levels(contracts.values()), set(asked), []
    latest: dict[str, str] = {}
    for _ in range(ticks):
        newest = {key: hour for key, hour in sorted(left) if hour > latest.get(key, "")}
        plans = plan_tick([Decision(*place, S.DUE, "due", ask=True, newest=place in newest.items()) for place in sorted(left)], contracts, level, room)
        covered = places(plans)
        assert len(covered) == len(set(covered))
        assert set(covered) <= left
        assert len(plans) <= (max(room.runs, room.newest) if newest else room.runs)
        assert len(covered) <= room.partitions
        for key, hour in covered:
            latest[key] = max(hour, latest.get(key, ""))
        left -= set(covered)
        asks.append(plans)
    return asks


def places(plans: Iterable[RunRequestPlan]) -> list[Place]:
    return [place for plan in plans for place in plan.places]


def graph(endpoints: int, depth: int) -> dict[str, Contract]:
    """Endpoints of three tiers on so many levels."""
    made: dict[str, Contract] = {}
    for number in range(endpoints):
        below = number % depth
        inputs = [reads(f"a/x{number - 1:04}")] if below else []
        made[f"a/x{number:04}"] = endpoint(f"a/x{number:04}", *inputs, tier=TIERS[number // depth % 3])
    return made


def test_scattered_gaps_that_fit_are_all_asked_for_within_twenty_ticks_and_the_newest_hours_within_two() -> None:
    contracts, dice = graph(2000, 4), random.Random(7)
    asked = {(key, hour) for key in contracts for hour in [HOURS[-1], *dice.sample(HOURS[:-1], 9)]}
    assert len(asked) == MAX_PARTITIONS
    asks = drained(asked, contracts, Room(), 20)
    assert {(key, HOURS[-1]) for key in contracts} <= set(places(asks[0] + asks[1]))
    assert set(places(plan for tick in asks for plan in tick)) == asked


@pytest.mark.parametrize("depth", [1, 5, 12])
def test_newest_hours_that_lie_scattered_are_asked_for_within_two_ticks_and_their_gaps_within_twenty(depth: int) -> None:
    contracts, dice = graph(2000, depth), random.Random(depth)
    asked = {(key, hour) for key in contracts for hour in dice.sample(HOURS, 10)}
    by_key: dict[str, list[str]] = {}
    for key, hour in asked:
        by_key.setdefault(key, []).append(hour)
    newest = {(key, max(hours)) for key, hours in by_key.items()}
    asks = drained(asked, contracts, Room(), 20)
    assert newest <= set(places(asks[0] + asks[1]))
    assert set(places(plan for tick in asks for plan in tick)) == asked
    assert all(len(plans) <= MAX_RUNS for plans in asks[2:])


def test_a_first_start_of_a_large_domain_leaves_no_tier_out() -> None:
    contracts = graph(2000, 4)
    asked = {(key, hour) for key in contracts for hour in HOURS}
    first = drained(asked, contracts, Room(), 1)[0]
    total = sum(plan.partitions for plan in first)
    by_tier = {tier: sum(plan.partitions for plan in first if plan.tier == tier) for tier in TIERS}
    assert total > MAX_PARTITIONS * 0.9
    assert min(by_tier.values()) >= total / 10
    assert by_tier["high"] > by_tier["normal"] >= by_tier["low"]
    assert [plan.tier for plan in first] == sorted((plan.tier for plan in first), key=TIERS.index)


def test_above_the_bound_high_tier_is_served_as_if_it_were_alone() -> None:
    contracts, dice = graph(1800, 3), random.Random(3)
    high = {(key, hour) for key, each in contracts.items() if each.tier == "high" for hour in [HOURS[-1], *dice.sample(HOURS[:-1], 10)]}
    others = {(key, hour) for key, each in contracts.items() if each.tier != "high" for hour in HOURS}
    assert len(high) < MAX_PARTITIONS < len(others)
    asks = drained(high | others, contracts, Room(), 20)
    newest = {(key, hour) for key, hour in high if hour == HOURS[-1]}
    assert newest <= set(places(asks[0] + asks[1]))
    assert high <= set(places(plan for tick in asks for plan in tick))
    for plans in asks[:3]:
        total = sum(plan.partitions for plan in plans)
        for tier in TIERS:
            mine = [plan for plan in plans if plan.tier == tier]
            assert sum(plan.partitions for plan in mine) >= total / 10 or len(mine) >= MAX_RUNS / 10


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 25), st.integers(1, 4), st.integers(1, 12), st.integers(60, 2_000), st.randoms(use_true_random=False))
def test_any_backlog_drains_in_any_room_and_oldest_gaps_are_not_left_for_last(
    endpoints: int, depth: int, runs: int, partitions: int, dice: random.Random
) -> None:
    contracts, room = graph(endpoints, depth), Room(runs, max(partitions, 1200))
    asked = {(key, hour) for key in contracts for hour in dice.sample(HOURS, dice.randint(1, 20))}
    asks = drained(asked, contracts, room, len(asked))
    assert set(places(plan for tick in asks for plan in tick)) == asked


def test_the_oldest_gap_has_its_turn_while_new_hours_keep_coming() -> None:
    contracts = graph(30, 1)
    old = {("a/x0000", HOURS[number]) for number in range(0, 12, 2)}
    left = set(old) | {(key, HOURS[40]) for key in contracts}
    for tick in range(20):
        left |= {(key, HOURS[41 + tick % 7]) for key in contracts}  # always something newer
        plans = drained(left, contracts, Room(runs=4), 1)[0]
        left -= set(places(plans))
    assert not old & left


def test_a_run_is_no_longer_and_no_wider_than_it_may_be_whatever_the_cut() -> None:
    contracts = graph(120, 1)
    for asks in drained({(key, hour) for key in contracts for hour in HOURS}, contracts, Room(runs=3), 6):
        for plan in asks:
            assert len(plan.endpoints) <= 50
            assert index_of(plan.last) - index_of(plan.first) < 24


def scattered(key: str, *asked: str, held: tuple[str, ...] = ()) -> list[Decision]:
    """Decisions on a day's hours: these ask, `held` are stale and settle later, all others are current."""
    states = {**dict.fromkeys(HOURS[:24], S.CURRENT), **dict.fromkeys((*asked, *held), S.STALE)}
    return [Decision(key, hour, state, "", ask=hour in asked) for hour, state in states.items()]


def test_scattered_hours_share_a_run_that_spares_the_current_ones_between_them() -> None:
    contracts = {"a/x": endpoint("a/x")}
    (plan,) = plan_tick(scattered("a/x", HOURS[3], HOURS[7], HOURS[8]), contracts, levels(contracts.values()), Room())
    assert (plan.first, plan.last, plan.partitions) == (HOURS[3], HOURS[8], 3)
    assert plan.places == [("a/x", HOURS[3]), ("a/x", HOURS[7]), ("a/x", HOURS[8])]
    assert plan.spared == (("a/x", HOURS[4]), ("a/x", HOURS[5]), ("a/x", HOURS[6]))


def test_what_is_not_current_parts_a_range() -> None:
    contracts = {"a/x": endpoint("a/x")}
    plans = plan_tick(scattered("a/x", HOURS[3], HOURS[7], held=(HOURS[5],)), contracts, levels(contracts.values()), Room())
    assert sorted((plan.first, plan.last) for plan in plans) == [(HOURS[3], HOURS[3]), (HOURS[7], HOURS[7])]


def test_endpoints_with_other_gaps_share_a_run_unless_most_of_it_would_be_spared() -> None:
    contracts = {key: endpoint(key) for key in ("a/x", "a/y")}
    level = levels(contracts.values())
    near = [*scattered("a/x", HOURS[3], HOURS[5]), *scattered("a/y", HOURS[4])]
    (plan,) = plan_tick(near, contracts, level, Room())
    assert (plan.endpoints, plan.first, plan.last, plan.partitions) == (("a/x", "a/y"), HOURS[3], HOURS[5], 3)
    far = [*scattered("a/x", HOURS[1]), *scattered("a/y", HOURS[20])]
    assert [plan.partitions for plan in plan_tick(far, contracts, level, Room())] == [1, 1]
    mixed = [*scattered("a/x", HOURS[3], HOURS[5]), *scattered("a/y", HOURS[4], held=(HOURS[3],))]
    assert sorted(plan.endpoints for plan in plan_tick(mixed, contracts, level, Room())) == [("a/x",), ("a/y",)]
