"""`backline bench inspection`: judging staged rows in one pass, against pandera's own validation of the same model and rows.

Both read the same Parquet in one warm session. Ours answers for each partition, with counts of broken rows and the content's hash; pandera says yes or no of
a frame, so a range is given to it hour by hour. Verdicts are compared and must be the same.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
from pandera.pyspark import DataFrameSchema
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from platform_defs.contracts import Schema, T, field
from platform_defs.contracts.partitions import keys_between
from platform_defs.contracts.schema import read_schema
from platform_defs.execution.quality.compile import Compiled, compile_model
from platform_defs.execution.quality.inspect import inspect
from platform_defs.running.spark_server import SparkServer, SparkServerSettings
from resources.spark import SparkEngines
from tests.bench.figures import Figure, figure
from tests.bench.frame import Measured, benchmark
from tests.spark.execution.contracts import contract
from tests.spark.execution.verdicts import Verdict, of_ours, of_pandera

HOURS = keys_between("2026-10-01T00", "2026-10-01T05")


class Charted(Schema):
    """A typical table: ten columns, a dozen checks, a key."""

    track_id: T.StringType = field(str_matches=r"^trk_[a-z0-9]{8}$")
    country: T.StringType = field(isin=["DE", "FR", "GB", "US"])
    platform: T.StringType = field(isin=["ios", "android", "web", "desktop"])
    title: T.StringType = field(nullable=True, str_length={"min_value": 1, "max_value": 40})
    plays: T.LongType = field(ge=0)
    skips: T.LongType = field(ge=0, le=1_000_000)
    ms: T.LongType = field(ge=0, lt=10**12)
    share: T.DoubleType = field(in_range={"min_value": 0, "max_value": 1})
    rank: T.IntegerType = field(ge=1, ne=0)
    explicit: T.BooleanType = field()

    class Config(Schema.Config):
        unique = ["track_id"]


@benchmark(rounds=7)
@click.option("--rows", default=1_000_000, show_default=True, help="Of the large partition; each of the six small ones has a hundredth.")
def inspection(rounds: int, rows: int) -> Measured:
    """Rows judged a second, in one partition and in six, against pandera's own PySpark validation.

    \b
    ./backline bench inspection
    ./backline bench inspection --rows 100000 --rounds 1
    """
    columns, unique, _ = read_schema(Charted)
    schema = Charted.to_schema()
    with tempfile.TemporaryDirectory(prefix="backline-bench-") as name:
        folder = Path(name)
        with SparkServer(SparkServerSettings(folder=folder / "spark", log=folder / "spark.log")) as server:
            engine = SparkEngines(server.url, server.url).engine("lake")
            session = engine.session("bench")
            compiled = compile_model(contract(*columns, unique=unique, key="bench/charted"), schema)
            sized = partial(engine.sized, session)
            large, small = _staged(session, folder / "large", HOURS[:1], rows), _staged(session, folder / "small", HOURS, rows // 100)
            figures = [
                _compared(f"rows judged a second, one hour of {rows:,}", rows, rounds, sized, large, compiled, schema, HOURS[:1]),
                _compared(f"rows judged a second, six hours of {rows // 100:,}", rows // 100 * len(HOURS), rounds, sized, small, compiled, schema, HOURS),
            ]
            engine.release("bench")
    return Measured(figures)


def _compared(
    what: str,
    rows: int,
    rounds: int,
    sized: Callable[[int | None], None],
    frame: Callable[[], DataFrame],
    compiled: Compiled,
    schema: DataFrameSchema,
    keys: Sequence[str],
) -> Figure:
    """Ours and pandera's, in turn. `sized`: plans of many rows are compiled, of few interpreted, as in a build; the rival's as Spark does by itself. Of one
    partition alone neither reads whose rows they are."""
    alone = len(keys) == 1

    def ours() -> dict[str, Verdict]:
        sized(rows)
        staged = frame().withColumn("hour", F.lit(keys[0])) if alone else frame()  # as publishing reads it
        return {key: of_ours(found) for key, found in inspect(staged, compiled, "hour", keys, alone=alone).items()}

    def panderas() -> dict[str, Verdict]:
        sized(None)
        return {key: of_pandera(schema, (frame() if alone else frame().where(F.col("hour") == key)).drop("hour")) for key in keys}

    if (mine := ours()) != (theirs := panderas()):  # warms both, too
        raise click.ClickException(f"{what}: the verdicts differ: {mine} and {theirs}")
    speeds: tuple[list[float], list[float]] = [], []
    for _ in range(rounds):
        for way, kept in zip((ours, panderas), speeds, strict=True):
            kept.append(rows / _timed(way))
    return figure(what, "a second", *speeds, 3.0, against="pandera")


def _timed(way: Callable[[], object]) -> float:
    begun = time.monotonic()
    way()
    return time.monotonic() - begun


def _staged(session: SparkSession, path: Path, keys: Sequence[str], rows: int) -> Callable[[], DataFrame]:
    """Rows of each hour as Parquet; of each ten thousand a few break a rule, and two share a key. Reads them anew at each call."""
    number = F.col("id")
    frame = session.range(rows * len(keys)).select(
        F.concat(F.lit("trk_"), F.lpad(F.conv(F.when(number % 10_000 == 7, number + 1).otherwise(number), 10, 36), 8, "0")).alias("track_id"),
        F.element_at(F.array(*map(F.lit, ("DE", "FR", "GB", "US"))), (number % 4 + 1).cast("int")).alias("country"),
        F.element_at(F.array(*map(F.lit, ("ios", "android", "web", "desktop"))), (number % 4 + 1).cast("int")).alias("platform"),
        F.when(number % 3 > 0, F.concat(F.lit("Title "), number)).alias("title"),
        F.when(number % 10_000 == 11, -1).otherwise(number % 977).cast("bigint").alias("plays"),
        (number % 31).alias("skips"),
        (number * 7919 % 86_400_000).alias("ms"),
        F.when(number % 10_000 == 13, 1.5).otherwise(number % 100 / 100).alias("share"),
        (number % 500 + 1).cast("int").alias("rank"),
        (number % 5 == 0).alias("explicit"),
        F.element_at(F.array(*map(F.lit, keys)), (number / rows).cast("int") + 1).alias("hour"),
    ).withColumn("track_id", F.lower("track_id"))  # fmt: skip
    frame.write.parquet(str(path))
    schema = frame.schema
    return lambda: session.read.schema(schema).parquet(str(path))
