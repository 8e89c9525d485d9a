"""How much of a process's memory may be in use at once by what needs much of it: a budget that threads wait for. Nothing else belongs here."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_BYTES = 1_500_000_000
_ASK_SECONDS = 0.2


def share(runs: int) -> int:
    """Bytes for one of so many runs at a time: together half of the machine's memory at most, each 1.5 GB at most."""
    return min(_BYTES, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (2 * runs))


class MemoryBudget:
    """A number of bytes that are lent out. What needs more than there are at all gets its turn alone.

    Attributes:
        size: all of them, lent or not.
    """

    def __init__(self, size: int = _BYTES) -> None:
        self.size = self._free = size
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int, go_on: Callable[[], None]) -> Iterator[None]:
        """Waits until that many bytes are free and holds them. `go_on` is asked meanwhile: it raises where waiting has lost its sense."""
        size = min(size, self.size)
        with self._changed:
            while self._free < size:
                self._changed.wait(_ASK_SECONDS)
                go_on()
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()
