"""Existing tables published as an endpoint's partitions: judged as builds are, once per content, left alone by all but a person, resumable anywhere."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from platform_defs.cli.main import cli
from platform_defs.contracts import Schema, T, field
from platform_defs.contracts.loading import Declared
from platform_defs.contracts.partitions import key_of, shift
from platform_defs.execution.existing import Existing, ImportRefused
from platform_defs.execution.importing import AT_A_TIME, Importer, ImportStep
from platform_defs.execution.results import PartitionResult
from platform_defs.lake import delta_log
from platform_defs.lake.records import BuildRecord, read_records
from platform_defs.ledger import Ledger
from platform_defs.ledger.attended import attended, end_dead
from platform_defs.ledger.looking import look
from platform_defs.ledger.rebuild import rebuild
from platform_defs.planning.states import PartitionState
from resources.spark import SparkEngines
from tests.fixtures.tables import Tables
from tests.spark.execution.contracts import column
from tests.spark.execution.workshop import NOW, Workshop, same

KEY, EVENTS = "charts/plays", "listening/played"
H0, H1, H2 = (f"2026-10-01T0{hour}" for hour in range(3))
Rows = Mapping[str, Sequence[tuple[str, int]]]


class Plays(Schema):
    """Plays of each track."""

    track: T.StringType = field()
    plays: T.LongType = field(ge=0, on_fail="quarantine")

    class Config(Schema.Config):
        unique = ["track"]


class Paid(Schema):
    """What was paid."""

    day_paid: T.DateType = field()
    amount: Annotated[T.DecimalType, 10, 2] = field(nullable=True)
    seen: T.TimestampType = field()
    note: T.StringType = field(nullable=True)


def count(played: DataFrame) -> DataFrame:
    return played.groupBy("track").agg(F.count("*").alias("plays"))


@pytest.fixture
def shop(tmp_path: Path, engines: SparkEngines, ledger: Ledger, tables: Tables) -> Iterator[Workshop]:
    made = Workshop.at(tmp_path, engines, ledger, lambda: NOW, tables)
    yield made
    made.close()


@pytest.fixture
def plays(shop: Workshop) -> Declared:
    shop.input(EVENTS, column("track", "STRING"))
    return shop.declare(count, Plays, [same("played", EVENTS)], key=KEY)


def folders(path: Path, rows: Rows, name: str = "hour", **types: Any) -> str:
    """A table in hive-style folders."""
    schema = pa.schema([("track", pa.string()), ("plays", types.get("plays", pa.int64()))])
    for key, group in rows.items():
        folder = path / f"{name}={key}"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([{"track": track, "plays": plays} for track, plays in group], schema), folder / f"{uuid.uuid4()}.parquet")
    return str(path)


def bring(shop: Workshop, declared: Declared, existing: Existing, *, do_replace: bool = False, **span: Any) -> dict[str, PartitionResult]:
    """Imports as the command does."""
    with attended(shop.platform.ledger, f"import-{declared.contract.table}") as run:
        assert run is not None
        importer = Importer(declared, shop.contracts, existing, shop.platform, run, replace=do_replace)
        results = [result for part in importer.run(importer.look(**span)) for result in part]
        shop.platform.engines.engine("lake").release(run)
    return {result.key: result for result in results}


def outcomes(results: Mapping[str, PartitionResult]) -> dict[str, str]:
    return {key: result.outcome for key, result in results.items()}


def decided(shop: Workshop, key: str) -> PartitionState:
    return look(shop.platform.ledger, [(KEY, key)], NOW)[KEY, key].state


def test_partitions_come_in_as_a_build_publishes_them(shop: Workshop, plays: Declared, tmp_path: Path, new_ledger: Callable[[], Ledger]) -> None:
    old = folders(tmp_path / "old", {H0: [("a", 2), ("b", 1)], H2: [("c", 5), ("d", -1)]})
    assert decided(shop, H0) == PartitionState.WAITING
    results = bring(shop, plays, Existing.at(old), empty=True)
    assert [(key, one.outcome, one.rows) for key, one in results.items()] == [(H0, "published", 2), (H1, "published", 0), (H2, "published", 1)]
    assert [check.name for check in results[H0].checks] == ["contract", "volume", "complete"]
    assert shop.rows() == [{"track": "a", "plays": 2, "hour": H0}, {"track": "b", "plays": 1, "hour": H0}, {"track": "c", "plays": 5, "hour": H2}]
    assert [(row["track"], row["_failed"]) for row in shop.rows(lane="quarantine")] == [("d", ["plays:greater_than_or_equal_to"])]
    published = shop.platform.ledger.partitions.published(KEY, [H0, H1, H2])
    assert {one.origin for one in published.values()} == {"imported"}
    assert {decided(shop, key) for key in (H0, H1, H2)} == {PartitionState.CURRENT}
    (write,) = [entry for entry in delta_log.entries(shop.platform.lake.table(KEY)) if entry.operation == "WRITE"]
    assert write.signature is not None
    (record,) = read_records(shop.platform.lake)
    assert isinstance(record, BuildRecord)
    assert (record.run_id, {each.origin for each in record.published}) == (write.signature["run"], {"imported"})
    # A ledger made anew from the records says the same.
    fresh = new_ledger()
    fresh.registry.apply(list(shop.contracts.values()), "test")
    rebuild(fresh, [], [record])
    assert {one.origin for one in fresh.partitions.published(KEY, [H0, H1, H2]).values()} == {"imported"}


def test_equal_content_is_imported_once(shop: Workshop, plays: Declared, tmp_path: Path) -> None:
    rows: dict[str, list[tuple[str, int]]] = {H0: [("a", 2), ("b", 1)], H1: [("a", 1)]}
    bring(shop, plays, Existing.at(folders(tmp_path / "old", rows)))
    version = delta_log.newest(shop.platform.lake.table(KEY))
    # In other files, other code by now, and in another format.
    newer = replace(plays, contract=plays.contract.model_copy(update={"code_version": "2"}))
    assert {one.reason.partition(",")[0] for one in bring(shop, newer, Existing.at(folders(tmp_path / "again", dict(reversed(rows.items()))))).values()} == {
        "imported already"
    }
    csv = tmp_path / "old.csv"
    csv.write_text("plays,track,at\n1,b,2026-10-01 00:10:00\n2,a,2026-10-01T02:59:59+02:00\n7,a,2026-10-01 01:30:00\n")
    third = bring(shop, newer, Existing.at(str(csv), partition="at"))
    assert outcomes(third) == {H0: "skipped", H1: "published"}
    assert delta_log.newest(shop.platform.lake.table(KEY)) == (version or 0) + 1
    assert [row["plays"] for row in shop.rows() if row["hour"] == H1] == [7]


def test_what_is_refused_stays_out_and_leaves_no_trouble(shop: Workshop, plays: Declared, tmp_path: Path) -> None:
    rows: Rows = {H0: [("a", 2), ("a", 1)], H1: [("a", 1)]}
    results = bring(shop, plays, Existing.at(folders(tmp_path / "old", rows)))
    assert outcomes(results) == {H0: "refused", H1: "published"}
    assert "more than once" in results[H0].reason
    assert [row["hour"] for row in shop.rows()] == [H1]
    assert shop.platform.ledger.troubles.all() == {}
    assert decided(shop, H0) == PartitionState.WAITING
    (record,) = read_records(shop.platform.lake)
    assert isinstance(record, BuildRecord)
    assert record.refused == ()
    # The next import of the mended table brings it in.
    results = bring(shop, plays, Existing.at(folders(tmp_path / "mended", {**rows, H0: [("a", 3)]})))
    assert outcomes(results) == {H0: "published", H1: "skipped"}


def test_a_build_leaves_imported_partitions_to_a_person(shop: Workshop, plays: Declared, tmp_path: Path) -> None:
    bring(shop, plays, Existing.at(folders(tmp_path / "old", {hour: [("old", 9)] for hour in (H0, H1, H2)})))
    waiting = shop.build(plays, H0)  # its inputs are not there, and nobody minds
    assert (waiting[H0].outcome, waiting[H0].reason.endswith("left alone")) == ("skipped", True)
    shop.fill(EVENTS, {hour: [("new",)] for hour in (H0, H1, H2)})
    assert set(outcomes(shop.build(plays, H0, H1, H2, trigger="schedule")).values()) == {"skipped"}
    assert decided(shop, H0) == PartitionState.CURRENT
    assert outcomes(shop.build(plays, H0, trigger="click")) == {H0: "published"}
    assert outcomes(shop.build(plays, H0, H1, force=True)) == {H0: "published", H1: "published"}
    origins = {key: one.origin for key, one in shop.platform.ledger.partitions.published(KEY, [H0, H1, H2]).items()}
    assert origins == {H0: "built", H1: "built", H2: "imported"}
    assert sorted((row["hour"], row["track"]) for row in shop.rows()) == [(H0, "new"), (H1, "new"), (H2, "old")]


def test_what_was_built_is_left_alone_unless_replaced(shop: Workshop, plays: Declared, tmp_path: Path) -> None:
    shop.fill(EVENTS, {H0: [("new",)], H1: [("new",)]})
    shop.build(plays, H0)
    seen = shop.platform.ledger.partitions.published(KEY, [H0])[H0]
    old = Existing.at(folders(tmp_path / "old", {H0: [("old", 9)], H1: [("old", 9)]}))
    first = bring(shop, plays, old)
    assert outcomes(first) == {H0: "skipped", H1: "published"}
    assert first[H0].reason == f"built by run {seen.run_id}, left alone"
    assert shop.platform.ledger.partitions.published(KEY, [H0])[H0] == seen  # not even seen: a stale partition must stay stale
    assert outcomes(bring(shop, plays, old, do_replace=True)) == {H0: "published", H1: "skipped"}
    assert shop.platform.ledger.partitions.published(KEY, [H0])[H0].origin == "imported"


@pytest.mark.parametrize(
    ("kind", "values", "cadence"),
    [
        (pa.timestamp("us", tz="UTC"), [datetime(2026, 10, 1, 1, 59, 59, tzinfo=UTC), datetime(2026, 10, 1, 2, tzinfo=UTC)], "hourly"),
        (pa.timestamp("us"), [datetime.fromisoformat("2026-10-01T01:59:59"), datetime.fromisoformat("2026-10-01T02:00:00")], "hourly"),
        (pa.string(), ["2026-10-01T01", "2026-10-01 02"], "hourly"),
        (pa.string(), ["2026-10-01T03:10:00+02:00", "2026-10-01 02:00:00"], "hourly"),
        (pa.int64(), [2026100101, 2026100102], "hourly"),
        (pa.date32(), [date(2026, 10, 1), date(2026, 9, 30)], "daily"),
        (pa.int32(), [20261001, 20260930], "daily"),
        (pa.string(), ["2026-10-01 23:59:59", "2026-10-01T00:30:00+01:00"], "daily"),
    ],
)
def test_a_column_may_say_the_partition_in_many_ways(shop: Workshop, tmp_path: Path, kind: Any, values: list[Any], cadence: str) -> None:
    declared = shop.declare(count, Plays, key=KEY, cadence=cadence)
    table = pa.table({"track": ["a", "b"], "plays": pa.array([1, 2], pa.int32()), "at": pa.array(values, kind)})
    pq.write_table(table, tmp_path / "old.parquet")
    with attended(shop.platform.ledger, "import-charts.plays") as run:
        importer = Importer(declared, shop.contracts, Existing.at(str(tmp_path / "old.parquet"), partition="at"), shop.platform, str(run), replace=False)
        found = importer.look()
        wanted = (H1, H2) if cadence == "hourly" else ("2026-09-30", "2026-10-01")
        assert (found.keys, set(found.rows.values())) == (wanted, {1})
        shop.platform.engines.engine("lake").release(str(run))


def test_a_delta_table_is_read_at_one_version(shop: Workshop, plays: Declared, tmp_path: Path) -> None:
    path = str(tmp_path / "old")
    frame = shop.session().createDataFrame([("a", 1, H0), ("b", 2, H1)], "track STRING, plays SMALLINT, dt STRING")
    frame.write.format("delta").partitionBy("dt").save(path)
    existing = Existing.at(path, partition="dt")
    frame.write.format("delta").mode("append").save(path)
    assert outcomes(bring(shop, plays, existing, first=H1)) == {H1: "published"}
    assert outcomes(bring(shop, plays, Existing.at(path, partition="dt"))) == {H0: "refused", H1: "refused"}  # twice there by now
    assert [(row["track"], row["plays"]) for row in shop.rows()] == [("b", 2)]


def test_csv_is_read_by_the_contracts_types(shop: Workshop, tmp_path: Path) -> None:
    declared = shop.declare(count, Paid, key="charts/paid", cadence="daily")
    head = "note,day_paid,amount,seen,day\n"
    path = tmp_path / "paid.csv"
    path.write_text(
        head
        + '"a, b",2026-09-01,12.30,2026-09-01T12:00:00Z,2026-09-01\n,2026-09-01,,2026-09-01 13:00:00,2026-09-01\n'
        + "x,2026-09-02,12.345,2026-09-02 00:00:00,2026-09-02\nx,SECRET,1,SECRET,2026-09-02\n"
    )
    results = bring(shop, declared, Existing.at(str(path)))
    assert outcomes(results) == {"2026-09-01": "published", "2026-09-02": "failed"}
    assert results["2026-09-02"].reason == "column day_paid: 1 cell is no DATE; column amount: 1 cell is no DECIMAL(10,2); column seen: 1 cell is no TIMESTAMP"
    assert shop.platform.ledger.troubles.all() == {}
    rows = sorted(shop.rows("charts/paid"), key=lambda row: str(row["seen"]))
    assert [(row["note"], row["amount"], row["day_paid"]) for row in rows] == [("a, b", Decimal("12.30"), date(2026, 9, 1)), (None, None, date(2026, 9, 1))]
    path.write_text(head + "x,2026-09-01,1\n")
    with pytest.raises(ImportRefused, match="cannot be read: a line has more or fewer cells than the header"):
        bring(shop, declared, Existing.at(str(path)))


def test_all_that_does_not_fit_is_said_at_once(shop: Workshop, plays: Declared, tmp_path: Path) -> None:
    table = pa.table({"Track": ["a"], "plays": [1.5], "more": [1]})
    pq.write_table(table, tmp_path / "old.parquet")
    with pytest.raises(ImportRefused) as error:
        bring(shop, plays, Existing.at(str(tmp_path / "old.parquet")))
    path = tmp_path / "old.parquet"
    assert str(error.value).splitlines() == [
        f"{path} has no column track, which {KEY} has; did it call it Track?",
        f"{path} has a column Track, which {KEY} has not: import a copy without it, or add it to the schema",
        f"{path} has a column more, which {KEY} has not: import a copy without it, or add it to the schema",
        f"{path}: column plays is DOUBLE, the contract has BIGINT: import a copy with that type",
        f"{path} has no column hour that says the hour of a row: name one with --partition COLUMN; it has Track, plays, more",
    ]
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(ImportRefused, match=r"bad.parquet cannot be read as parquet: [A-Z]"):
        bring(shop, plays, Existing.at(str(tmp_path / "bad.parquet")))


def test_a_killed_import_holds_nothing_up_and_is_taken_up_again(shop: Workshop, plays: Declared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = [shift("2026-09-01T00", number) for number in range(AT_A_TIME + 2)]
    old = Existing.at(folders(tmp_path / "old", {hour: [("a", 1)] for hour in hours}))
    ledger, compute = shop.platform.ledger, ImportStep.compute
    with monkeypatch.context() as patched:
        patched.setattr(ImportStep, "compute", lambda self, planned, run: _stop() if planned[0].key == hours[-2] else compute(self, planned, run))
        with pytest.raises(KeyboardInterrupt):
            bring(shop, plays, old)
    assert set(ledger.partitions.published(KEY, hours)) == set(hours[:AT_A_TIME])
    assert ledger.leases.holders() == []
    # One that was killed still holds its leases: the next one takes them, and so may any build once a tick has seen it dead.
    for again in (True, False):
        dead = f"import-charts.plays-{uuid.uuid4().hex[:12]}"
        ledger.leases.acquire(KEY, hours[-2:], dead)
        with ledger.forgetting.alone("import-charts.plays") as alive:
            assert alive
            assert end_dead(ledger, ledger.leases.holders()) == 0
        if again:
            assert outcomes(bring(shop, plays, old)) == {**dict.fromkeys(hours[:AT_A_TIME], "skipped"), **dict.fromkeys(hours[-2:], "published")}
        else:
            assert end_dead(ledger, ledger.leases.holders()) == 1
            assert ledger.leases.holders() == []


def _stop() -> Any:
    raise KeyboardInterrupt


def test_the_command_says_what_it_would_do_then_does_it(
    shop: Workshop, plays: Declared, tmp_path: Path, spark_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "home": str(tmp_path),
        "landing": str(tmp_path / "landing"),
        "lake": shop.platform.lake.root,
        "ledger_url": shop.platform.ledger.store.engine.url.render_as_string(hide_password=False),
        "vault_url": "none",
        "storage_url": "none",
        "spark_intake": spark_server,
        "spark_lake": spark_server,
        "collector_url": "http://127.0.0.1:1",
        "assets": str(tmp_path),
    }
    for name, value in values.items():
        monkeypatch.setenv(f"BACKLINE_{name.upper()}", value)
    monkeypatch.setattr("platform_defs.build.loading.load_applied", lambda domain, home: SimpleNamespace(declared={KEY: plays}))
    first, second, third = (key_of("hourly", datetime.now(UTC) - timedelta(days=3) + timedelta(hours=hour)) for hour in (0, 1, 3))
    old = folders(tmp_path / "old", {first: [("a", 1)], second: [("a", 1), ("a", 2)], third: [("a", 1), ("b", -1)]}, "dt")
    hole = f"1 partition between have no row, and are left as they are (first {shift(third, -1)}): --empty imports them as empty"

    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(cli, ["import", KEY, "--from", old, "--partition", "dt", *words])
        assert done.exit_code == code, f"{done.output}{done.exception!r}"
        return done.output

    assert run("--dry-run").splitlines() == [
        hole,
        f"3 partitions, {first} to {third}, 5 rows: their columns fit.",
        "Nothing was published: this was a dry run. Rows are held against the checks when they are imported.",
    ]
    assert shop.platform.ledger.partitions.published(KEY, [first]) == {}
    said = run(code=1).splitlines()
    assert said[:3] == [hole, "2 partitions imported, 2 rows, 1 quarantined", "1 partition not imported; what was published of them stays:"]
    assert said[3].startswith(f"  {second} refused: contract: ")
    told = json.loads(run("--json", code=1))
    assert {key: one["outcome"] for key, one in told["partitions"].items()} == {first: "skipped", second: "refused", third: "skipped"}
    assert "2 partitions of them imported before: again only where their content has changed." in run("--dry-run")
    assert run("--first", first, "--last", first).splitlines() == ["0 partitions imported, 0 rows", "1 partition imported already, with the same content"]
    assert "has no column at that says the hour" in run("--partition", "at", code=2)
    assert "--first 'soon' is no partition" in run("--first", "soon", code=2)
    with attended(shop.platform.ledger, "import-charts.plays"):
        assert f"another import into {KEY} is at work" in run(code=1)
