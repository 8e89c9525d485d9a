"""Where a process's time goes, by sampling its threads' stacks: which of some functions they are in. Nothing is wrapped, so nothing measured changes."""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

_EVERY = 0.02
_OTHER = "other"
Place = tuple[str, str]


class Profile:
    """Samples by phase.

    Args:
        phases: (end of a file's path, function) -> what is being done there. The innermost that is on the stack counts.
    """

    def __init__(self, phases: Mapping[Place, str]) -> None:
        self._phases = phases
        self.samples: dict[str, float] = defaultdict(float)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Samples 50 times a second; five times as often it slowed down what it looks at.

        A sample is shared by the threads that are in one of the functions: one that waits for others is in none.
        """
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_EVERY):
                phases = [phase for frame in sys._current_frames().values() if (phase := self._phase(frame)) is not None] or [_OTHER]
                for phase in phases:
                    self.samples[phase] += 1 / len(phases)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def table(self, seconds: float, each: str) -> str:
        """A Markdown table: each phase's share, and its milliseconds of `seconds`, which is the time of one `each`."""
        total = sum(self.samples.values()) or 1.0
        rows = [
            f"| {phase} | {count / total:.0%} | {count / total * seconds * 1000:,.0f} ms |"
            for phase, count in sorted(self.samples.items(), key=lambda item: -item[1])
        ]
        return "\n".join([f"| where the time goes | share | of one {each} |", "|---|---:|---:|", *rows]) + "\n"

    def add(self, samples: Mapping[str, float]) -> None:
        """Adds another profile's samples."""
        for phase, count in samples.items():
            self.samples[phase] += count

    def _phase(self, frame: FrameType | None) -> str | None:
        while frame is not None:
            name, file = frame.f_code.co_name, frame.f_code.co_filename
            for (end, function), phase in self._phases.items():
                if function == name and file.endswith(end):
                    return phase
            frame = frame.f_back
        return None
