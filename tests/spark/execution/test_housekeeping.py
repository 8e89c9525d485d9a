"""Retention with real Spark: rows of expired partitions leave the table, what is kept stays readable, and a click on what is gone is answered."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from platform_defs.contracts.schema import Schema, T, field
from platform_defs.execution.housekeeping import keep_retention
from platform_defs.lake import delta_log
from platform_defs.ledger import Ledger
from resources.spark import SparkEngines
from tests.spark.execution.contracts import column
from tests.spark.execution.workshop import NOW, Workshop, same

DAY = 86_400
OLD, EDGE, NEW = "2026-09-30T05", "2026-09-30T12", "2026-10-01T05"
PLAYED = "listening/played"


class Plays(Schema):
    """Plays of each track."""

    track: T.StringType = field()
    plays: T.LongType = field(ge=0)


def counted(played: DataFrame) -> DataFrame:
    """Plays of each track."""
    return played.groupBy("track").agg(F.count("*").alias("plays"))


def test_expired_rows_leave_the_table_and_nothing_else_does(tmp_path: Path, engines: SparkEngines, ledger: Ledger) -> None:
    now = NOW
    shop = Workshop.at(tmp_path, engines, ledger, lambda: now)
    ledger.store.clock = shop.platform.clock
    try:
        Path(shop.platform.landing.root).mkdir()
        shop.input(PLAYED, column("track", "STRING"))
        rows: list[tuple[Any, ...]] = [("a",), ("a",), ("b",)]
        shop.fill(PLAYED, {OLD: rows, EDGE: rows, NEW: rows})
        declared = shop.declare(counted, Plays, [same("played", PLAYED)], retention_seconds=2 * DAY)
        now = NOW - timedelta(hours=7)
        assert [result.outcome for result in shop.build(declared, OLD, EDGE, NEW).values()] == ["published"] * 3
        table = shop.platform.lake.table("charts/plays")
        (old_file,) = Path(table, f"hour={OLD}").glob("*.parquet")

        now = NOW
        report = keep_retention(shop.platform, ["charts", "listening"], "night-1")
        assert not report.troubles
        (entry,) = (each for each in report.dropped if each.what == "charts/plays")
        assert (entry.counts["partitions"], entry.said.partition(",")[0]) == (1, f"1 partition before {EDGE}")
        assert {row["hour"] for row in shop.rows()} == {EDGE, NEW}
        assert set(ledger.partitions.published("charts/plays", [OLD, EDGE, NEW])) == {EDGE, NEW}
        assert {row["hour"] for row in shop.rows(PLAYED)} == {OLD, EDGE, NEW}  # kept longer by its own contract
        assert delta_log.changed_since(table, {EDGE: 1, NEW: 1}) == {}

        # Nothing of it comes back: neither by a click nor by force; the others are current as before.
        answers = shop.build(declared, OLD, NEW, force=False)
        assert (answers[OLD].outcome, answers[OLD].reason.partition(":")[0]) == ("skipped", "outside retention (2d)")
        assert answers[NEW].reason.startswith("current, built by run")
        assert shop.build(declared, OLD, trigger="click")[OLD].rows == 0
        head = delta_log.newest(table)
        assert keep_retention(shop.platform, ["charts"], "night-2").dropped == ()
        assert delta_log.newest(table) == head

        # Files wait for readers of older versions, then they go, and their folders with the next run. Delta's clock cannot be moved, but its 7 days can.
        assert old_file.exists()
        shop.session().sql(f"ALTER TABLE delta.`{table}` SET TBLPROPERTIES ('delta.deletedFileRetentionDuration' = 'interval 0 hours')").collect()
        now = NOW + timedelta(days=14)
        swept = keep_retention(shop.platform, ["charts"], "night-3")
        assert not swept.troubles
        (entry,) = (each for each in swept.dropped if each.what == "charts/plays")
        assert entry.counts["files"] >= 3
        assert shop.rows() == []
        keep_retention(shop.platform, ["charts"], "night-4")
        assert not list(Path(table).glob("hour=*"))
    finally:
        shop.close()
