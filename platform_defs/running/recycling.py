"""Starts the Spark server anew when it has grown old or large, while nobody uses it: Java gives back neither memory of classes nor what a leak holds.

A second server beside the old one would let both write to one table, which loses commits; so the old one is replaced, between runs, under the lock that
every client shares (`resources.spark_use`). Runs that begin meanwhile wait for the new one and do not fail.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from platform_defs.running.processes import ChildFailed, Children, Stopping
from platform_defs.running.services import SPARK
from resources.spark_use import ServerUse

_GIB = 1024**3
_UNITS = {"k": 1024, "m": 1024**2, "g": _GIB, "t": 1024 * _GIB}


@dataclass(frozen=True)
class Limits:
    """When the server is started anew.

    Attributes:
        age_seconds: since it started.
        beside_heap: bytes of memory beside its heap, which is bounded by itself. A new one takes 0.5 GB; generated code may grow to another half.
        look_seconds: between two looks.
        patience_seconds: how long new runs are held back for the ones at work to end. If they do not, the next look tries again.
    """

    age_seconds: float = 86_400.0
    beside_heap: int = 5 * _GIB // 2
    look_seconds: float = 600.0
    patience_seconds: float = 30.0

    def why(self, age: float, resident: int, heap: int) -> str | None:
        """Why a server of this age (seconds), memory and heap (bytes) is due, in words; None if it is not."""
        if resident > heap + self.beside_heap:
            return f"it holds {resident / _GIB:.1f} GB, of which its heap is at most {heap / _GIB:.1f}"
        if age > self.age_seconds:
            return f"it is {age / 3600:.0f} hours old"
        return None


class Recycler:
    """Looks after the server of one home, in a thread of its own.

    Args:
        run: the home's `run`.
        heap: of the server, as Java is told (`2g`).
        tell: gets a sentence when it was started anew.
    """

    def __init__(self, children: Children, run: Path, heap: str, limits: Limits, tell: Callable[[str], None]) -> None:
        self._children, self._use, self._heap, self._limits, self._tell = children, ServerUse(run), size(heap), limits, tell
        self._ended = threading.Event()

    def start(self) -> None:
        """Looks from now on."""
        threading.Thread(target=self._look, name="recycler", daemon=True).start()

    def stop(self) -> None:
        """Looks no more. Does not wait: a restart that is under way gives up when the children are stopped."""
        self._ended.set()

    def once(self) -> bool:
        """Starts the server anew if it is due and nobody uses it; whether it did."""
        age, pid = self._children.age(SPARK), self._children.pids().get(SPARK)
        why = None if age is None or pid is None else self._limits.why(age, resident(pid), self._heap)
        if why is None:
            return False
        with self._use.alone(self._limits.patience_seconds) as alone:
            if alone:
                self._children.restart(SPARK)
                self._tell(f"{SPARK} was started anew between runs: {why}")
        return alone

    def _look(self) -> None:
        while not self._ended.wait(self._limits.look_seconds):
            try:
                self.once()
            except Stopping:
                return
            except ChildFailed as error:
                self._tell(str(error))


def size(heap: str) -> int:
    """Bytes of a size as Java writes it: `700m`, `2g`."""
    unit = heap[-1:].lower()
    return int(heap[:-1]) * _UNITS[unit] if unit in _UNITS else int(heap)


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 if it is gone, or where the system does not say."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = next((line for line in text.splitlines() if line.startswith("VmRSS:")), "VmRSS: 0 kB")
    return int(line.split()[1]) * 1024
