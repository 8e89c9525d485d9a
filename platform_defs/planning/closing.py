"""When an event hour is closed: every live receiver has sealed past its end plus grace, or the hold has run out. Closing permits the first build only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from platform_defs.contracts.partitions import window_of
from platform_defs.planning.facts import Receiver

GRACE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Closing:
    """Whether an hour is closed.

    Attributes:
        waits_for: receivers it is still open for, in words.
        without: receivers it was closed without though they may hold events of it, in words: check `complete` warns with them.
        until: when it closes without those it waits for; None: it is closed, or holds for ever.
        behind: ids of those it waits for.
    """

    closed: bool
    waits_for: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    until: datetime | None = None
    behind: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Why it is open, and what to do; empty when closed."""
        if self.closed:
            return ""
        if not self.waits_for:
            return f"the hour closes at {self.until:%H:%M}" if self.until else "the hour is not over"
        it, who = ("it", self.behind[0]) if len(self.behind) == 1 else ("them", "ID")
        end = f", else it closes without at {self.until:%Y-%m-%d %H:%M}" if self.until else ""
        return f"{'; '.join(self.waits_for)}: restart {it} or give {it} up with `backline collector lost {who} --why TEXT`{end}"


def closing(hour: str, now: datetime, receivers: Iterable[Receiver], hold_seconds: int | None, grace: timedelta = GRACE) -> Closing:
    """Whether the hour is closed at `now`.

    Args:
        receivers: all that are known; `gone` ones (clean shut-down) hold nothing, `lost` ones are closed without.
        hold_seconds: how long after its end plus grace an hour waits for a silent receiver; None: for ever.
    """
    window = window_of(hour)
    ready = window.end + grace
    if now < ready:
        return Closing(False, until=ready)
    behind = [r for r in receivers if r.state != "gone" and (r.sealed_until is None or r.sealed_until < ready)]
    # A receiver given up long ago says nothing about this hour: it counts if it still beat when the hour began.
    lost = tuple(_silent(r) for r in behind if r.state == "lost" and r.beat_at >= window.start)
    awaited = [r for r in behind if r.state == "live"]
    waits_for, ids = tuple(map(_silent, awaited)), tuple(r.id for r in awaited)
    if not waits_for:
        return Closing(True, without=lost)
    if hold_seconds is None:
        return Closing(False, waits_for, lost, behind=ids)
    until = ready + timedelta(seconds=hold_seconds)
    return Closing(True, without=waits_for + lost) if now >= until else Closing(False, waits_for, lost, until, ids)


def _silent(receiver: Receiver) -> str:
    if receiver.sealed_until is None:
        return f"receiver {receiver.id} has sealed nothing yet"
    return f"receiver {receiver.id} silent since {receiver.sealed_until:%Y-%m-%d %H:%M}"
