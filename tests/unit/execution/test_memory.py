"""Memory that threads share: lent out, waited for, given back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from platform_defs.execution.memory import MemoryBudget, share


def go_on() -> None:
    """Nothing stands against waiting."""


def test_no_more_is_lent_than_there_is_and_all_get_their_turn() -> None:
    budget, lock, held, most = MemoryBudget(10), threading.Lock(), 0, 0

    def take(size: int) -> None:
        nonlocal held, most
        with budget.taken(size, go_on):
            with lock:
                held += size
                most = max(most, held)
            with lock:
                held -= size

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, [1, 4, 6, 10, 3, 9] * 50))
    assert most <= 10
    with budget.taken(10, go_on):
        pass


def test_what_needs_more_than_there_is_gets_all_of_it() -> None:
    budget, asked, entered = MemoryBudget(10), threading.Event(), threading.Event()

    def take() -> None:
        with budget.taken(99, asked.set):
            entered.set()

    with budget.taken(1, go_on):
        other = threading.Thread(target=take)
        other.start()
        assert asked.wait(10)  # it found too little and waits
        assert not entered.is_set()
    other.join(10)
    assert entered.is_set()


def test_waiting_ends_where_it_has_lost_its_sense_and_nothing_is_kept() -> None:
    budget = MemoryBudget(10)

    def enough() -> None:
        raise KeyboardInterrupt

    with budget.taken(8, go_on), pytest.raises(KeyboardInterrupt), budget.taken(5, enough):
        pass
    with budget.taken(10, enough):
        pass


def test_what_runs_take_together_is_at_most_half_of_the_machine() -> None:
    machine = psutil.virtual_memory().total
    assert [share(runs) * runs * 2 <= machine for runs in (1, 5, 64)] == [True] * 3
    assert share(1) <= 1_500_000_000
