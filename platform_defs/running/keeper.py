"""Leaves no process behind: finds every process that carries a supervisor's mark, and ends them all when that supervisor is gone.

Run as a program it is the keeper: started first, in its own session, with a pipe on its standard input that only the supervisor can write. When the
supervisor ends, however it ends (kill -9 included), the pipe closes and the keeper ends whatever still carries the mark: grandchildren, runs and
daemons too, which no parent-death signal reaches. It needs nothing but the standard library, so that it starts in 20 ms (`python -I -S`).
Linux: the mark is read from /proc. Elsewhere there is nothing to read and the sweep finds nothing; children then end by their process groups alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

MARK = "BACKLINE_SUPERVISOR"
_GRACE_SECONDS = 5.0
_PAUSE_SECONDS = 0.05


def marked(mark: str) -> list[int]:
    """Process ids of all living processes that were started with this mark in their environment, this one excluded."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    try:
        entries = os.listdir("/proc")
    except OSError:
        return []
    for entry in entries:
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                environment = file.read()
        except OSError:  # ended meanwhile, or another user's
            continue
        if wanted in environment.split(b"\0"):
            found.append(int(entry))
    return found


def send(pid: int, number: int) -> None:
    """Sends a signal to a process that may be gone by now."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def end_marked(mark: str, grace: float = _GRACE_SECONDS) -> int:
    """Ends all processes with the mark: SIGTERM, after `grace` seconds SIGKILL; returns how many it found at first."""
    first = marked(mark)
    for pid in first:
        send(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    # Those that start while others end are found by looking again.
    while left := marked(mark):
        if time.monotonic() >= deadline:
            for pid in left:
                send(pid, signal.SIGKILL)
        if time.monotonic() >= deadline + _GRACE_SECONDS:
            break
        time.sleep(_PAUSE_SECONDS)
    return len(first)


def start(mark: str) -> tuple[subprocess.Popen[bytes], int]:
    """Starts a keeper of this mark: its process, and the descriptor whose closing (by whoever, or by our end) makes it sweep."""
    import subprocess  # here: the keeper itself has no use for it

    read, write = os.pipe()
    try:
        process = subprocess.Popen(  # noqa: S603 - our own keeper
            [sys.executable, "-I", "-S", __file__, mark], stdin=read, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
    finally:
        os.close(read)
    return process, write


def main(mark: str) -> None:
    """Waits for the end of the supervisor, then ends what it left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    end_marked(mark)


if __name__ == "__main__":
    main(sys.argv[1])
