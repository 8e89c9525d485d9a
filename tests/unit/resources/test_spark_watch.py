"""When a server counts as stopped: after several questions without an answer in a row, and only while somebody wants to know."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from resources.spark_watch import Watch

PATIENCE = 30.0


def answers(*given: bool) -> tuple[Callable[[], bool], threading.Event]:
    """These answers, then silence; and an event for when the last of them was given."""
    left, done = iter(given), threading.Event()

    def answer() -> bool:
        found = next(left, None)
        if found is None:
            done.set()
        return bool(found)

    return answer, done


def test_three_times_without_an_answer_is_stopped() -> None:
    gone = threading.Event()
    answer, _ = answers(True, False, True)
    Watch(answer, gone.set, every=0.01)
    assert gone.wait(PATIENCE)


def test_an_answer_in_between_starts_the_count_anew() -> None:
    asked = 0
    gone, enough = threading.Event(), threading.Event()

    def answer() -> bool:
        nonlocal asked
        asked += 1
        if asked == 30:
            enough.set()
        return asked % 3 == 0

    watch = Watch(answer, gone.set, every=0.001)
    assert enough.wait(PATIENCE)
    watch.end()
    assert not gone.is_set()


def test_nobody_is_told_after_the_end() -> None:
    gone, inside, go_on = threading.Event(), threading.Event(), threading.Event()
    given: Iterator[bool] = iter((False, False))

    def answer() -> bool:
        try:
            return next(given)
        except StopIteration:
            inside.set()
            assert go_on.wait(PATIENCE)
            return False

    watch = Watch(answer, gone.set, every=0.001)
    assert inside.wait(PATIENCE)
    watch.end()
    go_on.set()
    watch._thread.join(PATIENCE)
    assert not gone.is_set()
