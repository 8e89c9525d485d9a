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

_EVERY = 0.5
_MORE = 1.02  # times what they roughly took before: then it is looked at properly


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
    """Inside, watches these processes and all their children together, twice a second.

    Shared pages are counted once where the system can tell (PSS, on Linux), else as often as they are mapped. To tell it goes through all pages and holds up
    whoever wants more, some 0.1 s for 5 GB: so it is only asked when what is resident, which costs nothing, was never as much.
    """
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        most = 0
        while True:
            family = {process for pid in pids for process in _family(pid)}  # one may be another's child
            resident = sum(map(_resident, family))
            if resident > _MORE * most:
                most = resident
                peak.megabytes = max(peak.megabytes, sum(map(_of, family)) / 2**20)
            if done.wait(_EVERY):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def run(command: Sequence[str], folder: Path | None = None, *, beside: Sequence[int] = ()) -> Ran:
    """Runs a command to its end and watches it. Raises click.ClickException with the end of what it said if it fails.

    Args:
        beside: other processes whose memory counts too, with their children's.
    """
    begun = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with peak_memory(process.pid, *beside) as peak:
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


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _of(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        told = process.memory_full_info()
        return int(getattr(told, "pss", 0) or told.rss)
    return 0
