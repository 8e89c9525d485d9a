"""A ledger with three contracts in force, and a clock that tests move."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from platform_defs.ledger import Ledger
from tests.fixtures.contracts import endpoint, event, reads
from tests.system.ledger.telling import DAILY, EVENT, NOON, RATE


class Clock:
    """The present instant, as the test says."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def filled(new_ledger: Callable[[], Ledger], clock: Clock) -> Ledger:
    """An event type, an hourly reader of it, and a daily one, in force."""
    ledger = new_ledger()
    ledger.store.clock = clock
    ledger.registry.apply([event(EVENT), endpoint(RATE, reads(EVENT, 0, 1)), endpoint(DAILY, reads(EVENT), cadence="daily")], "abc123")
    return ledger
