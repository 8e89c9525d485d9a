"""The collector on the real ledger: the registry's contracts judge, seals, accounts and `sealed_until` arrive in Postgres."""

from __future__ import annotations

from pathlib import Path

from platform_defs.ledger import Ledger
from tests.fixtures.collecting import CONTRACTS, PLAYED, RATED, played, rated, running


def test_what_was_sent_is_known_to_the_ledger(tmp_path: Path, ledger: Ledger) -> None:
    ledger.registry.apply([PLAYED], "ref")
    with running(tmp_path, ledger=ledger.landing, registry=ledger.registry.current) as one:
        receiver = one.collector.receiver
        assert [(found.id, found.state) for found in ledger.landing.receivers()] == [(receiver, "live")]
        assert [verdict["reason"] for verdict in one.post([played(1), played(2, id=""), rated(3)]).json()["events"]] == [None, "malformed", "unknown_type"]
        ledger.registry.apply(CONTRACTS.values(), "ref")
        one.collector.registry.refresh()
        assert one.post([rated(4)]).json()["accepted"] == 1
        assert one.collector.sealer.seal_once()
        (row,) = ledger.landing.segments(PLAYED.key, ["2026-10-01T03"])["2026-10-01T03"]
        assert (row.receiver, row.seal, row.segment.rows) == (receiver, 1, 1)
        (known,) = ledger.landing.receivers()
        assert known.sealed_until == one.collector.log.sealed_until
        accounts = {account.event: (account.received, account.accepted, account.rejected) for account in ledger.landing.accounts("2026-10-01", "2026-10-01")}
        assert accounts == {PLAYED.key: (2, 1, 1), RATED.key: (1, 1, 0), None: (1, 0, 1)}
        assert ledger.landing.unbalanced() == []
    assert [found.state for found in ledger.landing.receivers()] == ["gone"]
