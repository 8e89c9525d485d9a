"""Which endpoints a tick looks at partition by partition, whether or not anything is known to have happened to them.

Changes are followed as they come; the sweep is for what that misses (a cursor that was lost, a contract that reads other hours now) and ends at nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

SWEPT_A_TICK = 50


def swept(endpoints: Iterable[str], now: datetime, most: int = SWEPT_A_TICK) -> list[str]:
    """The share of this minute: all of them where they are few, else each once in as many minutes as there are shares."""
    keys = sorted(endpoints)
    shares = -(-len(keys) // most) or 1
    mine = int(now.timestamp()) // 60 % shares
    return keys[mine::shares]
