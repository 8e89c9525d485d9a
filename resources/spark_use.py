"""Who uses a machine's Spark server now: a lock that clients share, and that whoever wants to restart the server must have alone.

The kernel holds it, so a killed client leaves nothing behind. On a cluster there is no such folder and nothing is locked: there servers are replaced by
their operator.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platform_defs.lake.engine import EngineError

_PAUSE_SECONDS = 0.05
# Users are waited for up to a minute, then the server starts: 10 to 60 s. Longer is a restart that failed.
_RESTART_SECONDS = 300.0


class ServerUse:
    """The lock of one server. `folder`: the home's `run`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._held: int | None = None

    def begin(self) -> None:
        """From now on the server is not restarted until `end`. Waits while it is being restarted; raises EngineError if that takes minutes."""
        with self._lock:
            if self._held is not None or not self._folder.is_dir():
                return
            # Through the gate first: whoever waits to have the server alone closes it, or on a busy machine his turn would never come.
            with _locked(self._gate, fcntl.LOCK_SH, _RESTART_SECONDS) as open_now:
                used = _opened(self._used)
                if not open_now or not _try(used, fcntl.LOCK_SH):
                    os.close(used)
                    raise EngineError(f"Spark has been restarting for {_RESTART_SECONDS:.0f} s: see `backline status`")
                self._held = used

    def end(self) -> None:
        """The server may be restarted. Harmless if it was not used."""
        with self._lock:
            if self._held is not None:
                os.close(self._held)
                self._held = None

    @contextmanager
    def alone(self, seconds: float) -> Iterator[bool]:
        """Whether nobody uses the server, waited for up to `seconds`; while inside, who wants to use it waits."""
        with _locked(self._gate, fcntl.LOCK_EX, seconds) as gate:
            if not gate:
                yield False
                return
            with _locked(self._used, fcntl.LOCK_EX, seconds) as alone:
                yield alone

    @property
    def _gate(self) -> Path:
        return self._folder / "spark.gate"

    @property
    def _used(self) -> Path:
        return self._folder / "spark.used"


@contextmanager
def _locked(path: Path, how: int, seconds: float) -> Iterator[bool]:
    """Whether the file could be locked within that time; unlocked afterwards."""
    descriptor, end = _opened(path), time.monotonic() + seconds
    try:
        while not (got := _try(descriptor, how)) and time.monotonic() < end:
            time.sleep(_PAUSE_SECONDS)
        yield got
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
