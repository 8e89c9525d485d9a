"""The compiled pass says of a partition what pandera says of it, and what to do with rows that may be quarantined."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandera.pyspark import Check as PanderaCheck
from pandera.pyspark import Column as PanderaColumn
from pandera.pyspark import DataFrameSchema
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from platform_defs.contracts.contract import Contract
from platform_defs.execution.quality.compile import Compiled, UnknownCheck, compile_contract, compile_model
from platform_defs.execution.quality.inspect import Inspection, inspect
from tests.spark.execution.contracts import column, contract
from tests.spark.execution.verdicts import of_ours, of_pandera

HOUR = "2026-10-01T00"
Checks = st.SearchStrategy[list[PanderaCheck]]


def ordered(values: st.SearchStrategy[Any]) -> Checks:
    """Comparisons, ranges and sets of a type with an order, with the values that also occur in rows."""
    names = ("eq", "ne", "gt", "ge", "lt", "le")
    one: list[Callable[[Any], PanderaCheck]] = [getattr(PanderaCheck, name) for name in names]
    single = st.tuples(st.sampled_from(one), values).map(lambda drawn: drawn[0](drawn[1]))
    ends = st.tuples(values, values, st.booleans(), st.booleans()).map(
        # pandera refuses an empty interval when it is declared
        lambda drawn: PanderaCheck.in_range(*sorted(drawn[:2]), include_min=drawn[2] or drawn[0] == drawn[1], include_max=drawn[3] or drawn[0] == drawn[1]),
    )
    sets = st.tuples(st.sampled_from([PanderaCheck.isin, PanderaCheck.notin]), st.lists(values, min_size=1, max_size=3)).map(lambda drawn: drawn[0](drawn[1]))
    return st.lists(single | ends | sets, max_size=2, unique_by=lambda check: check.name)


LENGTHS = st.sampled_from([{"min_value": 1}, {"max_value": 1}, {"min_value": 1, "max_value": 2}, {"exact_value": 2}])
TEXTS: Checks = st.lists(
    st.sampled_from(["a", "^a", "b|a", "a$", "[ab]+$", "é", ""]).flatmap(
        lambda text: st.sampled_from([PanderaCheck.str_matches(text), PanderaCheck.str_contains(text)])
    )
    | st.sampled_from(["a", "é", "%", ""]).flatmap(lambda text: st.sampled_from([PanderaCheck.str_startswith(text), PanderaCheck.str_endswith(text)]))
    | LENGTHS.map(lambda ends: PanderaCheck.str_length(**ends))
    | st.lists(st.sampled_from(["a", "ab", "é", ""]), min_size=1, max_size=2).map(PanderaCheck.isin)
    | st.sampled_from(["a", ""]).map(PanderaCheck.ne),
    max_size=3,
    unique_by=lambda check: check.name,
)
DAYS = st.dates(date(2026, 1, 1), date(2026, 1, 3))
INSTANTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 0, 2), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants naive bounds
DOUBLES = st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf, -math.inf])
WHOLE = st.integers(-2, 2)
MONEY = st.decimals(-2, 2, places=2)
WORDS = st.text(alphabet="abé%", max_size=3)
SAFE = st.sampled_from([0.0, 1.5, -1.5])

KINDS: dict[str, tuple[T.DataType, str, st.SearchStrategy[Any], Checks]] = {
    "long": (T.LongType(), "BIGINT", WHOLE, ordered(WHOLE)),
    "int": (T.IntegerType(), "INT", WHOLE, ordered(WHOLE)),
    "double": (T.DoubleType(), "DOUBLE", DOUBLES, ordered(SAFE)),
    "money": (T.DecimalType(10, 2), "DECIMAL(10,2)", MONEY, ordered(MONEY)),
    "day": (T.DateType(), "DATE", DAYS, ordered(DAYS)),
    "at": (T.TimestampType(), "TIMESTAMP", INSTANTS, ordered(INSTANTS)),
    "word": (T.StringType(), "STRING", WORDS, TEXTS),
    "flag": (T.BooleanType(), "BOOLEAN", st.booleans(), st.sampled_from([[], [PanderaCheck.eq(True)]])),
    "tags": (T.ArrayType(T.StringType()), "ARRAY<STRING>", st.lists(WORDS, max_size=1), st.just([])),
}


@dataclass(frozen=True)
class Case:
    """A schema in both forms, and rows by partition."""

    contract: Contract
    schema: DataFrameSchema
    rows: dict[str, list[tuple[Any, ...]]]

    @property
    def ddl(self) -> str:
        return ", ".join(f"`{each.name}` {each.type}" for each in self.contract.columns)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    names = draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=4, unique=True))
    nullable = {name: draw(st.booleans()) for name in names}
    unique = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    columns = {name: PanderaColumn(KINDS[name][0], checks=draw(KINDS[name][3]), nullable=nullable[name]) for name in names}
    schema = DataFrameSchema(columns, unique=unique or None, strict=True, name="Drawn")
    canonical = contract(*(column(name, KINDS[name][1], nullable=nullable[name]) for name in names), unique=tuple(unique))
    row = st.tuples(*(st.none() | KINDS[name][2] if draw(st.booleans()) else KINDS[name][2] for name in names))
    rows = {f"2026-10-01T{hour:02d}": draw(st.lists(row, max_size=4)) for hour in range(2)}
    return Case(canonical, schema, rows)


def staged(spark: SparkSession, case: Case) -> DataFrame:
    rows = [(*row, key) for key, group in case.rows.items() for row in group]
    return spark.createDataFrame(rows, f"{case.ddl}, hour STRING")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(case=cases())
def test_verdicts_equal_panderas(spark: SparkSession, case: Case) -> None:
    found = inspect(staged(spark, case), compile_model(case.contract, case.schema), "hour", list(case.rows))
    for key, rows in case.rows.items():
        assert of_ours(found[key]) == of_pandera(case.schema, spark.createDataFrame(rows, case.ddl)), key
        assert found[key].rows == len(rows)


COMPARISONS = [
    *(getattr(PanderaCheck, name)(2) for name in ("eq", "ne", "gt", "ge", "lt", "le")),
    *(PanderaCheck.in_range(2, 3, include_min=low, include_max=high) for low in (True, False) for high in (True, False)),
    PanderaCheck.isin([2, 5]),
    PanderaCheck.notin([2, 5]),
]


def test_every_comparison_agrees_with_pandera_at_its_bounds(spark: SparkSession) -> None:
    """Drawn cases seldom meet a bound: here each check sees below, at and above it, and null."""
    names = [f"c{index}" for index in range(len(COMPARISONS))]
    schema = DataFrameSchema({name: PanderaColumn(T.LongType(), checks=check, nullable=True) for name, check in zip(names, COMPARISONS, strict=True)})
    canonical = contract(*(column(name, "BIGINT", nullable=True) for name in names))
    rows = {f"2026-10-01T{hour:02d}": [(value,) * len(names)] for hour, value in enumerate((1, 2, 3, 4, None))}
    case = Case(canonical, schema, rows)
    found = inspect(staged(spark, case), compile_model(canonical, schema), "hour", list(rows))
    for key, group in rows.items():
        assert of_ours(found[key]) == of_pandera(schema, spark.createDataFrame(group, case.ddl)), key
    assert of_ours(found["2026-10-01T04"]) == set()
    assert of_ours(found[HOUR])


def judge(spark: SparkSession, compiled: Compiled, rows: list[tuple[Any, ...]], keys: tuple[str, ...] = (HOUR,)) -> dict[str, Inspection]:
    """Rows of one hour through staging's `_failed` and the pass; the same is found where the hour is known to be alone."""
    frame = spark.createDataFrame(rows, compiled.ddl).withColumn("hour", F.lit(HOUR))
    failed = compiled.failed_column()
    frame = frame if failed is None else frame.select("*", failed)
    found = inspect(frame, compiled, "hour", keys)
    if HOUR in keys:
        assert inspect(frame, compiled, "hour", [HOUR], alone=True)[HOUR] == found[HOUR]
    return found


def test_a_partition_without_rows_is_answered_and_judged(spark: SparkSession) -> None:
    some = PanderaCheck(lambda frame: frame.count() > 0, name="some_rows")
    compiled = compile_model(contract(column("a", "INT"), unique=("a",)), DataFrameSchema({"a": PanderaColumn(T.IntegerType())}, checks=some))
    found = judge(spark, compiled, [(1,)], keys=(HOUR, "2026-10-01T01"))
    assert (found["2026-10-01T01"].rows, found["2026-10-01T01"].refused) == (0, True)
    assert [breach.check for breach in found["2026-10-01T01"].breaches] == ["some_rows"]
    assert not found[HOUR].refused


def test_quarantine_covers_null_and_unique_is_judged_after_it(spark: SparkSession) -> None:
    compiled = compile_contract(
        contract(
            column("id", "STRING"),
            column("n", "INT", on_fail="quarantine", greater_than_or_equal_to={"min_value": 0}, less_than={"max_value": 10}),
            column("w", "INT", on_fail="warn", greater_than={"min_value": 0}),
            unique=("id",),
        )
    )
    found = judge(spark, compiled, [("a", 1, 1), ("a", -1, 1), ("b", None, 0), ("c", 3, 0), ("d", 99, 5)])[HOUR]
    assert (found.rows, found.quarantined, found.refused) == (2, 3, False)
    assert found.quarantined_by == {"n:greater_than_or_equal_to": 1, "n:not_nullable": 1, "n:less_than": 1}
    assert [(breach.column, breach.check, breach.rows, breach.refuses) for breach in found.breaches] == [("w", "greater_than", 1, False)]
    assert judge(spark, compiled, [("a", 1, 1), ("a", 2, 1)])[HOUR].refused


def test_quarantined_rows_are_not_in_the_content(spark: SparkSession) -> None:
    compiled = compile_contract(contract(column("n", "INT", on_fail="quarantine", greater_than={"min_value": 0})))
    assert judge(spark, compiled, [(1,), (-1,)])[HOUR].content == judge(spark, compiled, [(1,)])[HOUR].content


def test_counts_of_broken_rows(spark: SparkSession) -> None:
    compiled = compile_contract(contract(column("n", "INT", greater_than={"min_value": 0}), column("m", "INT"), unique=("n", "m")))
    found = judge(spark, compiled, [(0, 1), (0, 1), (0, 1), (None, 1), (None, 1), (2, None)])[HOUR]
    assert {(breach.column, breach.check): breach.rows for breach in found.breaches} == {
        ("n", "not_nullable"): 2, ("n", "greater_than"): 3, ("m", "not_nullable"): 1, (None, "unique"): 2,
    }  # fmt: skip


def test_checks_with_two_arguments_of_one_name_are_both_judged(spark: SparkSession) -> None:
    schema = DataFrameSchema({"n": PanderaColumn(T.IntegerType(), checks=[PanderaCheck.ne(1), PanderaCheck.ne(2)])})
    found = judge(spark, compile_model(contract(column("n", "INT")), schema), [(2,), (3,)])[HOUR]
    assert [(breach.check, breach.words) for breach in found.breaches] == [("not_equal_to#2", "not_equal_to(2)")]


def test_authors_own_checks_run_through_pandera(spark: SparkSession) -> None:
    def even(data: Any) -> bool:
        return bool(data.dataframe.where(F.col(data.column_name) % 2 != 0).count() == 0)

    def broken(frame: DataFrame) -> bool:
        raise RuntimeError("a value that must not be seen")

    schema = DataFrameSchema(
        {"n": PanderaColumn(T.IntegerType(), checks=[PanderaCheck.gt(0), PanderaCheck(even, name="even")])}, checks=[PanderaCheck(broken, name="broken")]
    )
    compiled = compile_model(contract(column("n", "INT")), schema)
    found = judge(spark, compiled, [(3,)])[HOUR]
    assert {(breach.column, breach.check, breach.refuses) for breach in found.breaches} == {("n", "even", True), (None, "broken", True)}
    assert "must not be seen" not in str(found)


def test_a_check_on_a_type_pandera_refuses_does_not_hold_and_stops_no_other(spark: SparkSession) -> None:
    schema = DataFrameSchema({"n": PanderaColumn(T.IntegerType(), checks=[PanderaCheck.str_startswith("a"), PanderaCheck.gt(5)])})
    found = judge(spark, compile_model(contract(column("n", "INT")), schema), [(1,)])[HOUR]
    assert {breach.check for breach in found.breaches} == {"str_startswith", "greater_than"}


def test_rows_of_a_partition_nobody_asked_for_count_as_elsewhere(spark: SparkSession) -> None:
    compiled = compile_contract(contract(column("n", "INT")))
    found = judge(spark, compiled, [(1,), (2,)], keys=("2026-10-01T05",))
    assert found["2026-10-01T05"].elsewhere == 2


@pytest.mark.parametrize(
    ("kind", "name", "args", "good", "bad"),
    [
        ("DECIMAL(10,2)", "greater_than_or_equal_to", {"min_value": "1.50"}, Decimal("1.50"), Decimal("1.49")),
        ("TIMESTAMP", "less_than", {"max_value": "2026-01-01T00:00:00Z"}, datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        ("STRING", "isin", {"allowed_values": ["ios", "web"]}, "web", "Web"),
        ("STRING", "str_matches", {"pattern": r"^trk_[a-z]{2}\z"}, "trk_ab", "trk_ab\n"),
        ("STRING", "str_length", {"min_value": 1, "max_value": 2}, "éé", ""),
        ("BIGINT", "in_range", {"min_value": "0", "max_value": "5"}, 5, 6),
    ],
)
def test_checks_of_a_canonical_contract(spark: SparkSession, kind: str, name: str, args: dict[str, Any], good: Any, bad: Any) -> None:
    compiled = compile_contract(contract(column("c", kind, nullable=True, **{name: args})))
    assert judge(spark, compiled, [(good,), (None,)])[HOUR].breaches == ()
    assert [breach.rows for breach in judge(spark, compiled, [(good,), (bad,)])[HOUR].breaches] == [1]


def test_an_unknown_check_of_a_contract_is_an_error_that_names_it(spark: SparkSession) -> None:
    with pytest.raises(UnknownCheck, match=r"charts/plays\.c: no check 'is_prime'"):
        compile_contract(contract(column("c", "INT", is_prime={})))
