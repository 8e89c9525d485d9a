"""Outcomes, runs and seals for the ledger's tests, in few words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from platform_defs.lake.landing import Account, SealManifest, Segment, segment_path
from platform_defs.ledger import Counts, Outcome, Published, RunInfo

EVENT, RATE, DAILY = "listening/played", "charts/rate", "charts/day"
H2, H3, H4, H5 = (f"2026-10-01T0{n}" for n in (2, 3, 4, 5))
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


def run(run_id: str = "run-1", at: datetime = NOON, trigger: str = "schedule") -> RunInfo:
    return RunInfo(run_id, trigger, at - timedelta(minutes=1), at)


def published(endpoint: str, partition: str, content: str = "one", at: datetime = NOON, run_id: str = "run-1", **given: Any) -> Outcome:
    values: dict[str, Any] = {"inputs": b"i" * 16, "rows": 7, "version": 3, "code": "code-1", "counts": None, "pins": {}} | given
    version = Published(content=content.encode(), built_at=at, run_id=run_id, **values)
    return Outcome(endpoint, partition, "published", published=version, seconds=1.5)


def failed(endpoint: str, partition: str, state: str = "failed", **given: Any) -> Outcome:
    values: dict[str, Any] = {"reason": f"it {state}", "inputs": b"i" * 16, "code": "code-1"} | given
    return Outcome(endpoint, partition, state, **values)  # type: ignore[arg-type]


def seal(number: int, *hours: str, receiver: str = "r1", rows: int = 10, at: datetime = NOON, event: str = EVENT, rejected: int = 2) -> SealManifest:
    segments = tuple(
        Segment(event=event, hour=hour, path=segment_path(event, hour, receiver, number), rows=rows, size=100, sha256=f"{number:064x}") for hour in hours
    )
    accepted = rows * len(hours)
    accounts = (
        Account(client="web", event=event, received=accepted + rejected, accepted=accepted, rejected=rejected, reasons={"schema": rejected}),
        Account(client="web", event=None, received=1, accepted=0, rejected=1, reasons={"malformed": 1}),
    )
    return SealManifest(receiver=receiver, seal=number, sealed_at=at, sealed_until=at, segments=segments, accounts=accounts)


def counts(landed: int, **given: int) -> Counts:
    return Counts(landed=landed, good=landed - sum(given.values()), **given)
