"""When a failed partition is tried again. What counts as transient is said by whoever failed."""

from __future__ import annotations

from datetime import datetime, timedelta

RETRY_MINUTES = (5, 20, 60)


def next_try(tries: int, at: datetime) -> datetime | None:
    """When to try again after that many failures in a row, the last one at `at`; None: four failures, the partition is stuck."""
    if tries < 1:
        raise ValueError(f"{tries} failures: at least one is needed to try again")
    return at + timedelta(minutes=RETRY_MINUTES[tries - 1]) if tries <= len(RETRY_MINUTES) else None
