"""Rows that somebody deletes, adds or removes past the platform, with real commits of Delta: found by name, asked for, mended by a build, and then at rest."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import functions as F

from platform_defs.contracts import Schema, T, field
from platform_defs.contracts.partitions import keys_between
from platform_defs.ledger.looking import look
from platform_defs.ledger.outside import note_changes
from tests.spark.execution.contracts import column
from tests.spark.execution.workshop import Workshop, same

HOURS = keys_between("2026-10-02T02", "2026-10-02T06")
DELETED, ADDED, REMOVED, EMPTIED, LEFT = HOURS
KEY, EVENTS = "charts/plays", "listening/played"


class Plays(Schema):
    """Plays of each track."""

    track: T.StringType = field()
    plays: T.LongType = field(ge=1)


def found(shop: Workshop) -> dict[str, str]:
    """What a look finds, with its words."""
    return {change.partition: change.why for change in note_changes(shop.platform.ledger, shop.platform.lake, [KEY])}


def asked(shop: Workshop) -> list[str]:
    """What the planner asks for."""
    decisions = look(shop.platform.ledger, [(KEY, hour) for hour in HOURS], datetime.now(UTC))
    return sorted(partition for (_, partition), each in decisions.items() if each.ask)


def test_what_is_changed_past_the_platform_is_found_and_built_again(shop: Workshop) -> None:
    shop.input(EVENTS, column("track", "STRING"))
    plays = shop.declare(lambda played: played.groupBy("track").agg(F.count("*").alias("plays")), Plays, [same("played", EVENTS)])
    shop.fill(EVENTS, {hour: [("a",), ("b",), ("b",)] for hour in HOURS})
    assert {each.outcome for each in shop.build(plays, *HOURS).values()} == {"published"}
    before = sorted(map(str, shop.rows()))
    assert (found(shop), asked(shop)) == ({}, [])

    table, session = shop.platform.lake.table(KEY), shop.session()
    session.sql(f"DELETE FROM delta.`{table}` WHERE hour = '{DELETED}'").collect()
    session.createDataFrame([("c", 9, ADDED)], "track STRING, plays BIGINT, hour STRING").write.format("delta").mode("append").save(table)
    shutil.rmtree(Path(table) / f"hour={REMOVED}")
    for file in (Path(table) / f"hour={EMPTIED}").glob("*.parquet"):
        file.unlink()

    told = found(shop)
    assert set(told) == {DELETED, ADDED, REMOVED, EMPTIED}
    assert told[DELETED].startswith("DELETE at ")
    assert told[ADDED].startswith("WRITE at ")
    assert told[REMOVED] == told[EMPTIED] == f"its files are gone from {table}"
    assert asked(shop) == [DELETED, ADDED, REMOVED, EMPTIED]

    built = shop.build(plays, *HOURS, trigger="late")
    assert {key for key, each in built.items() if each.outcome == "published"} == {DELETED, ADDED, REMOVED, EMPTIED}
    assert (built[LEFT].outcome, sorted(map(str, shop.rows()))) == ("skipped", before)
    assert (found(shop), asked(shop), shop.platform.ledger.troubles.all()) == ({}, [], {})


def test_what_lost_its_files_and_is_built_to_nothing_can_be_read(shop: Workshop) -> None:
    """Nothing over nothing makes no commit; here the table's log still names the files that are gone."""
    shop.input(EVENTS, column("track", "STRING"))
    played = [same("played", EVENTS)]
    plays = shop.declare(lambda played: played.groupBy("track").agg(F.count("*").alias("plays")), Plays, played)
    shop.fill(EVENTS, {hour: [("a",)] for hour in HOURS})
    shop.build(plays, *HOURS)
    for hour in (REMOVED, EMPTIED):
        shutil.rmtree(Path(shop.platform.lake.table(KEY)) / f"hour={hour}")
    (Path(shop.platform.lake.table(KEY)) / f"hour={EMPTIED}").mkdir()
    none = shop.declare(lambda played: played.groupBy("track").agg(F.count("*").alias("plays")).where("plays > 1"), Plays, played, version="2")
    built = shop.build(none, REMOVED, EMPTIED)
    assert {(each.outcome, each.rows) for each in built.values()} == {("published", 0)}
    assert sorted(row["hour"] for row in shop.rows()) == [DELETED, ADDED, LEFT]
