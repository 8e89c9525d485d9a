"""Memory that threads share: lent out, waited for, given back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from platform_defs.execution.room import Room


def go_on() -> None:
    """Nothing stands against waiting."""


def test_no_more_is_lent_than_there_is_and_all_get_their_turn() -> None:
    room, lock, held, most = Room(10), threading.Lock(), 0, 0

    def take(size: int) -> None:
        nonlocal held, most
        with room.taken(size, go_on):
            with lock:
                held += size
                most = max(most, held)
            with lock:
                held -= size

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, [1, 4, 6, 10, 3, 9] * 50))
    assert most <= 10
    with room.taken(10, go_on):
        pass


def test_what_needs_more_than_there_is_gets_all_of_it() -> None:
    room, entered = Room(10), threading.Event()

    def take() -> None:
        with room.taken(99, go_on):
            entered.set()

    with room.taken(1, go_on):
        other = threading.Thread(target=take)
        other.start()
        assert not entered.is_set()
    other.join(10)
    assert entered.is_set()


def test_waiting_ends_where_it_has_lost_its_sense_and_nothing_is_kept() -> None:
    room = Room(10)

    def enough() -> None:
        raise KeyboardInterrupt

    with room.taken(8, go_on), pytest.raises(KeyboardInterrupt), room.taken(5, enough):
        pass
    with room.taken(10, enough):
        pass
