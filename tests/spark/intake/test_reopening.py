"""Late rows of an hour whose landing is gone: parked, taken in when a person says so, exactly once whatever dies in between; never a part for the whole."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from platform_defs.execution import intake, publishing
from platform_defs.execution.results import FailureKind, PartitionResult
from platform_defs.ledger.decisions import DecisionRefused, Reopenable, reopen, reopenable
from platform_defs.planning.states import PartitionState as S
from platform_defs.planning.states import decide
from tests.spark.intake.house import HOUR, House, event
from tests.spark.intake.lines import contract_of, field

HEARD = contract_of((field("ms", "integer", ge="0", le="1000"), field("tags", "string", nullable=True, required=False)))
DAY = timedelta(days=1)
# What landed, as (number of the event, ms): an hour in time, then two receivers' stragglers beyond the last settle age (72 h).
IN_TIME = [(1, 10), (2, 20), (2, 20), (3, 30), (9, -1)]
FIRST_LATE = [(3, 30), (4, 40), (4, 41), (9, -1)]
SECOND_LATE = [(1, 11), (4, 40), (5, 50), (5, 50)]


def lines(rows: Iterable[tuple[int, int]]) -> list[str]:
    return [event(number, {"ms": ms, "tags": None}) for number, ms in rows]


def expected(*seals: Iterable[tuple[int, int]]) -> tuple[list[int], dict[str, int]]:
    """Independently: the rows of an hour by one rule (the first copy stays, another payload is a conflict), and where each landed line went."""
    table: dict[int, int] = {}
    counts = dict.fromkeys(("landed", "good", "duplicate", "conflict", "quarantined", "parked", "erased"), 0)
    for number, ms in (row for rows in seals for row in rows):
        counts["landed"] += 1
        if ms < 0:
            counts["quarantined"] += 1
        elif number not in table:
            table[number] = ms
        else:
            counts["duplicate" if table[number] == ms else "conflict"] += 1
    counts["good"] = len(table)
    return sorted(table.values()), counts


def found(house: House) -> tuple[list[int], list[int], list[int]]:
    """`ms` of the table and of the late lane, lines of quarantine."""
    table, late = ([row["ms"] for row in house.rows(HEARD, lane, "ms")] for lane in ("table", "late"))
    return table, late, [row["_line"] for row in house.rows(HEARD, "quarantine", "_segment")]


def counted(house: House) -> dict[str, int]:
    counts = house.platform.ledger.partitions.published(HEARD.key, [HOUR])[HOUR].counts
    assert counts is not None
    assert counts.balanced
    return {name: getattr(counts, name) for name in ("landed", "good", "duplicate", "conflict", "quarantined", "parked", "erased")}


def planned(house: House) -> tuple[S, bool]:
    (decision,) = decide(house.platform.ledger.facts([HEARD.key], house.now - 30 * DAY, house.now), house.now, only=[(HEARD.key, HOUR)])
    return decision.state, decision.ask


def take(house: House, **more: Any) -> PartitionResult:
    return house.take(HEARD, HOUR, **more)[HOUR]


def open_again(house: House) -> Reopenable:
    house.now += timedelta(minutes=1)
    return reopen(house.platform.ledger, house.platform.lake, HEARD.key, HOUR, "the phones were offline")


def forget_landing(house: House, *, ledger_knows: bool = True) -> None:
    """Landing's retention over all that landed so far: files and segments are gone, the sums stay."""
    rows = house.platform.ledger.landing.segments(HEARD.key, [HOUR])[HOUR]
    for row in rows:
        house.platform.landing.remove(row.segment.path)
    if ledger_knows:
        house.platform.ledger.landing.expire([row.segment.path for row in rows])


@pytest.fixture
def parked(house: House) -> House:
    """A built hour; its first stragglers are parked; then landing has forgotten all of it."""
    house.apply(HEARD)
    house.platform.ledger.store.clock = lambda: house.now
    house.land(HEARD, {HOUR: lines(IN_TIME)})
    take(house)
    house.now += 4 * DAY
    house.land(HEARD, {HOUR: lines(FIRST_LATE)}, receiver="r2")
    assert take(house).outcome == "published"
    assert found(house) == ([10, 20, 30], [30, 40, 41], [5, 4])
    forget_landing(house)
    house.now += 4 * DAY
    return house


def late_again(house: House) -> None:
    """More stragglers, when landing holds nothing of the hour any more: sealed after whatever was decided before."""
    house.now += timedelta(minutes=10)
    house.land(HEARD, {HOUR: lines(SECOND_LATE)}, receiver="r3")


def test_without_landing_parked_rows_are_taken_in_by_the_one_rule(parked: House) -> None:
    looked = reopenable(parked.platform.ledger, HEARD.key, HOUR)
    assert (looked.rows, looked.segments, looked.in_lane, looked.whole) == (3, 0, 3, False)
    assert planned(parked) == (S.CURRENT, False)
    open_again(parked)
    assert planned(parked) == (S.STALE, True)
    assert take(parked).outcome == "published"
    rows, counts = expected(IN_TIME, FIRST_LATE)
    assert (found(parked), counted(parked)) == ((rows, [], [5, 4]), counts)
    assert planned(parked) == (S.CURRENT, False)
    assert take(parked).outcome == "skipped"
    with pytest.raises(DecisionRefused, match=r"nothing of listening/track_played .* is parked"):
        open_again(parked)


def test_what_comes_when_landing_is_gone_is_parked_and_can_be_taken_in_too(parked: House) -> None:
    open_again(parked)
    take(parked)
    before = parked.platform.ledger.partitions.published(HEARD.key, [HOUR])[HOUR]
    late_again(parked)
    assert planned(parked)[0] == S.STALE
    assert take(parked).outcome == "published"
    assert found(parked) == ([10, 20, 30, 40], [11, 40, 50, 50], [5, 4])
    assert counted(parked)["parked"] == 4
    after = parked.platform.ledger.partitions.published(HEARD.key, [HOUR])[HOUR]
    assert (after.content, after.changed_at) == (before.content, before.changed_at)  # nobody who reads it has anything to do
    assert take(parked).outcome == "skipped"

    assert open_again(parked).rows == 4
    assert take(parked).outcome == "published"
    rows, counts = expected(IN_TIME, FIRST_LATE, SECOND_LATE)
    assert (found(parked), counted(parked)) == ((rows, [], [5, 4]), counts)


def test_parked_rows_and_what_has_just_landed_are_taken_in_together(parked: House) -> None:
    late_again(parked)
    looked = open_again(parked)
    assert (looked.rows, looked.segments) == (7, 1)
    assert take(parked).outcome == "published"
    rows, counts = expected(IN_TIME, FIRST_LATE, SECOND_LATE)
    assert (found(parked), counted(parked)) == ((rows, [], [5, 4]), counts)


@pytest.mark.parametrize("dies", ["before the late table is emptied", "before it is recorded"])
def test_a_run_that_dies_between_its_commits_takes_nothing_in_twice(parked: House, dies: str, monkeypatch: pytest.MonkeyPatch) -> None:
    late_again(parked)
    open_again(parked)
    parked.land(HEARD, {HOUR: lines([(7, 70)])}, receiver="r4", sealed_at=parked.now + timedelta(minutes=1))  # parked by the same build

    def dead(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(intake, "publish", dead) if dies == "before the late table is emptied" else patch.setattr(publishing, "write_record", dead)
        with pytest.raises(KeyboardInterrupt):
            take(parked)
    rows, counts = expected(IN_TIME, FIRST_LATE, SECOND_LATE)
    assert found(parked)[0] == rows  # it is in the table, and nobody knows
    assert counted(parked)["good"] == 3
    assert planned(parked) == (S.STALE, True)
    assert take(parked).outcome == "published"
    assert found(parked) == (rows, [70], [5, 4])
    assert counted(parked) == {**counts, "landed": counts["landed"] + 1, "parked": 1}


def test_an_hour_is_not_built_from_a_part_of_its_landing(parked: House) -> None:
    before = found(parked)
    result = take(parked, force=True)
    assert result.failure is not None
    assert (result.outcome, result.failure.kind) == ("failed", FailureKind.SEGMENTS_GONE)
    assert "past the landing's retention" in result.failure.why
    assert take(parked).outcome == "skipped"  # nothing is asked that it has not
    assert found(parked) == before

    # A ledger that was made anew after the manifests' retention: the hour has no segment and nothing has expired, as far as it knows.
    with parked.platform.ledger.store.transaction() as connection:
        for table in ("segments", "landed_partitions", "seals"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    result = take(parked, force=True)
    assert result.failure is not None
    assert result.failure.why == "it was built from 9 rows, of which the ledger finds 0 in landing"
    open_again(parked)
    assert take(parked).outcome == "published"
    assert found(parked)[0] == expected(IN_TIME, FIRST_LATE)[0]


def test_segments_that_vanished_from_disk_hold_up_what_needs_them_alone(parked: House) -> None:
    late_again(parked)
    forget_landing(parked, ledger_knows=False)
    result = take(parked)
    assert result.failure is not None
    assert "1 of its 1 segments are missing" in result.failure.why
    assert found(parked)[:2] == ([10, 20, 30], [30, 40, 41])


def test_rows_deleted_by_hand_come_back_without_landing(parked: House) -> None:
    parked.session().sql(f"DELETE FROM delta.`{parked.platform.lake.table(HEARD.key)}` WHERE hour = '{HOUR}' AND ms < 25").collect()
    assert found(parked)[0] == [30]
    before = parked.platform.ledger.partitions.published(HEARD.key, [HOUR])[HOUR]
    assert take(parked).outcome == "published"
    assert found(parked) == ([10, 20, 30], [30, 40, 41], [5, 4])
    after = parked.platform.ledger.partitions.published(HEARD.key, [HOUR])[HOUR]
    assert (after.content, after.changed_at) == (before.content, before.changed_at)
