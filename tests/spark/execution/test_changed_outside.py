"""What is changed in the lake past the platform is found and built again; what was imported waits for a person and says so."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from platform_defs.contracts import Schema, T, field
from platform_defs.contracts.loading import Declared
from platform_defs.execution import publishing
from platform_defs.ledger.leases import Fence
from platform_defs.ledger.looking import look
from platform_defs.ledger.outside import Changed, note_changes
from platform_defs.planning.states import Decision
from platform_defs.planning.states import PartitionState as S
from sensors.late_data import Cursor, look_outside
from tests.spark.execution.contracts import column
from tests.spark.execution.workshop import Workshop, same

H0, H1, H2 = "2026-10-01T00", "2026-10-01T01", "2026-10-01T02"
KEY, EVENTS = "charts/plays", "listening/played"
LATER = datetime(2026, 10, 1, 12, tzinfo=UTC)


class Plays(Schema):
    """Plays of each track."""

    track: T.StringType = field()
    plays: T.LongType = field(ge=1)


def counted(played: DataFrame) -> DataFrame:
    return played.groupBy("track").agg(F.count("*").alias("plays"))


@pytest.fixture
def plays(shop: Workshop) -> Declared:
    """Three hours are built, the last of them without a row, and the table was looked at."""
    shop.input(EVENTS, column("track", "STRING"))
    made = shop.declare(counted, Plays, [same("played", EVENTS)])
    shop.fill(EVENTS, {H0: [("a",)], H1: [("b",), ("b",)], H2: []})
    shop.build(made, H0, H1, H2)
    assert found(shop) == []
    return made


def found(shop: Workshop) -> list[Changed]:
    return note_changes(shop.platform.ledger, shop.platform.lake, [KEY, EVENTS])


def decided(shop: Workshop, key: str) -> Decision:
    return look(shop.platform.ledger, [(KEY, key)], LATER)[KEY, key]


def sql(shop: Workshop, statement: str) -> None:
    shop.session().sql(statement.format(table=f"delta.`{shop.platform.lake.table(KEY)}`")).collect()


def table(shop: Workshop) -> list[tuple[Any, ...]]:
    return sorted((row["hour"], row["track"], row["plays"]) for row in shop.rows())


WHOLE = [(H0, "a", 1), (H1, "b", 2)]


@pytest.mark.parametrize("by", ["DELETE", "UPDATE", "its files"])
def test_a_partition_changed_by_hand_is_found_asked_for_and_built_again(shop: Workshop, plays: Declared, by: str) -> None:
    ledger = shop.platform.ledger
    if by == "DELETE":
        sql(shop, f"DELETE FROM {{table}} WHERE hour = '{H1}'")
    elif by == "UPDATE":
        sql(shop, f"UPDATE {{table}} SET plays = 7 WHERE hour = '{H1}'")
    else:
        shutil.rmtree(Path(shop.platform.lake.table(KEY)) / f"hour={H1}")
    assert [(each.endpoint, each.partition) for each in found(shop)] == [(KEY, H1)]
    one = decided(shop, H1)
    assert (one.state, one.ask) == (S.STALE, True)
    assert one.reason.startswith(f"changed outside: {by if by != 'its files' else 'its files are gone from'} ")
    assert decided(shop, H0).state == S.CURRENT
    assert found(shop) == []  # it is known
    # The sensor follows it however old it is, until it was tried.
    assert look_outside(ledger, shop.platform.lake, "charts", Cursor(), LATER + timedelta(days=300)).partitions == {(KEY, H1)}
    assert {key: result.outcome for key, result in shop.build(plays, H0, H1, H2, trigger="late").items()} == {H0: "skipped", H1: "published", H2: "skipped"}
    assert table(shop) == WHOLE
    assert decided(shop, H1).state == S.CURRENT
    assert (found(shop), ledger.troubles.all()) == ([], {})
    assert look_outside(ledger, shop.platform.lake, "charts", Cursor(), LATER).partitions == set()


def test_a_commit_that_nobody_recorded_is_found_once_nobody_is_at_it(shop: Workshop, plays: Declared, monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "write_record", dead)
        with pytest.raises(KeyboardInterrupt):
            shop.build(plays, H0, trigger="click")
    other = shop.platform.ledger.leases.acquire(KEY, [H0], "other-run")
    assert isinstance(other, Fence)
    assert found(shop) == []  # who holds the hour may be about to record it
    shop.platform.ledger.leases.release(other)
    (one,) = found(shop)
    assert (one.partition, "ended before it was recorded" in one.why) == (H0, True)
    assert shop.build(plays, H0, trigger="late")[H0].outcome == "published"
    assert (found(shop), table(shop)) == ([], WHOLE)


def test_what_changes_no_row_is_no_change(shop: Workshop, plays: Declared) -> None:
    for _ in range(2):
        shop.build(plays, H0, force=True)
    for statement in ("OPTIMIZE {table}", "ALTER TABLE {table} SET TBLPROPERTIES ('delta.checkpointInterval' = '50')"):
        sql(shop, statement)
    assert found(shop) == []
    assert {result.outcome for result in shop.build(plays, H0, H1, H2).values()} == {"skipped"}


def test_an_imported_partition_waits_for_a_person_and_says_what_to_do(shop: Workshop, plays: Declared) -> None:
    shop.build(plays, H0, trigger="command", origin="imported", force=True)
    assert (found(shop), decided(shop, H0).reason) == ([], "imported")
    sql(shop, f"DELETE FROM {{table}} WHERE hour = '{H0}'")
    assert [each.partition for each in found(shop)] == [H0]
    one = decided(shop, H0)
    assert (one.state, one.ask) == (S.STUCK, False)
    assert f"./backline import {KEY} --from PATH --first {H0} --last {H0} brings it back" in one.reason
    assert f"./backline backfill {KEY} --from {H0} --to {H0} --force builds it instead" in one.reason
    # New code is no reason to build what was imported.
    newer = shop.declare(counted, Plays, [same("played", EVENTS)], version="2")
    assert (decided(shop, H0).state, decided(shop, H0).ask) == (S.STUCK, False)
    assert shop.build(newer, H0, trigger="command", origin="imported")[H0].outcome == "published"
    assert (decided(shop, H0).state, decided(shop, H0).reason) == (S.CURRENT, "imported")
    assert (found(shop), table(shop)) == ([], WHOLE)
