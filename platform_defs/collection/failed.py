"""The failed log: every rejected event whole, with its typed reason, in landing's `failed` folder (form in `lake.landing`).

Written by the sealer from the write-ahead log, so it is as safe as what was accepted; read here. It holds raw personal values.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from platform_defs.collection.record import Reason, Rejected


@dataclass(frozen=True, slots=True)
class FailedEvent:
    """One rejected event.

    Attributes:
        id: its place, `2026-10-01/r1-000000000007:3`; what `show` takes.
        at: when it was received. client: who sent it. event: its type if a contract has it.
        detail: error types and declared paths.
        size: bytes as sent. body: the original bytes; None for a body over the size limit, which is not kept.
    """

    id: str
    at: datetime
    client: str
    event: str | None
    reason: Reason
    detail: str
    size: int
    body: bytes | None


@dataclass(frozen=True, slots=True)
class FailedFilter:
    """What `list` looks for; None takes all. `since` and `until` (excluded) are instants of receipt, aware."""

    since: datetime | None = None
    until: datetime | None = None
    client: str | None = None
    event: str | None = None
    reason: Reason | None = None
    limit: int | None = None

    def takes(self, one: FailedEvent) -> bool:
        """Whether an event is asked for."""
        return (
            (self.since is None or one.at >= self.since)
            and (self.until is None or one.at < self.until)
            and self.client in (None, one.client)
            and self.event in (None, one.event)
            and self.reason in (None, one.reason)
        )

    def takes_day(self, day: date) -> bool:
        """Whether a day's folder can hold what is asked for (UTC)."""
        return (self.since is None or day >= self.since.date()) and (self.until is None or day <= self.until.date())


class NoSuchFailedEvent(LookupError):
    """No failed event has this id."""


class FailedLog:
    """The failed events below a landing root."""

    def __init__(self, landing: Path) -> None:
        self._root = landing / "failed"

    def list(self, which: FailedFilter | None = None) -> Iterator[FailedEvent]:
        """The failed events asked for, by day, receiver, seal and line; reads no more than it must."""
        wanted, given = which or FailedFilter(), 0
        for folder in sorted(self._root.iterdir()) if self._root.is_dir() else []:
            if not _is_day(folder.name) or not wanted.takes_day(date.fromisoformat(folder.name)):
                continue
            for path in sorted(folder.glob("*.jsonl")):
                for one in _events(path):
                    if wanted.limit is not None and given >= wanted.limit:
                        return
                    if wanted.takes(one):
                        given += 1
                        yield one

    def show(self, id: str) -> FailedEvent:
        """The failed event of that id; raises NoSuchFailedEvent."""
        place, _, line = id.rpartition(":")
        day, _, name = place.partition("/")
        path = self._root / day / f"{name}.jsonl"
        if line.isdecimal() and _is_day(day) and "/" not in name and path.is_file():
            for one in _events(path):
                if one.id == id:
                    return one
        raise NoSuchFailedEvent(f"{id}: no such failed event (or it is past landing's retention); `backline failed list` names those there are")


def failed_path(day: str, receiver: str, seal: int) -> str:
    """Path below the landing root of what one seal rejected on one day of receipt."""
    return f"failed/{day}/{receiver}-{seal:012d}.jsonl"


def failed_line(at: str, client: str, one: Rejected) -> bytes:
    """One line of the failed log."""
    kept: dict[str, Any] = {"at": at, "client": client, "event": one.event, "reason": one.reason, "detail": one.detail, "size": one.size}
    kept["body"] = None if one.body is None else base64.b64encode(one.body).decode()
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _is_day(name: str) -> bool:
    return re.fullmatch(r"\d{4}-\d{2}-\d{2}", name) is not None


def _events(path: Path) -> Iterator[FailedEvent]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            kept = json.loads(line)
            body = None if kept["body"] is None else base64.b64decode(kept["body"])
            place = f"{path.parent.name}/{path.stem}:{number}"
            yield FailedEvent(place, datetime.fromisoformat(kept["at"]), kept["client"], kept["event"], kept["reason"], kept["detail"], kept["size"], body)
