"""Receivers, seals, segments and accounts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from platform_defs.ledger import Ledger
from tests.fixtures.contracts import contract
from tests.system.ledger.telling import EVENT, H3, H4, NOON, seal


def test_a_seal_counts_once(filled: Ledger) -> None:
    filled.landing.beat("r1", None, NOON)
    assert filled.landing.record_seal(seal(1, H3, H4))
    assert not filled.landing.record_seal(seal(1, H3, H4))
    assert filled.landing.record_seal(seal(2, H3))
    found = filled.landing.segments(EVENT, [H3, H4, "2026-10-01T09"])
    assert [(row.segment.path, row.seal, row.receiver) for row in found[H3]] == [
        (f"segments/{EVENT}/{H3}/r1-000000000001.jsonl.gz", 1, "r1"),
        (f"segments/{EVENT}/{H3}/r1-000000000002.jsonl.gz", 2, "r1"),
    ]
    assert [row.segment for row in found[H4]] == [seal(1, H3, H4).segments[1]]
    assert found["2026-10-01T09"] == ()
    totals = {(t.client, t.event): t for t in filled.landing.accounts("2026-10-01", "2026-10-01")}
    web = totals["web", EVENT]
    assert (web.received, web.accepted, web.rejected, dict(web.reasons)) == (34, 30, 4, {"schema": 4})
    assert totals["web", None].reasons == {"malformed": 2}
    assert filled.landing.receivers()[0].sealed_until == NOON


def test_sealed_until_never_goes_back(filled: Ledger) -> None:
    filled.landing.beat("r1", NOON, NOON)
    filled.landing.beat("r1", NOON - timedelta(hours=1), NOON + timedelta(minutes=1))
    filled.landing.beat("r1", None, NOON - timedelta(minutes=1))
    only = filled.landing.receivers()[0]
    assert (only.sealed_until, only.beat_at, only.state) == (NOON, NOON + timedelta(minutes=1), "live")


def test_states_of_receivers(filled: Ledger) -> None:
    filled.landing.beat("r1", NOON, NOON)
    filled.landing.beat("r2", NOON, NOON)
    filled.landing.deregister("r1")
    filled.landing.lose("r2", "its disk died")
    assert [(r.id, r.state) for r in filled.landing.receivers()] == [("r1", "gone"), ("r2", "lost")]
    filled.landing.beat("r2", NOON, NOON)
    assert filled.landing.receivers()[1].state == "live"
    with pytest.raises(LookupError, match="no receiver 'r9'; known: r1, r2"):
        filled.landing.lose("r9", "typo")
    filled.landing.deregister("r9")


def test_a_seal_makes_no_receiver_live(filled: Ledger) -> None:
    """A source's or an import's seal would else hold every hour open."""
    filled.landing.record_seal(seal(1, H3, receiver="import-1"))
    assert filled.landing.receivers() == []


def test_changes_are_followed_by_a_cursor(filled: Ledger) -> None:
    assert filled.landing.changed_since(0) == ([], 0)
    filled.landing.record_seal(seal(1, H3, H4))
    changes, cursor = filled.landing.changed_since(0)
    assert [(c.event, c.hour, c.rows, c.segments) for c in changes] == [(EVENT, H3, 10, 1), (EVENT, H4, 10, 1)]
    assert filled.landing.changed_since(cursor) == ([], cursor)
    filled.landing.record_seal(seal(2, H4, rows=5))
    later, next_cursor = filled.landing.changed_since(cursor)
    assert [(c.hour, c.rows, c.segments) for c in later] == [(H4, 15, 2)]
    assert next_cursor > cursor


def test_a_limit_splits_no_seal(filled: Ledger) -> None:
    filled.landing.record_seal(seal(1, H3, H4))
    filled.landing.record_seal(seal(2, "2026-10-01T05"))
    first, cursor = filled.landing.changed_since(0, limit=1)
    assert [c.hour for c in first] == [H3, H4]
    assert [c.hour for c in filled.landing.changed_since(cursor, limit=1)[0]] == ["2026-10-01T05"]


def test_a_source_seal_replaces_the_earlier_ones(filled: Ledger) -> None:
    source = contract("catalogue/chart", kind="source", cadence="daily")
    filled.registry.apply([*filled.registry.current().values(), source], "r")
    for number in (1, 2):
        filled.landing.record_seal(seal(number, "2026-10-01", receiver="source", event=source.key, at=NOON + timedelta(hours=number)))
    found = filled.landing.segments(source.key, ["2026-10-01"])["2026-10-01"]
    assert [row.seal for row in found] == [2]


def test_expired_segments_are_remembered(filled: Ledger) -> None:
    filled.landing.record_seal(seal(1, H3, H4))
    filled.landing.record_seal(seal(2, H3))
    path = seal(1, H3).segments[0].path
    assert filled.landing.expire([path, "segments/unknown"]) == 1
    assert filled.landing.expired(EVENT, [H3, H4]) == {H3}
    assert [row.seal for row in filled.landing.segments(EVENT, [H3])[H3]] == [2]
    assert filled.landing.changed_since(0)[0][0].rows + filled.landing.changed_since(0)[0][1].rows == 30


def test_a_seal_that_does_not_balance_is_named(filled: Ledger) -> None:
    good = seal(1, H3)
    filled.landing.record_seal(good)
    bad = good.accounts[0].model_copy(update={"received": 99})
    filled.landing.record_seal(seal(2, H3).model_copy(update={"accounts": (bad,)}))
    assert filled.landing.unbalanced() == [("r1", 2)]


def test_segments_of_a_type_nobody_declares_any_more(filled: Ledger) -> None:
    assert filled.landing.record_seal(seal(1, H3, event="old/type"))
    assert len(filled.landing.segments("old/type", [H3])[H3]) == 1
    assert "old/type" not in filled.registry.current()
