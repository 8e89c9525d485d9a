"""How much memory processes take together at their peak, and a rival's script run as a process of its own."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

_EVERY = 0.2


@dataclass
class Peak:
    """Megabytes at the peak so far."""

    megabytes: float = 0.0


@dataclass(frozen=True)
class Ran:
    """A process that has ended well.

    Attributes:
        seconds: from its start to its end.
        megabytes: peak of it and its children together.
        said: its standard output.
    """

    seconds: float
    megabytes: float
    said: str


@contextmanager
def peak_memory(*pids: int) -> Iterator[Peak]:
    """Inside, watches these processes and all their children together, five times a second.

    Shared pages are counted once where the system can tell (PSS, on Linux), else as often as they are mapped.
    """
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        while not done.wait(_EVERY):
            peak.megabytes = max(peak.megabytes, megabytes(*pids))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
        peak.megabytes = max(peak.megabytes, megabytes(*pids))


def megabytes(*pids: int) -> float:
    """What these processes and all their children take now."""
    return sum(_of(process) for pid in pids for process in _family(pid)) / 2**20


def run(command: Sequence[str], folder: Path | None = None) -> Ran:
    """Runs a command to its end and watches it. Raises click.ClickException with the end of what it said if it fails."""
    begun = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with peak_memory(process.pid) as peak:
        out, err = process.communicate()
        seconds = time.monotonic() - begun
    if process.returncode:
        raise click.ClickException(f"{' '.join(command[:4])} failed: {err.strip()[-2000:]}")
    return Ran(seconds, peak.megabytes, out)


def _family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _of(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        told = process.memory_full_info()
        return int(getattr(told, "pss", 0) or told.rss)
    return 0
