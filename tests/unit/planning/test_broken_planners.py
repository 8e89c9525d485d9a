"""That the simulation can fail: each of these is the planner with one thought left out, and each is noticed within the seeds that every run lives through."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from platform_defs.planning import gaps, inputs, requests, states, touched
from platform_defs.planning.closing import Closing, closing
from platform_defs.planning.lateness import Late, late_rows
from platform_defs.planning.states import Decision, PartitionState
from tests.unit.planning import simulation
from tests.unit.planning.simulated import Broken
from tests.unit.planning.simulation import Simulation

SEEDS = range(6)
Patch = pytest.MonkeyPatch
Break = Callable[[Patch], None]
PLANNERS: dict[str, tuple[Break, int]] = {}


def planner(seed: int = 0) -> Callable[[Break], Break]:
    """Adds a broken planner to the list; its docstring is what is wrong with it. `seed`: which is lived through first, for it is known to notice."""

    def add(broken: Break) -> Break:
        assert broken.__doc__
        PLANNERS[broken.__doc__] = broken, seed
        return broken

    return add


def _judged(monkeypatch: Patch, otherwise: Callable[..., Decision]) -> None:
    """`otherwise(round_, mine, partition, decision)` for every decision."""
    real = states._judge
    monkeypatch.setattr(states, "_judge", lambda round_, mine, partition: otherwise(round_, mine, partition, real(round_, mine, partition)))


# late rows


@planner()
def ignores_settle_ages(monkeypatch: Patch) -> None:
    """takes late rows at once"""
    monkeypatch.setattr(states, "late_rows", lambda *given: replace(late, due=True) if (late := late_rows(*given)).rows else late)


@planner()
def ignores_late_rows(monkeypatch: Patch) -> None:
    """never sees late rows"""
    monkeypatch.setattr(states, "late_rows", lambda *_: Late(0, False, None))


@planner()
def ignores_the_share(monkeypatch: Patch) -> None:
    """waits for the settle age however many rows are late"""
    monkeypatch.setattr(states, "late_rows", lambda policy, *rest: late_rows(policy.model_copy(update={"share": 1e9}), *rest))


@planner()
def rebuilds_at_settle_ages_without_late_rows(monkeypatch: Patch) -> None:
    """rebuilds though no row is late"""
    monkeypatch.setattr(states, "late_rows", lambda policy, published, landed, now: Late(1, True, now))


@planner()
def sees_one_settle_age_only(monkeypatch: Patch) -> None:
    """knows the first settle age only"""

    def first(policy: Any, *rest: Any) -> Late:
        return late_rows(policy.model_copy(update={"settle_seconds": policy.settle_seconds[:1]}), *rest)

    monkeypatch.setattr(states, "late_rows", first)


# first builds


@planner()
def ignores_missing_inputs(monkeypatch: Patch) -> None:
    """builds before its inputs are complete"""
    monkeypatch.setattr(gaps._Look, "_buildable", lambda self, line, wanted: wanted)


@planner()
def ignores_receivers(monkeypatch: Patch) -> None:
    """closes an hour though a receiver holds rows of it"""
    for module in (states, gaps):
        monkeypatch.setattr(module, "closing", lambda hour, now, receivers, hold, *rest: closing(hour, now, (), hold, *rest))


@planner(seed=4)
def holds_for_ever(monkeypatch: Patch) -> None:
    """waits for a silent receiver longer than the hold"""
    for module in (states, gaps):
        monkeypatch.setattr(module, "closing", lambda hour, now, receivers, hold, *rest: closing(hour, now, receivers, None, *rest))


@planner()
def ignores_grace(monkeypatch: Patch) -> None:
    """closes an hour at its end"""
    for module in (states, gaps):
        monkeypatch.setattr(module, "closing", lambda *_: Closing(True))


@planner()
def drops_the_oldest_gap(monkeypatch: Patch) -> None:
    """never asks for the oldest of what is missing"""
    real = gaps._places

    def but_the_oldest(places: int) -> Iterable[int]:
        return list(real(places))[1:]

    monkeypatch.setattr(gaps, "_places", but_the_oldest)


@planner()
def forgets_the_look_back(monkeypatch: Patch) -> None:
    """asks for what was never built however long ago it ended"""
    for module in (states, gaps):
        monkeypatch.setattr(module, "GRACE", timedelta(days=2))


# in flight, tried again


@planner()
def forgets_what_is_in_flight(monkeypatch: Patch) -> None:
    """asks again while a request is open"""
    real = simulation.gaps
    monkeypatch.setattr(simulation, "gaps", lambda graph, standing, *rest: real(graph, replace(standing, in_flight=()), *rest))


@planner()
def never_retries(monkeypatch: Patch) -> None:
    """never tries again what failed"""
    monkeypatch.setattr(simulation, "next_try", lambda tries, at: None)


@planner()
def retries_at_once(monkeypatch: Patch) -> None:
    """tries again without waiting"""
    monkeypatch.setattr(simulation, "next_try", lambda tries, at: at)


@planner(seed=1)
def retries_for_ever(monkeypatch: Patch) -> None:
    """tries a fifth time and more"""
    monkeypatch.setattr(simulation, "next_try", lambda tries, at: at + timedelta(minutes=60 if tries > 2 else 5))


@planner()
def retries_what_no_retry_mends(monkeypatch: Patch) -> None:
    """tries again what was refused or raised"""
    _judged(monkeypatch, lambda round_, mine, partition, each: replace(each, ask=True) if each.state is PartitionState.REFUSED else each)


@planner(seed=2)
def ignores_new_code(monkeypatch: Patch) -> None:
    """does not try again when the code was mended"""
    real = states._troubled

    def same(round_: Any, contract: Any, partition: str, trouble: Any, *rest: Any) -> Decision:
        return real(round_, contract, partition, replace(trouble, code=contract.code_version), *rest)

    monkeypatch.setattr(states, "_troubled", same)
    monkeypatch.setattr(gaps._Look, "_again", lambda self, trouble: None)


@planner()
def ignores_new_input(monkeypatch: Patch) -> None:
    """does not try again what was refused when its input changed"""
    real = states._troubled
    monkeypatch.setattr(
        states, "_troubled", lambda round_, contract, partition, trouble, moved, digest: real(round_, contract, partition, trouble, False, digest)
    )


@planner()
def ignores_pauses(monkeypatch: Patch) -> None:
    """asks for what is paused"""
    monkeypatch.setattr(gaps, "pauses_of", lambda *_: {})


# rebuilds


@planner()
def rebuilds_on_new_code(monkeypatch: Patch) -> None:
    """rebuilds what is outdated by itself"""
    _judged(monkeypatch, lambda round_, mine, partition, each: replace(each, ask=True) if each.state is PartitionState.OUTDATED else each)


@planner()
def takes_old_code_for_new(monkeypatch: Patch) -> None:
    """calls current what older code has built"""
    monkeypatch.setattr(states, "_built", lambda contract, partition, published: Decision(contract.key, partition, PartitionState.CURRENT, ""))


@planner()
def rebuilds_on_equal_content(monkeypatch: Patch) -> None:
    """rebuilds what reads a partition that was built anew with the same content"""

    def eager(round_: Any, mine: Any, partition: str, each: Decision) -> Decision:
        published = mine.published.get(partition)
        if each.state is not PartitionState.CURRENT or published is None or round_.pauses:
            return each
        reads = [(item.endpoint, key) for item in mine.contract.inputs for key in _read(round_, item, partition)]
        held = [round_.facts.endpoints[endpoint].published.get(key) for endpoint, key in reads]
        newer = any(one is not None and one.built_at > published.seen_at for one in held)
        return replace(each, ask=True) if newer else each

    _judged(monkeypatch, eager)


def _read(round_: Any, item: Any, partition: str) -> tuple[str, ...]:
    return inputs.keys_read(item, partition, round_.contracts[item.endpoint].cadence)


@planner()
def follows_newer_snapshots(monkeypatch: Patch) -> None:
    """rebuilds when a newer snapshot is there"""
    real = states.view_inputs
    monkeypatch.setattr(states, "view_inputs", lambda contract, key, contracts, content, pins: real(contract, key, contracts, content, None))


@planner()
def forgets_windows(monkeypatch: Patch) -> None:
    """reads the partition of the same time, not the window"""
    real = inputs.keys_read
    monkeypatch.setattr(inputs, "keys_read", lambda item, key, cadence: real(item, key, cadence)[-1:])


@planner()
def forgets_corrections(monkeypatch: Patch) -> None:
    """follows corrections beyond their age"""
    real = states._changed

    def always(round_: Any, contract: Any, *rest: Any) -> Decision:
        return real(round_, contract.model_copy(update={"corrections_seconds": None}), *rest)

    monkeypatch.setattr(states, "_changed", always)


@planner()
def forgets_changes(monkeypatch: Patch) -> None:
    """follows a change once and forgets what it was not done with"""
    monkeypatch.setattr(simulation, "unsettled", lambda *_: touched.Unsettled(frozenset(), {}))
    monkeypatch.setattr(simulation, "swept", lambda *_: [])


@planner()
def waits_for_every_wave(monkeypatch: Patch) -> None:
    """rebuilds nothing that reads what might change once more"""
    monkeypatch.setattr(states, "_reads_moving", lambda *_: True)
    monkeypatch.setattr(states, "WAVE", timedelta(days=9))


@planner()
def rechecks_at_every_tick(monkeypatch: Patch) -> None:
    """looks at a source again and again"""
    monkeypatch.setattr(states, "RECHECK_EVERY", {"hourly": timedelta(), "daily": timedelta()})


# runs


@planner(seed=9)
def starves_the_low_tier(monkeypatch: Patch) -> None:
    """serves the tiers one after another while there is room"""
    monkeypatch.setattr(requests, "share_out", lambda plans, room: sorted(plans, key=lambda plan: requests._RANK[plan.tier])[: room.runs])


@planner()
def asks_for_more_than_was_decided(monkeypatch: Patch) -> None:
    """builds what lies between scattered partitions too"""
    real = requests.plan_requests
    monkeypatch.setattr(requests, "plan_requests", lambda *given: [replace(plan, spared=()) for plan in real(*given)])


@planner()
def asks_twice_in_a_tick(monkeypatch: Patch) -> None:
    """asks for one thing in two runs"""
    real = requests.share_out
    monkeypatch.setattr(requests, "share_out", lambda plans, room: [plan for plan in real(plans, room) for _ in range(2)][: room.runs])


@pytest.mark.parametrize("what", PLANNERS)
def test_it_is_noticed(what: str, monkeypatch: Patch) -> None:
    broken, first = PLANNERS[what]
    broken(monkeypatch)
    for seed in dict.fromkeys((first, *SEEDS)):
        try:
            Simulation(seed).run()
        except Broken:
            return
    pytest.fail(f"a planner of which this is true goes unnoticed: {what}")
