"""The planner in a simulated platform. A failure names its seed; `BACKLINE_SIMULATION=2000` lives through that many, `=17:18` through one again.

Two seeds live for 14 days at half an hour a step, the others for 30 hours at ten minutes; `BACKLINE_SIMULATION_LONG` is the same for the long lives.
"""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from tests.unit.planning.simulation import Simulation


def seeds(name: str, default: str) -> range:
    """The seeds of this run."""
    first, _, end = os.environ.get(name, default).rpartition(":")
    return range(int(first or 0), int(end))


@pytest.mark.parametrize("seed", seeds("BACKLINE_SIMULATION", "6"))
def test_what_must_hold_holds(seed: int) -> None:
    lived = Simulation(seed).run()
    assert sum(lived.built.values()) > 50


@pytest.mark.parametrize("seed", seeds("BACKLINE_SIMULATION_LONG", "4:6"))
def test_what_must_hold_holds_for_two_weeks(seed: int) -> None:
    lived = Simulation(seed, hours=14 * 24, pace=timedelta(minutes=30)).run()
    assert sum(lived.built.values()) > 1000


def test_a_seed_is_a_life() -> None:
    one, other = Simulation(3, hours=6).run(), Simulation(3, hours=6).run()
    assert one.built == other.built
    assert one.world.facts == other.world.facts
