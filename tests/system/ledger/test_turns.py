"""One at a time commits to an endpoint's tables, and nobody waits for ever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from platform_defs.ledger import Ledger
from platform_defs.ledger.turns import Turns, TurnTaken


def test_one_at_a_time_has_the_turn_at_an_endpoint(ledger: Ledger) -> None:
    inside, most = [0], [0]
    start = threading.Barrier(4)

    def one(_: int) -> None:
        start.wait()
        for _ in range(20):
            with ledger.turns.at("charts/plays"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    assert most == [1]


def test_other_endpoints_do_not_wait_and_who_waits_too_long_is_told(ledger: Ledger) -> None:
    impatient = Turns(ledger.store, patience_seconds=0.2)
    with ledger.turns.at("charts/plays"):
        with impatient.at("charts/skips"):
            pass
        with pytest.raises(TurnTaken, match="charts/plays: somebody has been committing"), impatient.at("charts/plays"):
            raise AssertionError("two have the turn")
    with impatient.at("charts/plays"):
        pass
