"""Runs of commands: one of a name at a time, and what a dead one held is free."""

from __future__ import annotations

import pytest

from platform_defs.ledger import Fence, Held, Ledger
from platform_defs.ledger.attended import attended, end_dead
from platform_defs.ledger.leases import RunEnded
from tests.system.ledger.telling import H3, RATE

NAME, DEAD = "import-charts.rate", "import-charts.rate-0123456789ab"


def test_one_at_a_time_and_ended_at_the_end(filled: Ledger) -> None:
    with attended(filled, NAME) as run, attended(filled, NAME) as second, attended(filled, "import-charts.day") as other:
        assert run is not None
        assert (second, other is None) == (None, False)
        assert isinstance(filled.leases.acquire(RATE, [H3], run), Fence)
        assert end_dead(filled, filled.leases.holders()) == 0
    with pytest.raises(RunEnded):
        filled.leases.acquire(RATE, [H3], run)
    assert filled.leases.holders() == []


def test_what_a_dead_one_held_is_taken_over(filled: Ledger) -> None:
    for revive in (False, True):
        filled.leases.acquire(RATE, [H3], DEAD if revive else f"{DEAD[:-1]}c")
        if revive:
            with attended(filled, NAME):
                pass
        else:
            assert end_dead(filled, filled.leases.holders()) == 1
        held = filled.leases.acquire(RATE, [H3], "next")
        assert isinstance(held, Held)
        assert held.void
        fence = filled.leases.take_over(RATE, [H3], "next")
        assert isinstance(fence, Fence)
        filled.leases.stopped(fence)
        filled.leases.release(fence)


def test_other_runs_are_left_to_who_knows_them(filled: Ledger) -> None:
    for run in ("5b1c7b2e-0000-4000-8000-000000000000", "retention-charts-0123456789ab", "import-charts.rate"):
        assert end_dead(filled, [run]) == 0
