"""The planner in a simulated platform. A failure names its seed; `BACKLINE_SIMULATION=2000` lives through that many, `=17:18` through one again.

Two seeds live for 14 days at half an hour a step, the others for 30 hours at ten minutes; `BACKLINE_SIMULATION_LONG` is the same for the long lives.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import pytest

from platform_defs.planning import states, touched
from platform_defs.planning.lateness import Late
from tests.unit.planning import simulation
from tests.unit.planning.simulated import Broken
from tests.unit.planning.simulation import Simulation


def seeds(name: str, default: str) -> range:
    """The seeds of this run."""
    first, _, end = os.environ.get(name, default).rpartition(":")
    return range(int(first or 0), int(end))


@pytest.mark.parametrize("seed", seeds("BACKLINE_SIMULATION", "6"))
def test_what_must_hold_holds(seed: int) -> None:
    lived = Simulation(seed).run()
    assert sum(lived.built.values()) > 50


@pytest.mark.parametrize("seed", seeds("BACKLINE_SIMULATION_LONG", "3:5"))
def test_what_must_hold_holds_for_two_weeks(seed: int) -> None:
    lived = Simulation(seed, hours=14 * 24, pace=timedelta(minutes=30)).run()
    assert sum(lived.built.values()) > 1000


def test_a_seed_is_a_life() -> None:
    one, other = Simulation(3, hours=6).run(), Simulation(3, hours=6).run()
    assert one.built == other.built
    assert one.world.facts == other.world.facts


def broken(seeds: int = 6) -> bool:
    for seed in range(seeds):
        try:
            Simulation(seed).run()
        except Broken:
            return True
    return False


# That it would notice: each of these is a planner with one thought left out.


def test_it_notices_late_rows_that_are_never_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "late_rows", lambda *_: Late(0, False, None))
    assert broken()


def test_it_notices_changes_that_are_followed_once_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "unsettled", lambda *_: touched.Unsettled(frozenset(), {}))
    monkeypatch.setattr(simulation, "swept", lambda *_: [])
    assert broken()


def test_it_notices_runs_that_are_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    real = simulation.gaps
    monkeypatch.setattr(simulation, "gaps", lambda graph, standing, *rest: real(graph, replace(standing, in_flight=()), *rest))
    assert broken()


def test_it_notices_a_reader_built_before_its_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    real = simulation.gaps

    def hasty(graph: object, standing: object, *rest: object) -> object:
        everything = dict.fromkeys(standing.published, ((0, 10_000_000),))  # type: ignore[attr-defined]
        everything |= {key: held for key, held in standing.published.items() if key in standing.asked}  # type: ignore[attr-defined]
        return real(graph, replace(standing, published=everything), *rest)  # type: ignore[arg-type, type-var]

    monkeypatch.setattr(simulation, "gaps", hasty)
    assert broken()


def test_it_notices_rebuilds_without_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "late_rows", lambda policy, published, landed, now: Late(1, True, now))
    assert broken()
