"""Which partitions a change touches."""

from __future__ import annotations

from platform_defs.planning.touched import Readers
from tests.fixtures.contracts import as_of, contract, endpoint, reads
from tests.unit.planning.world import at


def test_a_snapshot_touches_what_could_have_chosen_it_and_is_over() -> None:
    chart = contract("k/chart", kind="source", cadence="daily")
    rate = endpoint("c/rate", reads("l/played"), as_of("k/chart", 3))
    readers = Readers({each.key: each for each in (chart, rate)}, "c")
    assert [key for _, key in readers.of("k/chart", "2026-10-01", at(3, day=2))] == ["2026-10-01T23", "2026-10-02T00", "2026-10-02T01", "2026-10-02T02"]
    assert len(list(readers.of("k/chart", "2026-10-01", at(3, day=20)))) == 3 * 24 + 1
    assert list(readers.of("l/played", "2026-10-02T02", at(3, day=2))) == [("c/rate", "2026-10-02T02")]
