"""Memory of the processes of one running Backline, as the kernel shares it out (PSS: a page that five processes share counts a fifth for each).

The supervisor samples it; what it saw least and most since the start is in `<home>/run/memory.json`. Linux: elsewhere nothing is found.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from platform_defs.running import keeper
from platform_defs.running.processes import NAME

SUPERVISOR, JAVA, HEAP = "supervisor", "spark", "spark heap"
_LOOK_SECONDS = 10.0
# Java keeps its heap, and nothing else, where addresses fit its short pointers.
_HEAP_BELOW = 32 * 1024**3


@dataclass(frozen=True)
class Held:
    """What the processes of one part hold: how many they are, bytes."""

    processes: int
    bytes: int


@dataclass(frozen=True)
class Range:
    """Least and most bytes that a part was seen with since the start. The least is what it holds when idle."""

    least: int
    most: int

    def with_(self, value: int) -> Range:
        """After one more look."""
        return Range(min(self.least, value), max(self.most, value))


def held(mark: str, supervisor: int) -> dict[str, Held]:
    """What each part holds now. Its children count with it: a run's process with its run host. Java's heap is told apart, as it is bounded by itself.

    Args:
        mark: what all processes of this Backline carry (see keeper).
        supervisor: its process id.
    """
    found: dict[str, Held] = {}

    def add(name: str, count: int, size: int) -> None:
        before = found.get(name, Held(0, 0))
        found[name] = Held(before.processes + count, before.bytes + size)

    add(SUPERVISOR, 1, shared_out(supervisor))
    for pid in keeper.marked(mark):
        name, size = _name_of(pid), shared_out(pid)
        if name is None or not size:  # it has just ended
            continue
        if name == JAVA and (heap := _heap(pid)):
            add(HEAP, 0, heap)
            size -= heap
        add(name, 1, max(0, size))
    return found


def shared_out(pid: int) -> int:
    """Bytes that a process holds (PSS); 0 if it is gone or is somebody else's."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024


def _heap(pid: int) -> int:
    """Bytes of a Java process's heap that are in memory."""
    total, inside = 0, False
    try:
        with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                first = line.split(" ", 1)[0]
                if "-" in first:
                    fields = line.split()
                    inside = int(first.partition("-")[0], 16) < _HEAP_BELOW and len(fields) == 5  # no file behind it
                elif inside and line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    except OSError:
        return 0
    return total


def _name_of(pid: int) -> str | None:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    prefix = f"{NAME}=".encode()
    return next((each.removeprefix(prefix).decode() for each in variables if each.startswith(prefix)), "others")


class Sampler:
    """Looks at a running Backline's memory, in a thread of its own, and keeps the extremes in a file."""

    def __init__(self, mark: str, supervisor: int, file: Path) -> None:
        self._mark, self._supervisor, self._file = mark, supervisor, file
        self._seen: dict[str, Range] = {}
        self._ended = threading.Event()

    def start(self) -> None:
        """Looks from now on."""
        threading.Thread(target=self._look, name="memory", daemon=True).start()

    def stop(self) -> None:
        """Looks no more."""
        self._ended.set()

    def once(self) -> None:
        """One look."""
        for name, each in held(self._mark, self._supervisor).items():
            self._seen[name] = self._seen.get(name, Range(each.bytes, each.bytes)).with_(each.bytes)
        scratch = self._file.with_suffix(".tmp")
        scratch.write_text(json.dumps({name: asdict(each) for name, each in self._seen.items()}))
        scratch.replace(self._file)

    def _look(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError):  # a full disk is others' matter
                self.once()
            self._ended.wait(_LOOK_SECONDS)


def extremes(file: Path) -> Mapping[str, Range]:
    """What the sampler has seen; nothing if it has not looked yet."""
    try:
        return {name: Range(**each) for name, each in json.loads(file.read_text()).items()}
    except (OSError, ValueError, TypeError):
        return {}


def memory_file(run: Path) -> Path:
    """Where the sampler keeps what it has seen. `run`: the home's `run`."""
    return run / "memory.json"
