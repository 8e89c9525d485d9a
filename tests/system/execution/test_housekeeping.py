"""Retention over a real ledger and real files: what goes, what stays, and that interrupted work is found again. Rows themselves go in tests/spark."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.endpoints import EndpointDef
from platform_defs.contracts.loading import Declared
from platform_defs.contracts.partitions import key_of, shift
from platform_defs.contracts.schema import Schema, T
from platform_defs.contracts.schema import field as column
from platform_defs.execution import housekeeping
from platform_defs.execution.building import build
from platform_defs.execution.platform import Work
from platform_defs.lake import delta_log
from platform_defs.lake.commits import NotCommitted
from platform_defs.lake.files import LocalFiles
from platform_defs.ledger import Fence
from tests.fixtures.contracts import DAY, endpoint
from tests.system.execution.house import CHART, CONTRACTS, FILES, KEPT, NOW, OLD, PLAYED, RATE, House, lines

# --- partitions ------------------------------------------------------------------------------------------------------------------------------


def test_where_nothing_has_expired_nothing_is_asked_of_spark(house: House) -> None:
    house.publish(RATE, KEPT, "2026-10-15T03")
    house.publish(CHART, "2026-10-15")
    house.publish(PLAYED, OLD)  # kept longer
    house.land(1, (KEPT,), NOW - timedelta(days=1))
    before = house.everything()
    report = house.keep("charts", "listening", "vendor")
    assert (report.head, report.dropped, report.left) == ("4 datasets looked at; nothing is past its retention", (), ())
    assert house.engine.asked == 0
    after = house.everything()
    assert {name for name in before if before[name] != after[name]} == {"chores"}


def test_expired_partitions_are_forgotten_and_their_rows_dropped(house: House) -> None:
    house.publish(RATE, OLD, "2026-10-15T02", "2026-10-15T03", KEPT)
    report = house.keep("charts")
    assert lines(report) == {RATE: f"{RATE}: 2 partitions before 2026-10-15T03, their 2 files (20 bytes) leave the disk within 14 days"}
    assert house.ledger.partitions.ranges(RATE, "hourly") == [("2026-10-15T03", "2026-10-15T03"), (KEPT, KEPT)]
    assert house.rows(RATE) == ["2026-10-15T03", KEPT]
    assert delta_log.entries(house.lake.table(RATE))[-1].signature == {"by": "backline", "retention": "2026-10-15T03"}
    assert house.ledger.leases.holders() == []
    # The rows are dropped: nothing is left to do until the files are ripe.
    assert house.keep("charts").dropped == ()
    assert house.engine.asked == 0
    house.now += timedelta(days=14) - timedelta(hours=1)
    house.keep("charts")
    assert house.engine.said[-2:] == [f"VACUUM delta.`{house.lake.table(RATE)}`", "release retention-charts-night3"]


def test_what_only_the_ledger_knows_needs_no_spark(house: House) -> None:
    house.publish(RATE, OLD, KEPT, files=False)
    house.publish(CHART, "2026-10-01", files=False)
    assert set(lines(house.keep("charts"))) == {RATE, CHART}
    assert house.engine.asked == 0
    assert house.there(RATE, partition=KEPT) == [RATE]
    assert not house.there(RATE)


def test_what_only_the_table_holds_is_dropped_too(house: House) -> None:
    """A build that died between its commit and its word to the ledger."""
    house.publish(RATE, OLD)
    house.ledger.partitions.forget(RATE, [OLD])
    assert house.keep("charts").dropped[0].counts["partitions"] == 1
    assert house.rows(RATE) == []


def test_without_spark_rows_are_dropped_and_files_stay_until_it_is_back(house: House) -> None:
    house.publish(RATE, OLD)
    house.publish(CHART, "2026-10-01", files=False)
    house.ledger.registry.apply([*CONTRACTS, endpoint("charts/third", retention_seconds=5 * DAY)], "test")
    house.publish("charts/third", OLD)
    house.engine.down = True
    assert not house.keep("charts").troubles
    assert not house.there(RATE, "charts/third")
    house.now += timedelta(days=14)
    report = house.keep("charts")
    assert [each.what for each in report.troubles] == [RATE, "charts/third"]
    assert lines(report)[RATE] == f"{RATE}: failed: EngineError: Spark does not answer: see ./backline status"
    assert report.head.endswith("; 2 failed")
    assert house.engine.asked == 1
    house.engine.down = False
    assert not house.keep("charts").troubles
    assert [words.split()[0] for words in house.engine.said] == ["VACUUM", "VACUUM", "release"]


def test_a_drop_that_failed_keeps_its_lease_and_is_done_by_the_next(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.publish(RATE, OLD)

    def broken(*_: Any) -> None:
        raise NotCommitted("the storage is gone in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(housekeeping, "drop_partitions", broken)
        assert house.keep("charts").troubles
    assert not house.there(RATE)  # readers wait for it rather than read it half dropped
    assert [run_id for run_id, _ in house.ledger.leases.abandoned()] == ["retention-charts-night1"]
    assert not house.keep("charts").troubles
    assert house.rows(RATE) == []
    assert house.ledger.leases.abandoned() == []


def test_what_a_run_is_building_is_left_for_the_next_time(house: House) -> None:
    house.publish(RATE, OLD, "2026-10-11T00")
    fence = house.ledger.leases.acquire(RATE, [OLD], "builder")
    assert isinstance(fence, Fence)
    report = house.keep("charts")
    assert lines(report) == {RATE: f"{RATE}: left for the next time: {RATE}: held: {OLD} by run builder"}
    assert (report.troubles, house.engine.said[:-1]) == ((), [])
    assert house.there(RATE) == [RATE]
    house.ledger.leases.release(fence)
    house.keep("charts")
    assert not house.there(RATE)


def test_nobody_builds_what_is_being_dropped(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The leases are held from before the ledger forgets until the rows are gone."""
    house.publish(RATE, OLD)
    seen: list[Any] = []
    monkeypatch.setattr(housekeeping, "drop_partitions", lambda *_: seen.append(house.ledger.leases.acquire(RATE, [OLD], "builder")))
    house.keep("charts")
    assert [held.by for held in seen] == [{OLD: "retention-charts-night1"}]


def test_leases_of_a_retention_that_was_killed_are_taken(house: House) -> None:
    house.publish(RATE, OLD)
    house.ledger.leases.acquire(RATE, [OLD], "retention-charts-killed")
    house.ledger.leases.acquire(CHART, ["2026-10-01"], "retention-chartsmore-alive")
    assert not house.keep("charts").troubles
    assert not house.there(RATE)
    assert house.ledger.leases.holders() == ["retention-chartsmore-alive"]


def test_a_source_forgets_what_it_pulled_with_its_partitions(house: House) -> None:
    for day in ("2026-10-01", "2026-10-16"):
        LocalFiles().write(house.landing.path(f"sources/{FILES}/{day}.json"), b"{}")
    house.keep("vendor")
    assert LocalFiles().names(house.landing.path(f"sources/{FILES}")) == ["2026-10-16.json"]


def test_empty_folders_of_expired_partitions_go(house: House) -> None:
    folder = Path(house.lake.table(RATE), f"hour={OLD}")
    folder.mkdir(parents=True)
    assert house.keep("charts").dropped == ()
    assert not folder.exists()


def test_an_expired_partition_is_answered_and_not_built(house: House) -> None:
    class Rows(Schema):
        """One column."""

        id: T.LongType = column()

    def rate() -> None:
        raise AssertionError("nothing is computed")

    made: Contract = house.ledger.registry.current()[RATE]
    work = Work(Declared(made, EndpointDef(fn=rate, schema=Rows, partitions="hourly")), (OLD,), "click", "click", {}, NOW)
    (result,) = build(work, house.platform)
    assert (result.outcome, result.rows) == ("skipped", 0)
    assert result.reason == "outside retention (5d): dropped, and not built again; the oldest kept is 2026-10-15T03"
    assert house.ledger.attempts.of(RATE, "hourly") == []


# --- what is shared --------------------------------------------------------------------------------------------------------------------------


def test_what_is_shared_is_done_once_a_day_by_whoever_comes_first(house: House) -> None:
    house.keep("charts")
    house.land(1, (OLD,), NOW - timedelta(days=8))
    report = house.keep("listening")
    assert (report.dropped, report.left) == ((), ("landing, failed log, records, history: done at 2026-10-20 03:17 UTC",))
    assert house.landing.receivers() == ["r1"]
    house.now += timedelta(days=1)
    assert "landing" in lines(house.keep("listening"))


# --- both ------------------------------------------------------------------------------------------------------------------------------------


def test_a_second_caller_leaves_what_the_first_is_at(house: House) -> None:
    house.publish(RATE, OLD, files=False)
    with house.ledger.forgetting.alone("retention of charts"), house.ledger.forgetting.alone("retention of what is shared"):
        report = house.keep("charts", "listening")
        assert report.left == ("charts: another run is at it", "landing, failed log, records, history: another run is at it")
        assert (report.looked, house.there(RATE)) == (1, [RATE])


def test_a_dry_run_says_the_same_and_changes_nothing(house: House) -> None:
    house.publish(RATE, OLD, KEPT)
    house.publish(CHART, "2026-10-01", files=False)
    house.land(1, (OLD,), NOW - timedelta(days=8))
    LocalFiles().write(house.landing.path("failed/2026-10-11/r1-1.jsonl"), json.dumps({"event": PLAYED}).encode())
    before = house.everything()
    told: list[str] = []
    dry = house.keep("charts", "listening", dry_run=True, tell=lambda entry: told.append(entry.line))
    assert house.everything() == before
    assert house.engine.asked == 0
    assert told == [each.line for each in dry.dropped]
    real = house.keep("charts", "listening")
    assert [each.line for each in real.dropped if each.what != "listening in the ledger"] == told
    assert {each.what for each in dry.dropped} == {RATE, CHART, "landing", "failed log"}


def test_a_day_later_only_that_day_goes(house: House) -> None:
    first = key_of("hourly", NOW - timedelta(days=5))
    hours = [shift(first, n) for n in range(30)]
    house.publish(RATE, *hours, files=False)
    assert house.keep("charts").dropped == ()
    house.now += timedelta(days=1)
    (entry,) = house.keep("charts").dropped
    assert entry.counts == {"partitions": 24}
