"""`backline bench quick`: partitions a minute against a plain PySpark loop in one warm session, and events a second through one receiver.

The loop does what a careful script would: one aggregate an hour, written with replaceWhere; no checks, no books. Ours does the whole way of a partition.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from platform_defs.contracts import Schema, T, field
from platform_defs.contracts.contract import Column
from platform_defs.contracts.loading import load_domain
from platform_defs.contracts.partitions import keys_between
from platform_defs.ledger import Ledger
from platform_defs.ledger.embedded import EmbeddedPostgres
from platform_defs.running.spark_server import SparkServer, SparkServerSettings
from resources.settings import checkout
from resources.spark import SparkEngines
from tests.bench.figures import figure
from tests.bench.frame import Measured, benchmark
from tests.bench.load import press
from tests.bench.receiver import BATCH, batches, collector, posts
from tests.spark.execution.workshop import Workshop, same

HOURS = keys_between("2026-10-01T00", "2026-10-01T23")
ROWS = 10_000


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


@benchmark()
def quick(rounds: int) -> Measured:
    """A few minutes: partitions a minute and events a second on this machine.

    \b
    ./backline bench quick
    ./backline bench quick --json figures.json
    """
    with tempfile.TemporaryDirectory(prefix="backline-bench-") as name:
        folder = Path(name)
        postgres = EmbeddedPostgres(folder / "pg")
        postgres.start()
        try:
            ledger = Ledger(postgres.uri("ledger"))
            ledger.create()
            click.echo(f"building {len(HOURS)} hours of {ROWS:,} rows, {rounds} rounds", err=True)
            figures = partitions(folder, ledger, rounds)
            click.echo(f"sending batches of {BATCH} events, {rounds} rounds", err=True)
            ledger.registry.apply(load_domain(checkout() / "assets" / "listening").contracts, "bench")
            figures += events(folder, postgres.uri("ledger"), rounds)
            ledger.close()
        finally:
            postgres.stop()
    return Measured(figures)


def partitions(folder: Path, ledger: Ledger, rounds: int) -> list[dict[str, Any]]:
    """24 hours by one range, by single hours, and by the loop, in turn."""
    with SparkServer(SparkServerSettings(folder=folder / "spark", log=folder / "spark.log")) as server:
        shop = Workshop.at(folder, SparkEngines(server.url, server.url), ledger)
        shop.input("bench/heard", Column(name="track", type="BIGINT"), Column(name="ms", type="BIGINT"))
        _fill(shop)
        declared = shop.declare(plays, Plays, [same("heard", "bench/heard")], key="bench/plays")
        ways: dict[str, Callable[[], None]] = {
            "range": lambda: _built(shop.build(declared, *HOURS, force=True)),
            "single": lambda: [_built(shop.build(declared, hour, force=True)) for hour in HOURS] and None,
            "loop": lambda: _loop(shop, folder),
        }
        for way in ways.values():  # warm: plans compiled, files cached
            way()
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                begun = time.monotonic()
                way()
                speeds[name].append(len(HOURS) * 60 / (time.monotonic() - begun))
        shop.close()
    return [
        figure("partitions a minute, one range of 24 hours", "a minute", speeds["range"], speeds["loop"]),
        figure("partitions a minute, 24 single hours", "a minute", speeds["single"], speeds["loop"]),
    ]


def _fill(shop: Workshop) -> None:
    shop.fill("bench/heard", {hour: [(number * 7919 % 500, 30_000 + number) for number in range(ROWS)] for hour in HOURS})


def _built(results: dict[str, Any]) -> None:
    if wrong := [result.reason for result in results.values() if result.outcome != "published"]:
        raise click.ClickException(f"a partition was not published: {wrong[0]}")


def _loop(shop: Workshop, folder: Path) -> None:
    session, target = shop.session(), str(folder / "loop")
    heard = session.read.format("delta").load(shop.platform.lake.table("bench/heard"))
    for hour in HOURS:
        rows = plays(heard.where(F.col("hour") == hour)).withColumn("hour", F.lit(hour))
        writer = rows.write.format("delta").mode("overwrite").partitionBy("hour")
        (writer.option("replaceWhere", f"hour = '{hour}'") if Path(target).exists() else writer).save(target)


def events(folder: Path, url: str, rounds: int) -> list[dict[str, Any]]:
    """Acknowledged events a second: validated, on disk before the answer. `bench receiver` measures it at length, beside a rival."""
    requests = posts(folder, batches(50, BATCH))
    with collector(folder, url) as served:
        press(served.port, requests, 1)
        loads = [press(served.port, requests, 5) for _ in range(rounds)]
    return [figure("events a second through one receiver, fsync on", "a second", [load.answered * BATCH / load.seconds for load in loads])]
