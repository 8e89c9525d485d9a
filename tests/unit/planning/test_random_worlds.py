"""What holds of the planner in any world."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import hours_of, keys_between, window_of
from platform_defs.planning.inputs import view_inputs
from platform_defs.planning.levels import levels
from platform_defs.planning.requests import MAX_ASSETS, MAX_KEYS, RunRequestPlan, plan_requests
from platform_defs.planning.states import Decision
from platform_defs.planning.states import PartitionState as S
from tests.fixtures.contracts import endpoint, event, reads
from tests.unit.planning.world import World, at

DAYS = ["2026-10-01", "2026-10-02"]
HOURS = [hour for day in DAYS for hour in hours_of(day)]


@st.composite
def graphs(draw: st.DrawFn) -> list[Contract]:
    """Two events and up to five endpoints over them, hourly and daily, with windows, some reading themselves."""
    made = [event("a/e0"), event("b/e1")]
    for number in range(draw(st.integers(1, 5))):
        daily = draw(st.booleans())
        inputs = []
        for read in draw(st.lists(st.sampled_from(made), min_size=1, max_size=3, unique_by=lambda c: c.key)):
            if read.cadence == "daily" and not daily:
                continue
            unit = "hours" if read.cadence == "hourly" else "days"
            first = draw(st.integers(-2, 1))
            inputs.append(reads(read.key, first, first + draw(st.integers(0, 2)), unit))
        key = f"{draw(st.sampled_from('ab'))}/x{number}"
        if draw(st.booleans()):
            inputs.append(reads(key, -1, -1, "days" if daily else "hours"))
        tier = draw(st.sampled_from(["high", "normal", "low"]))
        made.append(endpoint(key, *inputs, cadence="daily" if daily else "hourly", start="2026-10-01", tier=tier))
    return made


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world = World(*draw(graphs()))
    for key, facts in world.facts.items():
        keys = DAYS if facts.cadence == "daily" else HOURS
        dense = draw(st.floats(0.3, 1))
        random = draw(st.randoms(use_true_random=False))
        for partition in keys:
            roll = random.random()
            if roll < dense:
                world.build(key, partition, content=random.choice("xyz"), when=window_of(partition).end + timedelta(minutes=random.randint(3, 900)))
            elif roll < dense + 0.05:
                world.trouble(key, partition, random.choice(["failed", "stuck", "refused"]), at(20), again=random.choice([None, at(21), at(23, day=2)]))
            elif roll < dense + 0.08:
                world.flight(key, partition, random.choice(["requested", "running"]), at(20))
            if facts.contract.kind == "event" and random.random() < 0.1:
                world.land(key, partition, random.randint(0, 20), at(22))
    return world


@settings(deadline=None, max_examples=40)
@given(worlds())
def test_never_due_and_never_asked_for_with_incomplete_inputs(world: World) -> None:
    for decision in world.decide(at(23.5, day=2)).values():
        contract = world.facts[decision.endpoint].contract
        view = view_inputs(contract, decision.partition, world.contracts, world.content)
        if decision.state == S.DUE or decision.ask:
            assert view.complete, decision
        if decision.state == S.WAITING and contract.kind == "endpoint":
            assert not view.complete, decision
            assert decision.waiting_for == view.missing
        assert decision.reason


@settings(deadline=None, max_examples=40)
@given(worlds())
def test_what_is_in_flight_is_never_asked_for(world: World) -> None:
    for decision in world.decide(at(23.5, day=2)).values():
        if decision.partition in world.facts[decision.endpoint].in_flight:
            assert decision.state in (S.REQUESTED, S.RUNNING)
            assert not decision.ask


@settings(deadline=None, max_examples=40)
@given(worlds())
def test_every_partition_that_is_over_has_one_state(world: World) -> None:
    now = at(23.5, day=2)
    decided = world.decide(now)
    expected = {
        f"{key} {partition}"
        for key, facts in world.facts.items()
        for partition in (DAYS if facts.cadence == "daily" else HOURS)
        if window_of(partition).end <= now
    }
    assert set(decided) == expected


@settings(deadline=None, max_examples=40)
@given(worlds())
def test_plans_cover_exactly_what_is_asked_for(world: World) -> None:
    decisions = list(world.decide(at(23.5, day=2)).values())
    plans = plan_requests(decisions, world.contracts)
    covered = [place for plan in plans for place in plan.places]
    assert sorted(covered) == sorted((each.endpoint, each.partition) for each in decisions if each.ask)
    level = levels(world.contracts.values())
    for plan in plans:
        hold(plan, world.contracts)
        assert len({level[key] for key in plan.endpoints}) == 1
    ranks = [["high", "normal", "low"].index(plan.tier) for plan in plans]
    assert ranks == sorted(ranks)


def hold(plan: RunRequestPlan, contracts: dict[str, Contract]) -> None:
    assert len(plan.endpoints) <= MAX_ASSETS
    assert 1 <= len(keys_between(plan.first, plan.last)) <= MAX_KEYS[plan.cadence]
    for key in plan.endpoints:
        assert (contracts[key].domain, contracts[key].cadence) == (plan.domain, plan.cadence)
        assert not {item.endpoint for item in contracts[key].inputs} - {key} & set(plan.endpoints)


def test_limits_of_a_run() -> None:
    contracts = {f"a/x{n:03}": endpoint(f"a/x{n:03}") for n in range(120)}
    decisions = [Decision(key, hour, S.DUE, "due", ask=True) for key in contracts for hour in HOURS]
    plans = plan_requests(decisions, contracts)
    assert sorted(len(plan.endpoints) for plan in plans) == [20, 20, 50, 50, 50, 50]
    assert {(plan.first, plan.last) for plan in plans} == {(HOURS[0], HOURS[23]), (HOURS[24], HOURS[47])}
    assert plans[0].last == HOURS[47]
