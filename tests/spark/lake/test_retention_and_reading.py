"""Expired partitions go from every lane; rows as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from platform_defs.contracts.contract import Column
from platform_defs.lake import delta_log
from platform_defs.lake.columns import lanes_of
from platform_defs.lake.delta_log import NoTable
from platform_defs.lake.layout import Lake
from platform_defs.lake.reading import read_rows, shown
from platform_defs.lake.retention import drop_partitions
from platform_defs.lake.staging import staging_folder, sweep
from platform_defs.lake.tables import ensure_table
from tests.fixtures.publishing import publish_frame
from tests.spark.lake.samples import COLUMNS, contract, found, rows

EVENT = contract("listening/track_played", kind="event", retention_seconds=2 * 86_400)
KEYS = ["2026-10-01T03", "2026-10-01T04", "2026-10-02T00"]


def test_expired_hours_go_from_the_table_and_its_lanes(spark: SparkSession, tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    ensure_table(spark, lake, EVENT)
    for lane in lanes_of(EVENT):
        frame = rows(spark, KEYS[0], 1).unionByName(rows(spark, KEYS[1], 2)).unionByName(rows(spark, KEYS[2], 3))
        publish_frame(lake, EVENT, frame, KEYS, lane=lane)

    first_kept = drop_partitions(lake, EVENT, datetime(2026, 10, 3, 4, 30, tzinfo=UTC))

    assert first_kept == "2026-10-01T04"
    for path in (lake.table(EVENT.key), lake.quarantine(EVENT.key), lake.late(EVENT.key)):
        assert [hour for hour, _, _ in found(spark.read.format("delta").load(path))] == KEYS[1:]
    table = lake.table(EVENT.key)
    assert delta_log.changed_since(table, {KEYS[1]: 1}) == {}  # it is not taken for a change from outside
    head = delta_log.newest(table)
    drop_partitions(lake, EVENT, datetime(2026, 10, 3, 4, 45, tzinfo=UTC))
    assert delta_log.newest(table) == head  # nothing to drop, no commit


def test_an_endpoint_without_tables_yet_is_passed_over(spark: SparkSession, tmp_path: Path) -> None:
    assert drop_partitions(Lake(str(tmp_path)), EVENT, datetime(2026, 10, 3, 4, tzinfo=UTC)) == "2026-10-01T04"


def test_rows_are_read_in_order_with_uuids_shown_and_personal_values_hidden(spark: SparkSession, tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    said = contract(columns=(*COLUMNS, Column(name="email", type="BINARY", nullable=True, mark="personal")))
    ensure_table(spark, lake, said)
    frame = rows(spark, KEYS[2], 3).unionByName(rows(spark, KEYS[0], 1, 2)).withColumn("email", F.encode(F.lit("ciphertext"), "utf-8"))
    publish_frame(lake, said, frame, KEYS)
    read = list(read_rows(spark, lake, said))
    assert [(r["hour"], r["track_id"]) for r in read] == [(KEYS[0], "t0"), (KEYS[0], "t1"), (KEYS[2], "t0")]
    assert read[1]["listener"] == "00000000-0000-0000-0000-000000000001"
    assert {r["email"] for r in read} == {"***"}
    assert [r["hour"] for r in read_rows(spark, lake, said, first=KEYS[1])] == [KEYS[2]]
    assert [r["hour"] for r in read_rows(spark, lake, said, last=KEYS[1], limit=1)] == [KEYS[0]]


def test_what_was_never_applied_cannot_be_read(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(NoTable, match=r"charts\.skip_rate has no table .*backline apply"):
        next(read_rows(spark, Lake(str(tmp_path)), contract()))


def test_values_inside_others_are_shown_too() -> None:
    some = UUID(int=7)
    assert shown({"a": {"b": [some.bytes, b"\x01"]}, "c": None}) == {"a": {"b": [str(some), "01"]}, "c": None}
    assert shown({"email": None}, {"email"}) == {"email": None}


def test_staging_of_dead_runs_is_swept(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    with staging_folder(lake, "alive", "charts/skip_rate") as kept, staging_folder(lake, "alive", "charts/other"):
        Path(lake.staging("dead", "charts/skip_rate"), "x").mkdir(parents=True)
        assert sweep(lake, {"alive"}) == ["dead"]
        assert Path(kept).is_dir()
    assert list(Path(lake.staging_root).iterdir()) == []
