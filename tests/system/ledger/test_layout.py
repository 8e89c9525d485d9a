"""The layout at a small size: what a tick reads grows with what happened, not with the history."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event

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


def test_a_planning_read_finds_versions_by_index_however_long_the_history(ledger: Ledger) -> None:
    fill(ledger, endpoints=60, days=60)
    asked: list[bytes] = []

    def seen(_conn: Any, cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if "partition_days" in statement:
            asked.append(cursor.mogrify(statement, parameters))

    event.listen(ledger.store.engine, "before_cursor_execute", seen)
    facts = ledger.facts(["d0/e0", "d1/e41"], NOW - LOOK_BACK, NOW)
    event.remove(ledger.store.engine, "before_cursor_execute", seen)
    assert len(facts.endpoints["d0/e0"].published) in (71, 72)
    with ledger.store.engine.connect() as connection:
        plan = "\n".join(row[0] for row in connection.exec_driver_sql("EXPLAIN " + asked[0].decode().replace("%", "%%")))
    assert "Index Scan using partition_days_pkey" in plan
    assert "Seq Scan" not in plan
