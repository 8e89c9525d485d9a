"""The layout at a small size: what a tick reads grows with what happened, not with the history."""

from __future__ import annotations

from platform_defs.ledger import Ledger
from tests.bench.ledger_layout import LOOK_BACK, NOW, fill, measure, touch


def test_a_tick_reads_what_is_new_in_few_statements(ledger: Ledger) -> None:
    fill(ledger, endpoints=60, days=4)
    cursor = touch(ledger, 5)
    found = measure(ledger, cursor)
    assert found["frontiers"]["rows"] == 60
    assert found["content changed"]["rows"] == 5
    hours, days = 57 * 60, 3 * 3
    assert found["exceptions"]["rows"] in range((hours + days) // 100 - 10, (hours + days) // 100 + 10)
    ranges = ledger.planner.frontiers(NOW - LOOK_BACK, NOW)["d0/e0"]
    assert sum(last - first + 1 for first, last in ranges) in (48, 49)
    assert len(ledger.registry.current()) == 60
