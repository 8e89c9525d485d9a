"""The way of a partition: built once, skipped when current, rebuilt when its inputs or its code changed; good ones published, bad ones kept out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from platform_defs.contracts import Schema, T, field
from platform_defs.contracts.contract import AsOfInput, WindowInput
from platform_defs.contracts.loading import Declared
from platform_defs.execution.building import WrongPartition, build
from platform_defs.execution.results import FailureKind
from platform_defs.lake import delta_log
from platform_defs.lake.records import BuildRecord, read_records
from tests.spark.execution.contracts import column
from tests.spark.execution.workshop import Workshop, same

H0, H1, H2 = (f"2026-10-01T0{hour}" for hour in range(3))
EVENTS = "listening/played"


class Plays(Schema):
    """Plays of each track."""

    track: T.StringType = field()
    plays: T.LongType = field(ge=1)

    class Config(Schema.Config):
        unique = ["track"]


def count(played: DataFrame) -> DataFrame:
    return played.groupBy("track").agg(F.count("*").alias("plays"))


@pytest.fixture
def plays(shop: Workshop) -> Declared:
    shop.input(EVENTS, column("track", "STRING"))
    return shop.declare(count, Plays, [same("played", EVENTS)])


def fill(shop: Workshop, **hours: list[str]) -> None:
    shop.fill(EVENTS, {f"2026-10-01T{hour[1:]}": [(track,) for track in tracks] for hour, tracks in hours.items()})


def test_a_range_is_built_in_one_commit_and_recorded(shop: Workshop, plays: Declared) -> None:
    fill(shop, h00=["a", "a", "b"], h01=[], h02=["c"])
    results = shop.build(plays, H2, H0, H1)
    assert [(key, each.outcome, each.rows) for key, each in results.items()] == [(H0, "published", 2), (H1, "published", 0), (H2, "published", 1)]
    assert shop.rows() == [
        {"track": "a", "plays": 2, "hour": H0},
        {"track": "b", "plays": 1, "hour": H0},
        {"track": "c", "plays": 1, "hour": H2},
    ]
    writes = [entry for entry in delta_log.entries(shop.platform.lake.table("charts/plays")) if entry.operation == "WRITE"]
    assert len(writes) == 1
    assert writes[0].signature is not None
    assert writes[0].signature["run"] == shop.runs[-1]
    published = shop.platform.ledger.partitions.published("charts/plays", [H0, H1, H2])
    assert {key: (each.rows, each.version) for key, each in published.items()} == {H0: (2, 1), H1: (0, 1), H2: (1, 1)}
    assert [check.name for check in results[H0].checks] == ["contract", "volume", "complete"]
    assert all(check.passed for check in results[H0].checks)
    (record,) = read_records(shop.platform.lake)
    assert isinstance(record, BuildRecord)
    assert [(each.key, each.content) for each in record.published] == [(key, published[key].content.hex()) for key in (H0, H1, H2)]
    assert record.fence == writes[0].signature["fence"]
    assert shop.platform.ledger.leases.of_run(shop.runs[-1]) == {}


class Pools(Schema):
    """Where the work was done."""

    pool: T.StringType = field()


@pytest.mark.parametrize(("tier", "pool"), [("high", "high"), ("normal", "none"), ("low", "low")])
def test_work_is_done_in_the_pool_of_its_tier(shop: Workshop, tier: str, pool: str) -> None:
    def tell(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            said = TaskContext.get().getLocalProperty("spark.scheduler.pool") or "none"
            yield pa.RecordBatch.from_pydict({"pool": [said] * batch.num_rows})

    shop.input(EVENTS, column("track", "STRING"))
    fill(shop, h00=["a"])
    declared = shop.declare(lambda played: played.mapInArrow(tell, "pool STRING"), Pools, [same("played", EVENTS)], tier=tier)
    assert shop.build(declared, H0)[H0].outcome == "published"
    assert shop.rows() == [{"pool": pool, "hour": H0}]


def test_current_partitions_are_skipped_and_changed_ones_rebuilt(shop: Workshop, plays: Declared) -> None:
    fill(shop, h00=["a"], h01=["b"])
    first = shop.build(plays, H0, H1)
    fill(shop, h01=["b", "b"])
    second = shop.build(plays, H0, H1)
    assert [each.outcome for each in second.values()] == ["skipped", "published"]
    assert second[H0].reason == f"current, built by run {shop.runs[0]}"
    assert (second[H0].rows, second[H0].version, second[H0].metadata["built by"]) == (1, first[H0].version, shop.runs[0])
    assert shop.rows()[1] == {"track": "b", "plays": 2, "hour": H1}


def test_other_code_rebuilds_and_equal_rows_have_equal_content(shop: Workshop, plays: Declared) -> None:
    fill(shop, h00=["a"])
    shop.build(plays, H0)
    before = shop.platform.ledger.partitions.published("charts/plays", [H0])[H0]
    newer = replace(plays, contract=plays.contract.model_copy(update={"code_version": "2"}))
    assert shop.build(newer, H0)[H0].outcome == "published"
    after = shop.platform.ledger.partitions.published("charts/plays", [H0])[H0]
    assert (before.content, before.code, after.code) == (after.content, "1", "2")


def test_force_and_click_rebuild_unless_it_was_built_since(shop: Workshop, plays: Declared) -> None:
    fill(shop, h00=["a"])
    shop.build(plays, H0)
    assert shop.build(plays, H0, force=True)[H0].outcome == "published"
    assert shop.build(plays, H0, trigger="click")[H0].outcome == "published"
    early = shop.platform.clock() - timedelta(minutes=1)
    assert shop.build(plays, H0, trigger="click", requested_at=early)[H0].reason.endswith("after this was asked for")


def test_a_table_somebody_else_wrote_to_is_not_current(shop: Workshop, plays: Declared) -> None:
    fill(shop, h00=["a"])
    shop.build(plays, H0)
    shop.session().sql(f"DELETE FROM delta.`{shop.platform.lake.table('charts/plays')}`").collect()
    assert shop.build(plays, H0)[H0].outcome == "published"
    assert len(shop.rows()) == 1
    assert shop.build(plays, H0)[H0].outcome == "skipped"


def test_a_partition_waits_for_its_inputs_by_name(shop: Workshop, plays: Declared) -> None:
    fill(shop, h00=["a"])
    results = shop.build(plays, H0, H1)
    assert [each.outcome for each in results.values()] == ["published", "waiting"]
    assert results[H1].waiting_for == (f"{EVENTS} {H1}",)


def test_a_day_waits_for_its_missing_hours_and_counts_hours_before_start_as_empty(shop: Workshop) -> None:
    shop.input(EVENTS, column("track", "STRING"), start="2026-10-01T20")
    daily = shop.declare(count, Plays, [same("played", EVENTS)], cadence="daily")
    hours = {f"2026-10-01T{hour}": [("a",)] for hour in (20, 22)}
    shop.fill(EVENTS, hours)
    waiting = shop.build(daily, "2026-10-01")["2026-10-01"]
    assert waiting.waiting_for == (f"{EVENTS} 2026-10-01T21", f"{EVENTS} 2026-10-01T23")
    shop.fill(EVENTS, {"2026-10-01T21": [], "2026-10-01T23": [("b",)]})
    assert shop.build(daily, "2026-10-01", "2026-09-30")["2026-10-01"].rows == 2
    assert shop.rows() == [{"track": "a", "plays": 2, "day": "2026-10-01"}, {"track": "b", "plays": 1, "day": "2026-10-01"}]
    assert shop.platform.ledger.partitions.published("charts/plays", ["2026-09-30"])["2026-09-30"].rows == 0


def test_partitions_before_start_are_answered_without_building(shop: Workshop) -> None:
    shop.input(EVENTS, column("track", "STRING"))
    late = shop.declare(count, Plays, [same("played", EVENTS)], start="2026-10-01T02")
    fill(shop, h02=["a"])
    results = shop.build(late, H1, H2)
    assert (results[H1].outcome, results[H1].rows, results[H1].reason) == ("skipped", 0, "before start (2026-10-01T02): empty and complete")
    assert results[H2].outcome == "published"


def test_windows_reach_into_neighbouring_hours(shop: Workshop) -> None:
    shop.input(EVENTS, column("track", "STRING"))
    pair = shop.declare(count, Plays, [WindowInput(param="played", endpoint=EVENTS, unit="hours", first=0, last=1)])
    fill(shop, h00=["a"], h01=["a", "b"])
    results = shop.build(pair, H0, H1)
    assert (results[H0].rows, results[H1].outcome, results[H1].waiting_for) == (2, "waiting", (f"{EVENTS} {H2}",))


class Priced(Schema):
    """Tracks with the price of their snapshot."""

    track: T.StringType = field()
    price: T.IntegerType = field()


def priced(played: DataFrame, prices: DataFrame) -> DataFrame:
    return played.join(prices, "track").select("track", "price", played["hour"])


def test_as_of_takes_the_newest_snapshot_pins_it_and_keeps_it(shop: Workshop) -> None:
    shop.input(EVENTS, column("track", "STRING"))
    shop.input("shop/prices", column("track", "STRING"), column("price", "INT"), cadence="daily")
    declared = shop.declare(priced, Priced, [same("played", EVENTS), AsOfInput(param="prices", endpoint="shop/prices", within_seconds=3 * 86400)])
    fill(shop, h00=["a"])
    assert shop.build(declared, H0)[H0].waiting_for == ("shop/prices 2026-09-30 or an earlier one",)
    shop.fill("shop/prices", {"2026-09-27": [("a", 1)], "2026-10-01": [("a", 9)]})
    assert shop.build(declared, H0)[H0].outcome == "waiting"
    shop.fill("shop/prices", {"2026-09-28": [("a", 2)]})
    assert shop.build(declared, H0)[H0].metadata["prices as of"] == "2026-09-28"
    shop.fill("shop/prices", {"2026-09-29": [("a", 3)]})
    assert shop.build(declared, H0, trigger="late")[H0].outcome == "skipped"
    fill(shop, h00=["a", "a"])
    assert shop.build(declared, H0, trigger="late")[H0].metadata["prices as of"] == "2026-09-28"
    assert shop.build(declared, H0, force=True)[H0].metadata["prices as of"] == "2026-09-29"
    assert [row["price"] for row in shop.rows()] == [3, 3]


def refuse_second(played: DataFrame) -> DataFrame:
    return played.groupBy("track").agg(F.when(F.first("track") == "bad", F.lit(0)).otherwise(F.count("*")).cast("bigint").alias("plays"))


def test_a_refused_partition_stays_out_and_the_last_good_version_stays(shop: Workshop) -> None:
    shop.input(EVENTS, column("track", "STRING"))
    declared = shop.declare(refuse_second, Plays, [same("played", EVENTS)])
    fill(shop, h00=["a"], h01=["b"])
    shop.build(declared, H0, H1)
    fill(shop, h00=["a", "a"], h01=["bad"])
    results = shop.build(declared, H0, H1)
    assert [each.outcome for each in results.values()] == ["published", "refused"]
    failure = results[H1].failure
    assert failure is not None
    assert failure.kind is FailureKind.BROKEN_CONTRACT
    assert "plays: greater_than_or_equal_to(1): 1 row" in failure.words
    assert failure.words.startswith(f"charts/plays {H1} (tests.spark.execution.test_building.refuse_second)")
    assert [(row["track"], row["plays"]) for row in shop.rows()] == [("a", 2), ("b", 1)]
    trouble = shop.platform.ledger.troubles.all()["charts/plays", H1]
    assert (trouble.state, trouble.code) == ("refused", "1")
    records = [each for each in read_records(shop.platform.lake) if isinstance(each, BuildRecord)]
    assert [refused.key for refused in records[-1].refused] == [H1]
    fill(shop, h01=["b"])
    assert shop.build(declared, H1)[H1].outcome == "skipped"
    assert shop.platform.ledger.troubles.all() == {}


class Tolerant(Schema):
    """Rows that may be set aside."""

    track: T.StringType = field()
    n: T.IntegerType = field(ge=0, on_fail="quarantine")


def test_quarantined_rows_go_aside_with_their_rules_and_leave_when_mended(shop: Workshop) -> None:
    shop.input(EVENTS, column("track", "STRING"), column("n", "INT", nullable=True))
    declared = shop.declare(lambda played: played.select("track", "n"), Tolerant, [same("played", EVENTS)])
    shop.fill(EVENTS, {H0: [("a", 1), ("b", -1), ("c", None)], H1: [("d", 4)]})
    result = shop.build(declared, H0, H1)[H0]
    assert (result.outcome, result.rows, result.counts["quarantined"]) == ("published", 1, 2)
    aside = {row["track"]: row["_failed"] for row in shop.rows(lane="quarantine")}
    assert aside == {"b": ["n:greater_than_or_equal_to"], "c": ["n:not_nullable"]}
    shop.fill(EVENTS, {H0: [("a", 1), ("b", 1)]})
    assert shop.build(declared, H0)[H0].counts["quarantined"] == 0
    assert shop.rows(lane="quarantine") == []


class Total(Schema):
    """A running total."""

    total: T.LongType = field(le=5)


def total(played: DataFrame, before: DataFrame) -> DataFrame:
    now, earlier = played.agg(F.count("*").alias("now")), before.agg(F.coalesce(F.sum("total"), F.lit(0)).alias("earlier"))
    return now.crossJoin(earlier).select((F.col("now") + F.col("earlier")).alias("total"))


def running(shop: Workshop) -> Declared:
    shop.input(EVENTS, column("track", "STRING"))
    own = WindowInput(param="before", endpoint="charts/plays", unit="hours", first=-1, last=-1)
    return shop.declare(total, Total, [same("played", EVENTS), own], start=H0)


def test_an_endpoint_that_reads_itself_is_built_in_order(shop: Workshop) -> None:
    declared = running(shop)
    fill(shop, h00=["a"], h01=["b", "c"], h02=["d"])
    assert [each.outcome for each in shop.build(declared, H0, H1, H2).values()] == ["published"] * 3
    assert [row["total"] for row in shop.rows()] == [1, 3, 4]


def test_a_failure_of_an_endpoint_that_reads_itself_ends_the_range_there(shop: Workshop) -> None:
    declared = running(shop)
    fill(shop, h00=["a"], h01=["b"] * 9, h02=["d"])
    results = shop.build(declared, H0, H1, H2)
    assert [each.outcome for each in results.values()] == ["published", "refused", "waiting"]
    assert (results[H2].failure, results[H2].waiting_for) == (None, (f"charts/plays {H1}",))
    assert H1 in results[H2].reason


def test_volume_warns_by_the_same_hour_of_earlier_days(shop: Workshop, plays: Declared) -> None:
    hours = [f"2026-09-{day}T03" for day in range(24, 31)]
    shop.fill(EVENTS, {hour: [(f"t{n}",) for n in range(20 + index % 3)] for index, hour in enumerate(hours)} | {"2026-10-01T03": [("t",)]})
    shop.build(plays, *hours)
    result = shop.build(plays, "2026-10-01T03")["2026-10-01T03"]
    volume = next(check for check in result.checks if check.name == "volume")
    assert (result.outcome, volume.passed, volume.severity) == ("published", False, "warn")
    assert "1 rows, fewer than the usual" in volume.description


def test_spared_partitions_of_a_range_are_left_as_they_are(shop: Workshop, plays: Declared) -> None:
    fill(shop, h00=["a"], h01=["a"], h02=["a"])
    shop.build(plays, H0, H1)
    before = shop.platform.ledger.partitions.published("charts/plays", [H1])
    fill(shop, h00=["a", "b"], h01=["a", "b"], h02=["a"])
    results = shop.build(plays, H0, H1, H2, trigger="late", spared=frozenset({H1, H2}))
    # H2 was never published: there is nothing to spare.
    assert {key: each.outcome for key, each in results.items()} == {H0: "published", H1: "skipped", H2: "published"}
    assert (results[H1].reason, results[H1].rows) == ("not asked for, left alone", 1)
    assert shop.platform.ledger.partitions.published("charts/plays", [H1]) == before
    assert [(row["hour"], row["track"]) for row in shop.rows()] == [(H0, "a"), (H0, "b"), (H1, "a"), (H2, "a")]


def test_keys_of_another_cadence_are_refused(shop: Workshop, plays: Declared) -> None:
    with pytest.raises(WrongPartition, match="charts/plays is hourly: 2026-10-01 is no partition of it"):
        shop.build(plays, "2026-10-01")


def by_hour(played: DataFrame) -> DataFrame:
    return played.groupBy("hour", "track").agg(F.count("*").alias("plays"))


def test_a_ranged_function_gives_the_same_as_single_hours(shop: Workshop) -> None:
    shop.input(EVENTS, column("track", "STRING"))
    ranged = shop.declare(by_hour, Plays, [same("played", EVENTS)], key="charts/ranged", ranged=True)
    single = shop.declare(count, Plays, [same("played", EVENTS)], key="charts/single")
    fill(shop, h00=["a", "a"], h01=[], h02=["a", "b"])
    assert [each.outcome for each in shop.build(ranged, H0, H1, H2).values()] == ["published"] * 3
    shop.build(single, H0, H1, H2)
    assert shop.rows("charts/ranged") == shop.rows("charts/single")
    contents = [{k: v.content for k, v in shop.platform.ledger.partitions.published(key, [H0, H1, H2]).items()} for key in ("charts/ranged", "charts/single")]
    assert contents[0] == contents[1]


def test_a_random_plan_is_not_evaluated_twice(shop: Workshop) -> None:
    """What is inspected, hashed and published are the same staged rows: a plan with rand() would give others each time."""
    shop.input(EVENTS, column("track", "STRING"))

    class Drawn(Schema):
        """A number a row."""

        track: T.StringType = field()
        draw: T.DoubleType = field(ge=0, lt=1)

    declared = shop.declare(lambda played: played.select("track", F.rand().alias("draw")), Drawn, [same("played", EVENTS)])
    fill(shop, h00=[f"t{n}" for n in range(50)])
    shop.build(declared, H0)
    recorded = shop.platform.ledger.partitions.published("charts/plays", [H0])[H0].content
    from platform_defs.execution.quality.contenthash import fold, hash_aggregates

    table = shop.session().read.format("delta").load(shop.platform.lake.table("charts/plays")).drop("hour")
    sums: dict[str, Any] = table.agg(F.count("*").alias("rows"), *hash_aggregates(table.schema)).collect()[0].asDict()
    assert fold(table.columns, sums["rows"], sums) == recorded


def test_nothing_is_left_in_staging(shop: Workshop, plays: Declared) -> None:
    fill(shop, h00=["a"])
    shop.build(plays, H0)
    from platform_defs.lake.files import files_of

    assert files_of(shop.platform.lake.root).names(shop.platform.lake.staging_root) == []


def test_an_input_that_is_not_registered_is_named(shop: Workshop, plays: Declared) -> None:
    work = shop.work(plays, H0)
    (result,) = build(replace(work, contracts={}), shop.platform)
    assert (result.outcome, result.reason) == ("waiting", f"{EVENTS} is not in the registry: run `backline apply`")
