"""The right to build, taken and given back: waits for who holds it, stops what a dead holder left running. What is done under it is building's.

A client that was killed leaves its write going on in the Spark server (it committed 13 s after a kill -9), so nothing is computed under a lease that was
taken over before that session was interrupted and found idle. What names people in its private files goes then, too, and what it staged.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Sequence

from platform_defs.execution.platform import Platform
from platform_defs.lake import staging
from platform_defs.lake.files import files_of
from platform_defs.ledger.leases import Fence, FenceLost, Held
from platform_defs.privacy import pseudonyms

WAIT_SECONDS = 600.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


class Waiter:
    """Pauses between looks at a lease that somebody holds: short at first, two seconds at most, ten minutes in all."""

    def __init__(self, seconds: float = WAIT_SECONDS, sleep: Callable[[float], None] = time.sleep) -> None:
        self._until, self._sleep, self._pause = time.monotonic() + seconds, sleep, _FIRST_PAUSE

    def again(self) -> bool:
        """Waits a moment; False once the time is over."""
        if time.monotonic() >= self._until:
            return False
        self._sleep(self._pause)
        self._pause = min(_LONGEST_PAUSE, self._pause * 1.5)
        return True


def take(platform: Platform, endpoint: str, keys: Sequence[str], run_id: str) -> Fence | Held:
    """The lease of all these partitions, or of those that nobody holds, or who holds them all.

    Leases of runs that have ended are taken over: their sessions are interrupted, in every zone, and what they left is dropped, before this returns.

    Raises:
        RunEnded: this run was declared ended. Whatever the engine raises when it cannot say that nothing runs: nobody may build then.
    """
    leases = platform.ledger.leases
    answer = leases.acquire(endpoint, keys, run_id)
    if isinstance(answer, Held) and answer.void:
        answer = leases.take_over(endpoint, keys, run_id)
    if isinstance(answer, Held):
        free = [key for key in keys if key not in answer.by]
        rest = leases.acquire(endpoint, free, run_id) if free else answer
        answer = rest if isinstance(rest, Fence) else answer
    if isinstance(answer, Fence) and answer.interrupt:
        for engine in platform.engines.engines():
            for run in answer.interrupt:
                engine.interrupt(run)
        _drop_left(platform, answer.interrupt)
        leases.stopped(answer)
    return answer


def _drop_left(platform: Platform, runs: Collection[str]) -> None:
    """Drops the private files and staging of runs of which nothing writes any more. What cannot be dropped now is the daily retention's."""
    for folder, run in {**pseudonyms.folders(platform.landing.root), **staging.folders(platform.lake)}.items():
        if run in runs:
            with contextlib.suppress(OSError):
                files_of(folder).remove(folder)


def guard(platform: Platform, fence: Fence) -> Callable[[], None]:
    """What to call right before a commit: raises FenceLost if another run has taken over."""

    def check() -> None:
        if not platform.ledger.leases.holds(fence):
            raise FenceLost(f"{fence.endpoint} {fence.partitions[0]}: another run took it over from run {fence.run_id}; nothing was published")

    return check
