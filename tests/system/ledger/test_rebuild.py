"""A ledger made anew says the same as the one that was lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from platform_defs.lake.records import BuildRecord, DecisionRecord, PublishedPartition, RefusedPartition
from platform_defs.ledger import Fence, Ledger, Outcome
from platform_defs.ledger.rebuild import LedgerBusy, rebuild
from tests.system.ledger.telling import EVENT, H2, H3, H4, NOON, RATE, counts, failed, published, run, seal

MINUTE = timedelta(minutes=1)


def record(run_id: str, *outcomes: Outcome, endpoint: str = RATE, minutes: int = 0) -> BuildRecord:
    """What the lake would hold of these outcomes."""
    at = NOON + minutes * MINUTE
    kept = [(o.partition, o.published) for o in outcomes]
    return BuildRecord(
        endpoint=endpoint,
        run_id=run_id,
        fence=1,
        trigger="schedule",
        at=at,
        published=tuple(
            PublishedPartition(
                key=key,
                content=p.content.hex(),
                inputs=p.inputs.hex(),
                rows=p.rows,
                version=p.version,
                code=p.code,
                built_at=p.built_at,
                counts=None if p.counts is None else {"landed": p.counts.landed, "good": p.counts.good},
                pins=dict(p.pins),
                origin=p.origin,
            )
            for key, p in kept
            if p
        ),
        refused=tuple(
            RefusedPartition(key=o.partition, reason=o.reason or "", inputs=(o.inputs or b"").hex(), code=o.code or "", at=at)
            for o in outcomes
            if not o.published
        ),
    )


def test_the_same_ledger_again(filled: Ledger, new_ledger: Callable[[], Ledger]) -> None:
    told = [
        ("run-1", EVENT, [published(EVENT, H3, counts=counts(20), pins={"x": "2026-09-30"}), published(EVENT, H4, run_id="run-1")], 0),
        ("run-2", RATE, [failed(RATE, H3, "refused"), published(RATE, H2, at=NOON + MINUTE, run_id="run-2", origin="imported")], 1),
        ("run-3", EVENT, [published(EVENT, H3, "two", at=NOON + 2 * MINUTE, run_id="run-3", counts=counts(25))], 2),
    ]
    for run_id, _, outcomes, minutes in told:
        filled.partitions.record(outcomes, run(run_id, NOON + minutes * MINUTE))
    manifests = [seal(1, H3, H4), seal(2, H3)]
    for manifest in manifests:
        filled.landing.record_seal(manifest)
    filled.landing.expire([manifests[0].segments[1].path])
    records = [record(run_id, *outcomes, endpoint=endpoint, minutes=minutes) for run_id, endpoint, outcomes, minutes in told]
    decision = DecisionRecord(id="1", decision="lost", at=NOON)

    fresh = new_ledger()
    fresh.store.clock = filled.store.clock
    fresh.registry.apply(filled.registry.current().values(), "abc123")
    for _ in range(2):  # again over a ledger that is full already
        done = rebuild(fresh, reversed(manifests), [*records, decision], exists=lambda path: path != manifests[0].segments[1].path)
        assert (done.seals, done.segments_gone, done.published, done.refused, done.unknown) == (2, 1, 4, 1, ())
        for endpoint in (EVENT, RATE):
            assert fresh.partitions.published(endpoint, [H2, H3, H4]) == filled.partitions.published(endpoint, [H2, H3, H4])
            assert fresh.partitions.ranges(endpoint, "hourly") == filled.partitions.ranges(endpoint, "hourly")
        assert {key: (t.state, t.reason, t.inputs) for key, t in fresh.troubles.all().items()} == {(RATE, H3): ("refused", "it refused", b"i" * 16)}
        assert fresh.landing.segments(EVENT, [H3, H4]) == filled.landing.segments(EVENT, [H3, H4])
        assert fresh.landing.expired(EVENT, [H3, H4]) == {H4}
        assert fresh.landing.accounts("2026-10-01", "2026-10-01") == filled.landing.accounts("2026-10-01", "2026-10-01")


def test_runs_that_took_turns_are_put_in_order(filled: Ledger) -> None:
    """run-1's file has the time of its last word: it published H3 first, run-2 over it, then run-1 H4."""
    one = record("run-1", published(RATE, H3, "old"), published(RATE, H4, at=NOON + 9 * MINUTE), minutes=9)
    two = record("run-2", published(RATE, H3, "new", at=NOON + 5 * MINUTE, run_id="run-2"), minutes=5)
    rebuild(filled, [], [two, one])
    found = filled.partitions.published(RATE, [H3, H4])
    assert (found[H3].content, found[H3].first_built_at, found[H3].changed_at) == (b"new", NOON, NOON + 5 * MINUTE)
    assert H4 in found


def test_cursors_miss_nothing(filled: Ledger) -> None:
    filled.partitions.record([published(RATE, H3)], run())
    filled.landing.record_seal(seal(1, H3))
    cursor, landed = filled.partitions.changed_since(0)[1], filled.landing.changed_since(0)[1]
    rebuild(filled, [seal(1, H3)], [record("run-1", published(RATE, H3))])
    assert [c.partition for c in filled.partitions.changed_since(cursor)[0]] == [H3]
    assert [c.hour for c in filled.landing.changed_since(landed)[0]] == [H3]


def test_old_records_count_without_history_and_unknown_endpoints_are_named(filled: Ledger) -> None:
    long_ago = published(RATE, H3, at=NOON - timedelta(days=90))
    old = record("run-1", long_ago, minutes=-90 * 1440)
    gone = record("run-2", published("charts/gone", H3), endpoint="charts/gone")
    done = rebuild(filled, [], [old, gone])
    assert (done.published, done.unknown) == (1, ("charts/gone",))
    assert filled.partitions.published(RATE, [H3])[H3].built_at == NOON - timedelta(days=90)
    assert filled.attempts.of(RATE, "hourly") == []


def test_not_under_running_builds(filled: Ledger) -> None:
    filled.partitions.record([published(RATE, H3)], run())
    fence = filled.leases.acquire(RATE, [H4], "run-7")
    assert isinstance(fence, Fence)
    with pytest.raises(LedgerBusy, match="run-7"):
        rebuild(filled, [], [])
    assert H3 in filled.partitions.published(RATE, [H3])
    filled.leases.end_run("run-7")
    rebuild(filled, [], [])
    assert filled.partitions.published(RATE, [H3]) == {}
