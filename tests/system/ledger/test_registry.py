"""The registry: applying, versions, history."""

from __future__ import annotations

import pytest

from platform_defs.ledger import Ledger, UnknownEndpoint
from tests.fixtures.contracts import endpoint, event
from tests.system.ledger.telling import DAILY, EVENT, H3, RATE, published, run


def test_the_same_again_changes_nothing(filled: Ledger) -> None:
    before = filled.registry.current()
    again = filled.registry.apply(before.values(), "other ref")
    assert not again.any
    assert again.version == filled.registry.version() == 1
    assert filled.registry.current() is before


def test_added_changed_removed(filled: Ledger) -> None:
    changed = filled.registry.current()[RATE].model_copy(update={"code_version": "code-2"})
    done = filled.registry.apply([filled.registry.current()[EVENT], changed, endpoint("charts/new")], "def456")
    assert (done.added, done.changed, done.removed, done.version) == (("charts/new",), (RATE,), (DAILY,), 2)
    assert set(filled.registry.current()) == {EVENT, RATE, "charts/new"}
    assert filled.registry.current()[RATE].code_version == "code-2"
    history = filled.registry.history(RATE)
    assert [(each.version, each.git_ref, each.contract.code_version if each.contract else None) for each in history] == [
        (2, "def456", "code-2"),
        (1, "abc123", "code-1"),
    ]
    assert filled.registry.history(DAILY)[0].contract is None


def test_one_domain_leaves_the_others_alone(filled: Ledger) -> None:
    done = filled.registry.apply([event(EVENT, tier="high")], "r", domains=["listening"])
    assert (done.changed, done.removed) == ((EVENT,), ())
    assert set(filled.registry.current()) == {EVENT, RATE, DAILY}
    assert filled.registry.apply([], "r", domains=["charts"]).removed == (DAILY, RATE)
    assert set(filled.registry.current()) == {EVENT}


def test_a_removed_endpoint_that_comes_back_has_its_partitions_still(filled: Ledger) -> None:
    filled.partitions.record([published(RATE, H3)], run())
    kept = [contract for key, contract in filled.registry.current().items() if key != RATE]
    rate = filled.registry.current()[RATE]
    filled.registry.apply(kept, "r")
    filled.registry.apply([*kept, rate], "r")
    assert H3 in filled.partitions.published(RATE, [H3])


def test_another_cadence_is_another_history(filled: Ledger) -> None:
    filled.partitions.record([published(RATE, H3)], run())
    contracts = dict(filled.registry.current()) | {RATE: endpoint(RATE, cadence="daily")}
    assert filled.registry.apply(contracts.values(), "r").changed == (RATE,)
    assert filled.registry.current()[RATE].cadence == "daily"
    assert filled.partitions.published(RATE, ["2026-10-01"]) == {}
    assert len(filled.registry.current()) == 3


def test_two_ledgers_see_each_others_changes(filled: Ledger) -> None:
    other = Ledger(filled.store.engine.url.render_as_string(hide_password=False))
    assert other.registry.current() == filled.registry.current()
    filled.registry.apply([event(EVENT)], "r")
    assert set(other.registry.current()) == {EVENT}
    other.close()


def test_an_unknown_key_says_what_to_do(filled: Ledger) -> None:
    with pytest.raises(UnknownEndpoint, match=r"charts/none is not in the registry: run \./backline apply"):
        filled.partitions.published("charts/none", [H3])
    with pytest.raises(UnknownEndpoint):
        filled.facts(["charts/none"], filled.store.clock(), filled.store.clock())


def test_create_adds_what_is_missing(filled: Ledger) -> None:
    """An older ledger gets the columns it lacks, and keeps its rows."""
    from sqlalchemy import text

    with filled.store.transaction() as connection:
        connection.execute(text("ALTER TABLE receivers DROP COLUMN why"))
        connection.execute(text("DROP TABLE account_days"))
    filled.create()
    filled.create()
    filled.landing.beat("r1", None, filled.store.clock())
    assert filled.landing.accounts("2026-10-01", "2026-10-01") == []
    assert len(filled.registry.current()) == 3


def test_what_a_key_was_before_is_kept(filled: Ledger) -> None:
    first = filled.registry.current()[RATE]
    rest = [contract for key, contract in filled.registry.current().items() if key != RATE]
    second, third = (first.model_copy(update={"code_version": code}) for code in ("code-2", "code-3"))
    assert filled.registry.earlier([RATE, DAILY, "no/such"]) == {}
    filled.registry.apply([*rest, second], "r")
    filled.registry.apply([*rest, third], "r")
    assert filled.registry.earlier([RATE, DAILY]) == {RATE: [second, first]}
    filled.registry.apply(rest, "r")
    assert filled.registry.earlier([RATE]) == {RATE: [third, second, first]}, "a removed dataset's last contract says what its table holds"
    filled.registry.apply([*rest, first.model_copy(update={"cadence": "daily"})], "r")
    assert filled.registry.earlier([RATE])[RATE] == [third, second, first]
