"""Tables made, changed, read and published: real Spark and Delta."""

from __future__ import annotations

import errno
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from platform_defs.contracts.contract import Column
from platform_defs.contracts.partitions import PartitionKeyError
from platform_defs.execution.failures import kind_of
from platform_defs.execution.results import FailureKind
from platform_defs.lake import delta_log, files
from platform_defs.lake.commits import NotOfTable
from platform_defs.lake.delta_log import NoTable
from platform_defs.lake.layout import Lake
from platform_defs.lake.staging import read_staged, staged_files, staged_writer, staging_folder
from platform_defs.lake.tables import TableError, empty_table, ensure_table, head_version, publish, read_table
from platform_defs.running.home import wait_until
from resources.spark import SparkEngines
from tests.fixtures.publishing import publish_frame, staged
from tests.spark.lake.samples import COLUMNS, HOURS, contract, found, rows


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def _publish(spark: SparkSession, lake: Lake, hour: str, *starts: int, run: str = "run-1", fence: int = 1) -> int:
    return publish_frame(lake, contract(), rows(spark, hour, *starts), [hour], run, fence).version


def test_a_table_is_made_once_and_told_in_words(spark: SparkSession, lake: Lake) -> None:
    assert ensure_table(spark, lake, contract()) == ["charts.skip_rate: made its table"]
    assert ensure_table(spark, lake, contract()) == []
    assert head_version(lake.table("charts/skip_rate")) == 0
    schema = spark.read.format("delta").load(lake.table("charts/skip_rate")).schema
    assert [(f.name, f.nullable) for f in schema][:2] == [("track_id", False), ("starts", False)]
    assert schema["hour"].nullable is False
    assert schema["track_id"].metadata["comment"] == "It's the track's \\ id"


def test_event_types_have_a_quarantine_and_a_late_lane_where_all_may_be_null(spark: SparkSession, lake: Lake) -> None:
    done = ensure_table(spark, lake, contract("listening/track_played", kind="event"))
    assert [line.split(": ")[1] for line in done] == ["made its table", "made its quarantine rows", "made its late rows"]
    quarantine = spark.read.format("delta").load(lake.quarantine("listening/track_played")).schema
    assert [f.name for f in quarantine if not f.nullable] == ["hour"]
    assert {"_failed", "_segment", "_line"} < set(quarantine.names)
    assert {"_segment", "_line"} < set(spark.read.format("delta").load(lake.late("listening/track_played")).schema.names)


def test_statistics_hold_no_string_and_nothing_marked(spark: SparkSession, lake: Lake) -> None:
    ensure_table(spark, lake, contract())
    version = _publish(spark, lake, HOURS[0], 41, 42)
    log = Path(lake.table("charts/skip_rate"), "_delta_log", f"{version:020d}.json").read_text()
    stats = [json.loads(json.loads(line)["add"]["stats"]) for line in log.splitlines() if '"add"' in line[:10]]
    assert stats
    assert {name for s in stats for name in s["minValues"]} == {"starts"}  # `at` is measured too, but null here


def test_files_are_their_owners_alone(spark: SparkSession, lake: Lake) -> None:
    if os.environ.get("BACKLINE_TEST_SPARK"):
        pytest.skip("modes are the running server's")
    ensure_table(spark, lake, contract())
    _publish(spark, lake, HOURS[0], 1)
    table = Path(lake.table("charts/skip_rate"))
    folders = [table, *(path for path in table.rglob("*") if path.is_dir())]
    assert {path.name for path in folders} >= {"skip_rate", "_delta_log", f"hour={HOURS[0]}"}
    assert [path for path in folders if path.stat().st_mode & 0o077] == []  # who may not enter reads no file in it
    assert [path for path in table.rglob("*.parquet") if path.stat().st_mode & 0o077] == []


def test_an_empty_hour_costs_a_commit_only_where_rows_were(spark: SparkSession, lake: Lake) -> None:
    ensure_table(spark, lake, contract())
    table = lake.table("charts/skip_rate")
    before = _publish(spark, lake, HOURS[0], 1, 2)
    asked: list[int] = []
    untouched = publish(lake, contract(), "table", {}, HOURS[1:3], "run-2", 2, lambda: asked.append(1))
    assert (untouched.changed, untouched.version, head_version(table)) == (False, before, before)
    assert asked == [1]  # the fence is looked at all the same
    emptied = publish(lake, contract(), "table", {}, HOURS[:3], "run-3", 3)
    assert emptied.changed
    assert found(spark.read.format("delta").load(table)) == []


def test_a_publish_replaces_its_hours_and_no_other(spark: SparkSession, lake: Lake) -> None:
    ensure_table(spark, lake, contract())
    table = lake.table("charts/skip_rate")
    _publish(spark, lake, HOURS[0], 1, 2)
    first = _publish(spark, lake, HOURS[1], 3)
    second = _publish(spark, lake, HOURS[0], 9, run="run-2", fence=7)
    assert found(read_table(spark, table, second, HOURS[:2], "hour")) == [(HOURS[0], "t0", 9), (HOURS[1], "t0", 3)]
    assert found(read_table(spark, table, first, HOURS[:1], "hour")) == [(HOURS[0], "t0", 1), (HOURS[0], "t1", 2)]  # the old version is still there
    assert read_table(spark, table, second, [], "hour").count() == 0
    assert delta_log.entries(table)[-1].signature == {"by": "backline", "run": "run-2", "fence": 7, "keys": [HOURS[0]]}


def test_what_is_published_are_the_staged_files_and_what_was_not_committed_is_taken_back(spark: SparkSession, lake: Lake) -> None:
    ensure_table(spark, lake, contract())
    table = lake.table("charts/skip_rate")
    files = staged(lake, contract(), rows(spark, HOURS[0], 4, 5), HOURS[:1])
    before = sorted(Path(file).read_bytes() for file in files[HOURS[0]])
    commit = publish(lake, contract(), "table", files, HOURS[:1], "run-1", 1)
    there = [file for file in Path(table).rglob("*.parquet") if "_delta_log" not in file.parts]
    assert sorted(file.read_bytes() for file in there) == before
    assert (commit.rows, commit.size) == (2, sum(map(len, before)))
    assert not any(Path(file).exists() for file in files[HOURS[0]])

    def lost() -> None:
        raise PermissionError("fence 1 was taken over")

    with pytest.raises(PermissionError):
        publish_frame(lake, contract(), rows(spark, HOURS[0], 9), HOURS[:1], before_commit=lost)
    assert {file for file in Path(table).rglob("*.parquet") if "_delta_log" not in file.parts} == set(there)


def test_what_a_died_try_left_in_the_folder_is_no_part_of_the_table(spark: SparkSession, lake: Lake) -> None:
    ensure_table(spark, lake, contract())
    table = lake.table("charts/skip_rate")
    Path(table, f"hour={HOURS[3]}").mkdir()
    Path(table, f"hour={HOURS[3]}", "part-of-a-try-that-died.parquet").write_bytes(b"")
    version = _publish(spark, lake, HOURS[3], 5)
    assert found(read_table(spark, table, version, HOURS[:4], "hour")) == [(HOURS[3], "t0", 5)]


def test_a_range_is_one_commit_from_staged_files(spark: SparkSession, lake: Lake) -> None:
    ensure_table(spark, lake, contract())
    table = lake.table("charts/skip_rate")
    with staging_folder(lake, "run-1", "charts/skip_rate") as folder:
        for i, hour in enumerate(HOURS[:3]):
            rows(spark, hour, *range(i)).write.parquet(f"{folder}/{hour}")  # the first is empty
        files = {hour: staged_files(f"{folder}/{hour}") for hour in HOURS[:3]}
        commit = publish(lake, contract(), "table", files, HOURS[:3], "run-1", 1)
    assert (commit.changed, commit.rows, commit.tries) == (True, 3, 1)
    assert commit.version == 1 == head_version(table)
    assert [(h, t) for h, t, _ in found(read_table(spark, table, 1, HOURS[:3], "hour"))] == [(HOURS[1], "t0"), (HOURS[2], "t0"), (HOURS[2], "t1")]
    assert list(Path(lake.staging_root).iterdir()) == []


def test_a_commit_that_the_disk_did_not_take_is_not_said_to_be_published(spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be seen, and a power cut may take it back: nobody may record it."""
    ensure_table(spark, lake, contract())
    table, sync = lake.table("charts/skip_rate"), files._sync

    def full(path: str | Path) -> None:
        if "_delta_log" in str(path):
            raise OSError(errno.EIO, "Input/output error", str(path))
        sync(path)

    monkeypatch.setattr(files, "_sync", full)
    with pytest.raises(OSError, match="Input/output error") as caught:
        publish_frame(lake, contract(), rows(spark, HOURS[0], 1), HOURS[:1], "run-1")
    monkeypatch.setattr(files, "_sync", sync)
    assert kind_of(caught.value) is FailureKind.DISK
    assert publish_frame(lake, contract(), rows(spark, HOURS[0], 2), HOURS[:1], "run-2", 2).version == 2
    assert [starts for _, _, starts in found(read_table(spark, table, 2, HOURS[:1], "hour"))] == [2]


def test_what_is_staged_beside_large_writers_has_less_room_and_is_written(spark: SparkSession, tmp_path: Path) -> None:
    """Parquet shares a heap among all open writers: the smallest must not fail for it, whoever else writes."""
    slow = "id + length(coalesce(java_method('java.lang.Thread', 'sleep', 500L), '')) AS id"
    large = spark.range(600).coalesce(1).selectExpr(slow).write.option("parquet.block.size", 1 << 40)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(large.parquet, str(tmp_path / "large"))
        assert wait_until(lambda: done.done() or any((tmp_path / "large").rglob("*.parquet")), 60)
        staged_writer(spark.range(3)).parquet(str(tmp_path / "small"))
        assert not done.done(), "nothing was written beside it"
        spark.interruptAll()
        with pytest.raises(PySparkException):
            done.result()
    assert spark.read.parquet(str(tmp_path / "small")).count() == 3


def test_staged_day_folders_stay_strings(spark: SparkSession, lake: Lake) -> None:
    daily = contract(cadence="daily")
    with staging_folder(lake, "run-1", "charts/skip_rate") as folder:
        rows(spark, "2026-10-01", 1, column="day").write.partitionBy("day").parquet(f"{folder}/all")
        staged = read_staged(spark, daily, [f"{folder}/all"], failed=True)
        assert staged.schema["day"].dataType.simpleString() == "string"
        assert [(r["day"], r["_failed"]) for r in staged.collect()] == [("2026-10-01", None)]


def test_nothing_over_nothing_makes_no_commit(spark: SparkSession, lake: Lake) -> None:
    ensure_table(spark, lake, contract())
    table = lake.table("charts/skip_rate")
    commit = publish_frame(lake, contract(), empty_table(spark, contract()), HOURS[:2])
    assert (commit.version, commit.changed) == (0, False)
    version = _publish(spark, lake, HOURS[0], 1)
    emptied = publish_frame(lake, contract(), empty_table(spark, contract()), HOURS[:1], "run-2", 2)
    assert (emptied.version, emptied.changed, emptied.rows) == (version + 1, True, 0)
    assert read_table(spark, table, emptied.version, HOURS, "hour").count() == 0


def test_rows_of_another_hour_and_null_keys_are_refused_whole(spark: SparkSession, lake: Lake) -> None:
    ensure_table(spark, lake, contract())
    table = lake.table("charts/skip_rate")
    for bad in (rows(spark, HOURS[1], 1), rows(spark, HOURS[0], 1).withColumn("track_id", F.lit(None).cast("string"))):
        with pytest.raises(NotOfTable, match=HOURS[0]):
            publish_frame(lake, contract(), bad, HOURS[:1])
    assert head_version(table) == 0
    assert [file for file in Path(table).rglob("*.parquet") if "_delta_log" not in file.parts] == []


def test_a_publish_needs_a_table_and_keys_of_its_cadence(spark: SparkSession, lake: Lake) -> None:
    table = lake.table("charts/skip_rate")
    with pytest.raises(NoTable, match="backline apply"):
        publish(lake, contract(), "table", {}, HOURS[:1], "run-1", 1)
    assert not Path(table).exists()
    with pytest.raises(PartitionKeyError, match="partitioned by hour"):
        publish(lake, contract(), "table", {}, ["2026-10-01"], "run-1", 1)
    with pytest.raises(PartitionKeyError):
        publish(lake, contract(), "table", {}, ["x' OR '1'='1"], "run-1", 1)
    with pytest.raises(PartitionKeyError, match="not published"):
        publish(lake, contract(), "table", {HOURS[1]: []}, HOURS[:1], "run-1", 1)


def test_disjoint_hours_publish_at_the_same_time(spark: SparkSession, lake: Lake) -> None:
    ensure_table(spark, lake, contract())
    table = lake.table("charts/skip_rate")
    frames = {hour: staged(lake, contract(), rows(spark, hour, i), [hour]) for i, hour in enumerate(HOURS[:6])}
    start, turn = threading.Barrier(3), threading.Lock()

    def one(hours: list[str]) -> list[int]:
        start.wait()
        return [publish(lake, contract(), "table", frames[hour], [hour], f"run-{hour}", 1, turn=lambda: turn).tries for hour in hours]

    with ThreadPoolExecutor(3) as pool:
        tries = [n for some in pool.map(one, (HOURS[0:2], HOURS[2:4], HOURS[4:6])) for n in some]
    assert tries == [1] * 6
    assert found(read_table(spark, table, 6, HOURS, "hour")) == [(hour, "t0", i) for i, hour in enumerate(HOURS[:6])]


def test_the_same_hour_at_the_same_time_is_tried_again_and_one_wins_whole(spark: SparkSession, lake: Lake) -> None:
    ensure_table(spark, lake, contract())
    table = lake.table("charts/skip_rate")
    _publish(spark, lake, HOURS[0], 0)
    frames = [staged(lake, contract(), rows(spark, HOURS[0], i, i, i), HOURS[:1]) for i in range(1, 5)]
    start = threading.Barrier(4)
    asked: list[int] = []

    def one(i: int) -> int:
        start.wait()
        return publish(lake, contract(), "table", frames[i], HOURS[:1], f"run-{i}", i, before_commit=lambda: asked.append(i)).tries

    with ThreadPoolExecutor(4) as pool:
        tries = list(pool.map(one, range(4)))
    assert sum(tries) == len(asked) > 4  # somebody lost a race; every try asked first whether it may
    last = delta_log.entries(table)[-1]
    assert last.signature is not None
    winner = last.signature["fence"]
    assert [n for _, _, n in found(read_table(spark, table, last.version, HOURS[:1], "hour"))] == [winner + 1] * 3


def test_who_commits_between_our_look_and_our_commit_is_seen_though_the_partition_was_empty(
    spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deltalake import DeltaTable

    ensure_table(spark, lake, contract())
    real, others = DeltaTable.create_write_transaction, [staged(lake, contract(), rows(spark, HOURS[0], 7), HOURS[:1])]

    def later(table: DeltaTable, *given: Any, **more: Any) -> None:
        if others:
            publish(lake, contract(), "table", others.pop(), HOURS[:1], "run-2", 2)
        real(table, *given, **more)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", later)
    commit = publish_frame(lake, contract(), rows(spark, HOURS[0], 5), HOURS[:1])
    assert (commit.tries, commit.version) == (2, 2)
    assert found(spark.read.format("delta").load(lake.table("charts/skip_rate"))) == [(HOURS[0], "t0", 5)]


@pytest.mark.parametrize("moment", ["before it", "after it"])
def test_a_publish_that_is_cancelled_at_its_commit_loses_no_file(spark: SparkSession, lake: Lake, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from deltalake import DeltaTable

    ensure_table(spark, lake, contract())
    table, real = lake.table("charts/skip_rate"), DeltaTable.create_write_transaction

    def cancelled(delta: DeltaTable, *given: Any, **more: Any) -> None:
        if moment == "after it":
            real(delta, *given, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DeltaTable, "create_write_transaction", cancelled)
        with pytest.raises(KeyboardInterrupt):
            _publish(spark, lake, HOURS[0], 5)
    left = [file for file in Path(table).rglob("*.parquet") if "_delta_log" not in file.parts]
    committed = moment == "after it"
    assert (len(left), head_version(table)) == (int(committed), int(committed))
    assert found(spark.read.format("delta").load(table)) == ([(HOURS[0], "t0", 5)] if committed else [])


def test_a_lost_fence_stops_the_publish(spark: SparkSession, lake: Lake) -> None:
    ensure_table(spark, lake, contract())

    def lost() -> None:
        raise PermissionError("fence 1 was taken over")

    with pytest.raises(PermissionError):
        publish_frame(lake, contract(), rows(spark, HOURS[0], 1), HOURS[:1], before_commit=lost)
    assert head_version(lake.table("charts/skip_rate")) == 0


def test_what_a_later_commit_may_have_changed_is_told(spark: SparkSession, lake: Lake) -> None:
    ensure_table(spark, lake, contract())
    table = lake.table("charts/skip_rate")
    known = {HOURS[0]: _publish(spark, lake, HOURS[0], 1), HOURS[1]: _publish(spark, lake, HOURS[1], 2)}
    ensure_table(spark, lake, contract(description="Starts, told anew."))
    assert delta_log.changed_since(table, known) == {}
    _publish(spark, lake, HOURS[1], 3, run="killed before it recorded")
    assert set(delta_log.changed_since(table, known)) == {HOURS[1]}
    spark.sql(f"DELETE FROM delta.`{table}` WHERE starts = 1").collect()
    assert set(delta_log.changed_since(table, known)) == set(HOURS[:2])
    assert delta_log.changed_since(table, known)[HOURS[0]].operation == "DELETE"


def test_a_table_follows_its_contract(spark: SparkSession, lake: Lake) -> None:
    ensure_table(spark, lake, contract())
    table = lake.table("charts/skip_rate")
    _publish(spark, lake, HOURS[0], 1)
    track, starts, *_ = COLUMNS
    changed = (
        starts.model_copy(update={"nullable": True, "description": "Said anew"}),
        Column(name="plays", type="BIGINT", description="Of these, heard"),
        track,
    )
    assert ensure_table(spark, lake, contract(columns=changed))[0].startswith("charts.skip_rate: changed its table")
    assert ensure_table(spark, lake, contract(columns=changed)) == []
    schema = spark.read.format("delta").load(table).schema
    assert schema["starts"].nullable
    assert schema["starts"].metadata["comment"] == "Said anew"
    assert schema["plays"].nullable  # though the contract says not: the older hour has none
    fits = spark.createDataFrame([("t0", None, 4, HOURS[1])], "track_id string, starts bigint, plays bigint, hour string")
    publish_frame(lake, contract(columns=changed), fits, HOURS[1:2], "run-2", 2)
    assert sorted((r["hour"], r["plays"]) for r in spark.read.format("delta").load(table).collect()) == [(HOURS[0], None), (HOURS[1], 4)]
    for entry in delta_log.entries(table):
        assert entry.signature is not None


def test_records_inside_columns_get_new_fields(spark: SparkSession, lake: Lake) -> None:
    before = (Column(name="legs", type="ARRAY<STRUCT<a: INT>>", nullable=True), Column(name="place", type="STRUCT<x: STRUCT<y: INT>>", nullable=True))
    after = (Column(name="legs", type="ARRAY<STRUCT<a: INT, b: STRING>>", nullable=True), Column(name="place", type="STRUCT<x: STRUCT<y: INT, z: DATE>>"))
    ensure_table(spark, lake, contract(columns=before, unique=()))
    ensure_table(spark, lake, contract(columns=after, unique=()))
    schema = spark.read.format("delta").load(lake.table("charts/skip_rate")).schema
    assert schema["legs"].dataType.simpleString() == "array<struct<a:int,b:string>>"
    assert schema["place"].dataType.simpleString() == "struct<x:struct<y:int,z:date>>"


@pytest.mark.parametrize(
    ("change", "words"),
    [({"columns": (COLUMNS[0], COLUMNS[1].model_copy(update={"type": "STRING"}))}, "starts is bigint"), ({"cadence": "daily"}, "not partitioned by day")],
)
def test_what_cannot_be_changed_is_refused_before_anything_is(spark: SparkSession, lake: Lake, change: dict[str, object], words: str) -> None:
    ensure_table(spark, lake, contract())
    with pytest.raises(TableError, match=words):
        ensure_table(spark, lake, contract(**change))  # type: ignore[arg-type]
    assert head_version(lake.table("charts/skip_rate")) == 0


def test_a_change_of_the_table_while_hours_are_published(spark: SparkSession, engines: SparkEngines, lake: Lake) -> None:
    ensure_table(spark, lake, contract())
    table = lake.table("charts/skip_rate")
    frames = [staged(lake, contract(), rows(spark, hour, 1), [hour]) for hour in HOURS[:5]]
    turn = threading.Lock()  # as the ledger's
    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(
            lambda: [publish(lake, contract(), "table", f, [h], "run-1", 1, turn=lambda: turn) for f, h in zip(frames, HOURS, strict=False)]
        )
        other = engines.engine("lake").session(f"apply-{lake.root}")
        for i in range(4):
            with turn:
                ensure_table(other, lake, contract(description=f"Told {i} times."))
        publishing.result()
    engines.engine("lake").release(f"apply-{lake.root}")
    assert [h for h, _, _ in found(spark.read.format("delta").load(table))] == HOURS[:5]
