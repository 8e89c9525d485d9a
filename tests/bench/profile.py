"""Where the time of one thread goes, by sampling its stack: which of some named functions it is in. Nothing is wrapped, so nothing measured is changed."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

_EVERY = 0.004
Place = tuple[str, str]


class Profile:
    """Samples by phase.

    Args:
        phases: (end of a file's path, function) -> what is being done there. The innermost that is on the stack counts.
    """

    def __init__(self, phases: Mapping[Place, str]) -> None:
        self._phases = phases
        self.samples: Counter[str] = Counter()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Samples the thread that enters, 250 times a second, until it leaves."""
        thread, done = threading.get_ident(), threading.Event()

        def watch() -> None:
            while not done.wait(_EVERY):
                frame = sys._current_frames().get(thread)
                if frame is not None:
                    self.samples[self._phase(frame)] += 1

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def table(self, seconds: float, each: str) -> str:
        """A Markdown table: each phase's share, and its milliseconds of `seconds`, which is the time of one `each`."""
        total = max(1, self.samples.total())
        rows = [f"| {phase} | {count / total:.0%} | {count / total * seconds * 1000:,.0f} ms |" for phase, count in self.samples.most_common()]
        return "\n".join([f"| where the time goes | share | of one {each} |", "|---|---:|---:|", *rows]) + "\n"

    def _phase(self, frame: FrameType | None) -> str:
        while frame is not None:
            name, file = frame.f_code.co_name, frame.f_code.co_filename
            for (end, function), phase in self._phases.items():
                if function == name and file.endswith(end):
                    return phase
            frame = frame.f_back
        return "other"
