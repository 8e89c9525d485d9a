"""The content hash: equal under any layout, different after any change of one cell."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from platform_defs.execution.quality.contenthash import empty_content, fold, hash_aggregates

COLUMNS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "flag": ("BOOLEAN", st.booleans()),
    "small": ("INT", st.integers(-3, 3)),
    "big": ("BIGINT", st.integers(-(2**63), 2**63 - 1)),
    "ratio": ("DOUBLE", st.sampled_from([0.0, 1.5, -1.5, 99.5, 1e-300, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan])),
    "price": ("DECIMAL(20,2)", st.decimals(-1000, 1000, places=2)),
    "word": ("STRING", st.text(alphabet="ab", max_size=2)),
    "raw": ("BINARY", st.binary(max_size=2)),
    "on": ("DATE", st.dates(date(2026, 1, 1), date(2026, 1, 3))),
    "at": ("TIMESTAMP", st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 2), timezones=st.just(UTC))),  # noqa: DTZ001 - hypothesis wants naive bounds
    "tags": ("ARRAY<STRING>", st.lists(st.none() | st.text(alphabet="ab", max_size=1), max_size=3)),
    "nested": ("ARRAY<ARRAY<INT>>", st.lists(st.lists(st.none() | st.integers(0, 1), max_size=2), max_size=2)),
    "props": ("MAP<STRING,STRING>", st.dictionaries(st.text(alphabet="ab", max_size=1), st.none() | st.text(alphabet="ab", max_size=1), max_size=2)),
    "deep": (
        "STRUCT<a: INT, b: STRUCT<c: STRING, d: ARRAY<DOUBLE>>>",
        st.tuples(
            st.none() | st.integers(0, 1),
            st.none() | st.tuples(st.none() | st.sampled_from("ab"), st.none() | st.lists(st.none() | st.just(0.5), max_size=2)),
        ),
    ),
}
DDL = ", ".join(f"`{name}` {kind}" for name, (kind, _) in COLUMNS.items())
ROW = st.tuples(*(st.none() | values for _, values in COLUMNS.values()))

on_spark = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def content(frame: DataFrame) -> bytes:
    row = frame.agg(F.count(F.lit(1)).alias("rows"), *hash_aggregates(frame.schema)).collect()[0].asDict()
    return fold(frame.columns, row["rows"], row)


def hashes(spark: SparkSession, *tables: list[tuple[Any, ...]]) -> list[bytes]:
    """One hash a table, all in one pass."""
    rows = [(index, *row) for index, table in enumerate(tables) for row in table]
    frame = spark.createDataFrame(rows, f"part INT, {DDL}")
    schema = frame.drop("part").schema
    found = {row["part"]: row.asDict() for row in frame.groupBy("part").agg(F.count(F.lit(1)).alias("rows"), *hash_aggregates(schema)).collect()}
    return [fold(schema.names, found[index]["rows"], found[index]) if index in found else empty_content(schema.names) for index in range(len(tables))]


def same(a: Any, b: Any) -> bool:
    """Equality of cells as the hash sees it: NaN is NaN, zero has no sign, True is not 1."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and bool(a == b)


@on_spark
@given(rows=st.lists(ROW, min_size=1, max_size=6), data=st.data())
def test_any_one_cell_changes_it(spark: SparkSession, rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    changed: list[list[tuple[Any, ...]]] = []
    for column, (_, values) in enumerate(COLUMNS.values()):
        at = data.draw(st.integers(0, len(rows) - 1))
        old, other = rows[at][column], data.draw(st.none() | values)
        if same(old, other):
            other = None if old is not None else data.draw(values)
        changed.append([(*row[:column], other, *row[column + 1 :]) if index == at else row for index, row in enumerate(rows)])
    base, *others = hashes(spark, rows, *changed)
    assert [list(COLUMNS)[index] for index, other in enumerate(others) if other == base] == []


@on_spark
@given(rows=st.lists(ROW, max_size=8), data=st.data())
def test_order_and_layout_do_not_matter(spark: SparkSession, rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(rows))
    names = data.draw(st.permutations(list(COLUMNS)))
    frame = spark.createDataFrame(rows, DDL)
    again = spark.createDataFrame(shuffled, DDL).select(*names).repartition(data.draw(st.integers(1, 4)))
    assert content(frame) == content(again)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("a STRING, b STRING", [(None, "x")], [("x", None)]),
        ("a ARRAY<STRING>", [([None, "x"],)], [(["x", None],)]),
        ("a ARRAY<STRING>", [(["x"],)], [(["x", None],)]),
        ("a ARRAY<ARRAY<INT>>", [([[1], [2]],)], [([[1, 2]],)]),
        ("a STRUCT<b: INT>", [(None,)], [((None,),)]),
        ("a MAP<STRING,STRING>", [({"k": None, "j": "x"},)], [({"k": "x", "j": None},)]),
        ("a DOUBLE", [(0.0,)], [(5e-324,)]),
        ("a INT", [(1,)], [(1,), (1,)]),
        ("a INT", [(1,), (1,), (2,)], [(1,), (2,), (2,)]),
        ("a STRING", [], [(None,)]),
    ],
)
def test_nulls_places_and_counts_tell(spark: SparkSession, kind: str, one: list[Any], other: list[Any]) -> None:
    assert content(spark.createDataFrame(one, kind)) != content(spark.createDataFrame(other, kind))


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("a DOUBLE", [(0.0,)], [(-0.0,)]),
        ("a DOUBLE", [(0.1 + 0.2,)], [(0.3,)]),
        ("a DOUBLE", [(99.99999999999999,)], [(100.0,)]),
        ("a DOUBLE", [(-999999999999.9999,)], [(-1e12,)]),
        ("a ARRAY<DOUBLE>", [([0.1 + 0.2, math.nan],)], [([0.3, -math.nan],)]),
        ("a FLOAT", [(0.0,)], [(-0.0,)]),
    ],
)
def test_the_last_digits_of_doubles_do_not_tell(spark: SparkSession, kind: str, one: list[Any], other: list[Any]) -> None:
    assert content(spark.createDataFrame(one, kind)) == content(spark.createDataFrame(other, kind))


@pytest.mark.parametrize(
    ("one", "other"), [(9.99999999998, 9.99999999999), (1.00000000001, 1.00000000002), (1e-200, 1.00000000001e-200), (-7e12, -7.00000000001e12)]
)
def test_the_twelfth_digit_tells(spark: SparkSession, one: float, other: float) -> None:
    assert content(spark.createDataFrame([(one,)], "a DOUBLE")) != content(spark.createDataFrame([(other,)], "a DOUBLE"))


def test_sums_of_doubles_are_equal_under_any_partitioning(spark: SparkSession) -> None:
    frame = spark.range(20_000).selectExpr("id % 50 AS k", "rand(7) * 1000 AS v").cache()
    sums = {content(frame.repartition(parts, "v").groupBy("k").agg(F.sum("v").alias("v"))) for parts in (1, 3, 7)}
    assert len(sums) == 1


def test_map_entries_in_any_order_are_equal(spark: SparkSession) -> None:
    one, other = (spark.sql(f"SELECT map({pairs}) AS m") for pairs in ("'a', 1, 'b', 2", "'b', 2, 'a', 1"))
    assert content(one) == content(other)


def test_decimals_beyond_a_long(spark: SparkSession) -> None:
    one, other = (spark.createDataFrame([(Decimal(f"{10**30}.{last}"),)], "d DECIMAL(38,1)") for last in (1, 2))
    assert content(one) != content(other)


def test_column_names_are_part_of_it() -> None:
    assert fold(["a"], 1, {}) != fold(["b"], 1, {})
    assert fold(["a", "b"], 1, {}) == fold(["b", "a"], 1, {})
    assert len(empty_content(["a"])) == 16
