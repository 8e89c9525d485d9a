"""Hours of an endpoint, built the platform's way and by a plain PySpark loop, in one warm session server; `builds` and `quick` measure with it.

The loop is what a careful script would be: it reads the input once, computes an hour and replaces it with replaceWhere; no checks, no books. Ours is the whole
way of a partition: lease, inputs at pinned versions, staging, checks, content hash, publish, records, ledger.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from platform_defs.contracts import Schema, T, field
from platform_defs.contracts.contract import Column
from platform_defs.contracts.loading import Declared
from platform_defs.ledger import Ledger
from platform_defs.ledger.embedded import EmbeddedPostgres
from platform_defs.ledger.outcomes import Outcome, RunInfo
from platform_defs.planning.facts import Published
from platform_defs.running.spark_server import SparkServer, SparkServerSettings
from resources.spark import SparkEngines
from tests.fixtures.publishing import publish_frame
from tests.spark.execution.workshop import Workshop, same

HEARD = "bench/heard"
# Our server interprets plans unless a run says that it sees many rows; Spark by itself compiles them all.
_SPARKS_OWN = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}
# What a backfill gives one run.
A_RUN = 24


class Plays(Schema):
    """Plays by track."""

    track: T.LongType = field(ge=0)
    plays: T.LongType = field(ge=1)
    ms: T.LongType = field(ge=0)

    class Config(Schema.Config):
        unique = ["track"]


def plays(heard: DataFrame) -> DataFrame:
    """What a typical endpoint does: rows in, groups out."""
    return heard.groupBy("track").agg(F.count("*").alias("plays"), F.sum("ms").alias("ms"))


class Heard(Schema):
    """A play, told longer."""

    track: T.LongType = field(ge=0)
    ms: T.LongType = field(ge=0, le=86_400_000)
    seconds: T.DoubleType = field(ge=0)
    long: T.BooleanType = field()


def heard_longer(heard: DataFrame) -> DataFrame:
    """A row out for each row in."""
    return heard.select("track", "ms", (F.col("ms") / 1000).alias("seconds"), (F.col("ms") > 30_000).alias("long"))


@dataclass
class Bench:
    """A warm server, a ledger and a lake, with one input.

    Attributes:
        pids: of the server and this process, for their memory.
    """

    shop: Workshop
    folder: Path
    server: SparkServer
    ledger_url: str

    def fill(self, hours: Sequence[str], rows: int, tracks: int) -> None:
        """Publishes that many rows of the input in each hour, of so many tracks."""
        shop = self.shop
        contract = shop.input(HEARD, Column(name="track", type="BIGINT"), Column(name="ms", type="BIGINT"))
        session, now, run = shop.session(), shop.platform.clock(), f"fill-{uuid.uuid4()}"
        number = F.col("id") % rows
        frame = session.range(0, rows * len(hours), 1, len(hours)).select(  # a task and so a file an hour
            (number * 7919 % tracks).alias("track"),
            (F.lit(30_000) + number % 1000).alias("ms"),
            F.element_at(F.array(*map(F.lit, hours)), (F.col("id") / rows).cast("int") + 1).alias("hour"),
        )
        version = publish_frame(shop.platform.lake, contract, frame, hours, run, 0).version
        said = [Outcome(HEARD, hour, "published", published=Published(f"{hour}/{rows}".encode(), b"i" * 16, rows, version, "1", now, run)) for hour in hours]
        shop.platform.ledger.partitions.record(said, RunInfo(run, "command", now, now))

    def declare(self, function: Callable[..., Any], schema: type[Schema], **more: Any) -> Declared:
        """An endpoint over the input."""
        return self.shop.declare(function, schema, [same("heard", HEARD)], key=f"bench/{function.__name__}", **more)

    def ranges(self, declared: Declared, hours: Sequence[str]) -> None:
        """Ours, as a backfill does: a run for 24 hours."""
        for first in range(0, len(hours), A_RUN):
            self._built(self.shop.build(declared, *hours[first : first + A_RUN], force=True))

    def singles(self, declared: Declared, hours: Sequence[str]) -> None:
        """Ours, as schedules do: a run for each hour, in a session of its own."""
        for hour in hours:
            run = f"run-{uuid.uuid4()}"
            self._built(self.shop.build(declared, hour, force=True, run=run))
            self.shop.platform.engines.engine("lake").release(run)

    def loop(self, declared: Declared, hours: Sequence[str]) -> None:
        """The rival: the same warm server, but plans compiled as Spark does unless told otherwise."""
        session, target = self.shop.session(), str(self.folder / "loop" / declared.contract.name)
        for name, value in _SPARKS_OWN.items():
            session.conf.set(name, value)
        heard = session.read.format("delta").load(self.shop.platform.lake.table(HEARD))
        for hour in hours:
            rows = declared.declaration(heard.where(F.col("hour") == hour)).withColumn("hour", F.lit(hour))  # type: ignore[operator]
            writer = rows.write.format("delta").mode("overwrite").partitionBy("hour")
            (writer.option("replaceWhere", f"hour = '{hour}'") if Path(target).exists() else writer).save(target)

    @staticmethod
    def _built(results: dict[str, Any]) -> None:
        if wrong := [result.reason for result in results.values() if result.outcome != "published"]:
            raise click.ClickException(f"a partition was not published: {wrong[0]}")


@contextmanager
def bench(heap: str = "3g") -> Iterator[Bench]:
    """Starts the server and a Postgres of its own in a temporary folder; ends them."""
    with tempfile.TemporaryDirectory(prefix="backline-bench-") as name:
        folder = Path(name)
        postgres = EmbeddedPostgres(folder / "pg")
        postgres.start()
        try:
            ledger = Ledger(postgres.uri("ledger"))
            ledger.create()
            with SparkServer(SparkServerSettings(folder=folder / "spark", log=folder / "spark.log", heap=heap)) as server:
                shop = Workshop.at(folder, SparkEngines(server.url, server.url), ledger)
                yield Bench(shop, folder, server, postgres.uri("ledger"))
                shop.close()
            ledger.close()
        finally:
            postgres.stop()
