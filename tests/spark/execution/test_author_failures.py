"""What an author can do wrong: each has its typed result that names endpoint, function, partition and what to do, and costs no other partition."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from platform_defs.contracts import Schema, T, field
from platform_defs.execution.results import FailureKind, PartitionResult
from platform_defs.ledger import Ledger
from resources.spark import SparkEngines
from tests.fixtures.tables import Tables
from tests.spark.execution.contracts import column
from tests.spark.execution.workshop import Workshop, same

EVENTS = "listening/played"
GOOD, BAD = "2026-10-01T00", "2026-10-01T01"


class Plays(Schema):
    """Plays of each track."""

    track: T.StringType = field()
    plays: T.LongType = field(ge=1)

    class Config(Schema.Config):
        unique = ["track"]


def counted(played: DataFrame) -> DataFrame:
    return played.groupBy("track").agg(F.count("*").alias("plays"))


def _is_bad(played: DataFrame) -> bool:
    return bool(played.where("track = 'bad'").limit(1).count())


def raises(played: DataFrame) -> Any:
    if _is_bad(played):
        raise LookupError("no such thing")
    return counted(played)


def raises_in_spark(played: DataFrame) -> Any:
    return counted(played).withColumn("plays", F.when(F.col("track") == "bad", F.raise_error(F.lit("in the plan"))).otherwise(F.col("plays")).cast("bigint"))


def unknown_column(played: DataFrame) -> Any:
    return counted(played).select("track", "no_such_column") if _is_bad(played) else counted(played)


def none(played: DataFrame) -> Any:
    return None if _is_bad(played) else counted(played)


def a_list(played: DataFrame) -> Any:
    return counted(played).collect() if _is_bad(played) else counted(played)


def missing(played: DataFrame) -> Any:
    return counted(played).drop("plays") if _is_bad(played) else counted(played)


def extra(played: DataFrame) -> Any:
    return counted(played).withColumn("surplus", F.lit(1)) if _is_bad(played) else counted(played)


def twice(played: DataFrame) -> Any:
    return counted(played).select("track", "plays", F.lit("x").alias("track")) if _is_bad(played) else counted(played)


def wrong_type(played: DataFrame) -> Any:
    return counted(played).withColumn("plays", F.col("plays").cast("int")) if _is_bad(played) else counted(played)


def other_hour(played: DataFrame) -> Any:
    return counted(played).withColumn("hour", F.lit("2026-10-01T09") if _is_bad(played) else F.lit(GOOD))


def hour_is_no_text(played: DataFrame) -> Any:
    return counted(played).withColumn("hour", F.lit(1)) if _is_bad(played) else counted(played)


def duplicates(played: DataFrame) -> Any:
    return counted(played).unionAll(counted(played)) if _is_bad(played) else counted(played)


def null_key(played: DataFrame) -> Any:
    return counted(played).withColumn("track", F.nullif("track", F.lit("bad")))


CASES: list[tuple[Callable[..., Any], str, FailureKind, str]] = [
    (raises, "failed", FailureKind.RAISED, "it raised LookupError: no such thing"),
    (raises_in_spark, "failed", FailureKind.RAISED, "in the plan"),
    (unknown_column, "failed", FailureKind.RAISED, "no_such_column"),
    (none, "failed", FailureKind.NOT_A_FRAME, "it returned None"),
    (a_list, "failed", FailureKind.NOT_A_FRAME, "it returned a list, not a DataFrame"),
    (missing, "failed", FailureKind.MISSING_COLUMNS, "its result lacks plays; it has track"),
    (extra, "failed", FailureKind.EXTRA_COLUMNS, "its result has surplus, which the schema does not"),
    (twice, "failed", FailureKind.EXTRA_COLUMNS, "its result has track more than once"),
    (wrong_type, "failed", FailureKind.WRONG_TYPES, "plays is INT, declared BIGINT"),
    (other_hour, "failed", FailureKind.OTHER_PARTITION, "1 rows of its result are of another hour"),
    (hour_is_no_text, "failed", FailureKind.WRONG_TYPES, "hour is INT, declared STRING"),
    (duplicates, "refused", FailureKind.DUPLICATE_KEYS, "unique(track): 1 key more than once"),
    (null_key, "refused", FailureKind.BROKEN_CONTRACT, "track: not_nullable: 1 row"),
]


@pytest.fixture(scope="module")
def shop(engines: SparkEngines, new_ledger: Callable[[], Ledger], tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """One platform whose input is filled once; each function has a table of its own in it."""
    made = Workshop.at(tmp_path_factory.mktemp("shop"), engines, new_ledger(), tables=tables)
    made.input(EVENTS, column("track", "STRING"))
    made.fill(EVENTS, {GOOD: [("fine",)], BAD: [("bad",)]})
    yield made
    made.close()


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """The endpoint of this test."""
    return f"charts/{re.sub('[^a-z_]', '_', request.node.name)}"


def results_of(shop: Workshop, key: str, function: Callable[..., Any], ranged: bool = False) -> dict[str, PartitionResult]:
    return shop.build(shop.declare(function, Plays, [same("played", EVENTS)], key=key, ranged=ranged), GOOD, BAD)


@pytest.mark.parametrize(("function", "outcome", "kind", "why"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_failure_is_typed_and_its_own(shop: Workshop, key: str, function: Callable[..., Any], outcome: str, kind: FailureKind, why: str) -> None:
    results = results_of(shop, key, function)
    failure = results[BAD].failure
    assert results[GOOD].outcome == "published", results[GOOD]
    assert failure is not None
    assert (results[BAD].outcome, failure.kind) == (outcome, kind)
    assert why in failure.why
    assert failure.words.startswith(f"{key} {BAD} (tests.spark.execution.test_author_failures.{function.__name__}): ")
    assert failure.action
    assert [row["hour"] for row in shop.rows(key)] == [GOOD]
    trouble = shop.platform.ledger.troubles.all()[key, BAD]
    assert (trouble.state, trouble.next_try) == ("stuck" if outcome == "failed" else "refused", None)


def test_a_raising_function_shows_where(shop: Workshop, key: str) -> None:
    failure = results_of(shop, key, raises)[BAD].failure
    assert failure is not None
    assert failure.detail is not None
    assert 'raise LookupError("no such thing")' in failure.detail


def test_zero_rows_are_published_as_zero_rows(shop: Workshop, key: str) -> None:
    results = results_of(shop, key, lambda played: counted(played).where("track <> 'bad'"))
    assert [(each.outcome, each.rows) for each in results.values()] == [("published", 1), ("published", 0)]


def test_a_ranged_function_that_fails_for_one_hour_is_tried_hour_by_hour(shop: Workshop, key: str) -> None:
    def by_hour(played: DataFrame) -> DataFrame:
        if _is_bad(played):
            raise LookupError("no such thing")
        return played.groupBy("hour", "track").agg(F.count("*").alias("plays"))

    assert [each.outcome for each in results_of(shop, key, by_hour, ranged=True).values()] == ["published", "failed"]


def test_a_ranged_function_must_return_the_partition_column(shop: Workshop, key: str) -> None:
    results = results_of(shop, key, counted, ranged=True)
    assert {each.failure.kind for each in results.values() if each.failure} == {FailureKind.MISSING_COLUMNS}
    assert "lacks hour, which a ranged function must return" in results[GOOD].reason


def test_a_ranged_function_that_returns_other_hours_publishes_none(shop: Workshop, key: str) -> None:
    results = results_of(shop, key, lambda played: counted(played).withColumn("hour", F.lit("2026-10-01T09")), ranged=True)
    assert {each.failure.kind for each in results.values() if each.failure} == {FailureKind.OTHER_PARTITION}
    assert shop.rows(key) == []


def test_helpers_of_the_domain_travel_with_udfs(shop: Workshop, key: str) -> None:
    from tests.spark.execution import helpers

    results = results_of(shop, key, helpers.shouted)
    assert {each.outcome for each in results.values()} == {"published"}
    assert [row["track"] for row in shop.rows(key)] == ["FINE!", "BAD!"]
