"""One run's process as the kernel knows it: found again by pid and start time, whoever forked it and whether that still lives."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

# The run's tag that says which process executes it.
PROCESS_TAG = "backline/process"


@dataclass(frozen=True)
class RunProcess:
    """A process that cannot be mistaken for a later one with the same pid.

    Attributes:
        pid: process id.
        started: start time in clock ticks since boot (field 22 of /proc/PID/stat); 0 where the system has none.
    """

    pid: int
    started: int

    @property
    def words(self) -> str:
        """As the run's tag says it."""
        return json.dumps(asdict(self))

    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        return self.started != 0 and started_at(self.pid) == self.started

    def send(self, number: signal.Signals) -> bool:
        """Sends a signal; False if it no longer runs."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


def this_process() -> RunProcess:
    """The one that asks."""
    return RunProcess(os.getpid(), started_at(os.getpid()) or 0)


def started_at(pid: int) -> int | None:
    """Start time of a running process in clock ticks since boot; None if there is none, or it is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])
