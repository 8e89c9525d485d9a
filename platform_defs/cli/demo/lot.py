"""What is chosen by lot, by hash, so that every run is the same: which events are sent twice, which come late, which are sent damaged too."""

from __future__ import annotations

import hashlib

TWICE = range(10)  # of 1,000: sent twice
LATE = range(10, 30)  # of 1,000: sent only after their hour was built


def lot(event_id: str) -> int:
    """0 to 999, evenly, by the first 8 hex digits of the id's sha256."""
    return int(hashlib.sha256(event_id.encode()).hexdigest()[:8], 16) % 1000


def twice(event_id: str) -> bool:
    """Whether this event is sent a second time."""
    return lot(event_id) in TWICE


def late(event_id: str) -> bool:
    """Whether this event is held back until its hour was built."""
    return lot(event_id) in LATE
