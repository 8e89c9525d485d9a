"""`backline bench planning`: what a tick costs at many endpoints, how long a full location takes to load and to tick, what a build leaves in the event log.

Each size is measured in a process of its own, so that its memory is its own. The rival of a schedule's tick is Dagster's `AutomationCondition.eager()` over
as many assets with the same inputs; of a build, an asset as Dagster's documentation teaches, one run a partition.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from platform_defs.ledger import Ledger
from platform_defs.ledger.embedded import EmbeddedPostgres
from tests.bench.figures import figure
from tests.bench.frame import Measured, benchmark
from tests.bench.ledger_layout import fill

_LARGE_VERSION_DAYS = 2
# "At most linear": ten times the endpoints take no more than ten times as long, and a little for noise.
_LINEAR = 12.0


@benchmark(rounds=5)
@click.option("--endpoints", default=40_000, show_default=True, type=click.IntRange(100), help="How many; a tenth and ten times as many are measured beside.")
@click.option("--days", default=60, show_default=True, type=click.IntRange(2), help="Days of history.")
@click.option("--location", default=2_000, show_default=True, type=click.IntRange(10, 2_000), help="Endpoints of one code location.")
@click.option("--largest/--no-largest", default=True, help="Whether ten times as many are measured, too: some minutes and gigabytes.")
def planning(endpoints: int, days: int, location: int, rounds: int, largest: bool) -> Measured:
    """What planning costs: a tick at 4,000, 40,000 and 400,000 endpoints, a location of 2,000, events and bytes per build.

    \b
    ./backline bench planning --json figures.json
    ./backline bench planning --endpoints 4000 --location 200 --no-largest
    """
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="backline-bench-") as name:
        postgres = EmbeddedPostgres(Path(name) / "pg", durable=False)
        postgres.start()
        try:
            medians: dict[int, float] = {}
            for size in [max(endpoints // 10, 40), endpoints, *([endpoints * 10] if largest else [])]:
                click.echo(f"{size:,} endpoints, {days} days: filling", err=True)
                told = _measured(postgres, size, days, rounds, versions=_LARGE_VERSION_DAYS if size > endpoints else None)
                medians[size] = sorted(told["decided"])[rounds // 2]
                figures += _figures(size, told, asked=size == endpoints)
            for small, large in zip(list(medians), list(medians)[1:], strict=False):
                what = f"a tick at {large:,} endpoints / at {small:,}"
                figures.append(figure(what, "times", [medians[large] / medians[small]], target=_LINEAR, more_is_better=False))
            click.echo(f"a location of {location:,} endpoints, and the rival's", err=True)
            figures += _location(postgres, Path(name), location, rounds)
        finally:
            postgres.stop()
    return Measured(figures)


def _figures(size: int, told: dict[str, Any], *, asked: bool) -> list[dict[str, Any]]:
    """Figures of one size; targets are for the size that was asked for."""

    def of(what: str, unit: str, name: str, target: float) -> dict[str, Any]:
        return figure(f"{size:,} endpoints: {what}", unit, told[name], target=target if asked else None, more_is_better=False)

    return [
        of("one tick decided", "s", "decided", 1.0),
        of("its requests written", "s", "written", 1.0),
        of("peak memory of the process", "MB", "megabytes", 500),
        figure(f"{size:,} endpoints: partitions asked for in that tick", "partitions", told["partitions"]),
        figure(f"{size:,} endpoints: first tick of a process, contracts read", "s", told["first"]),
    ]


def _measured(postgres: EmbeddedPostgres, size: int, days: int, rounds: int, versions: int | None) -> dict[str, Any]:
    database = f"planning_{size}"
    postgres.create_database(database)
    ledger = Ledger(postgres.uri(database))
    try:
        ledger.create()
        fill(ledger, size, days, versions)
    finally:
        ledger.close()
    try:
        return _in_a_process("tests.bench.planning_tick", "--url", postgres.uri(database), "--rounds", str(rounds))
    finally:
        postgres.drop_database(database)


def _location(postgres: EmbeddedPostgres, folder: Path, size: int, rounds: int) -> list[dict[str, Any]]:
    postgres.create_database("location")
    told = [
        _in_a_process("tests.bench.planning_location", "--url", postgres.uri("location"), "--folder", str(folder / "assets"), "--endpoints", str(size))
        for _ in range(rounds)
    ]

    def each(name: str) -> list[float]:
        return [one[name] for one in told]

    return [
        figure(f"a location of {size:,} endpoints loads", "s", each("loads"), target=5.0, more_is_better=False),
        figure(f"its schedule ticks: {told[0]['asked']:,} partitions asked for", "s", each("first tick"), each("rival first tick")),
        figure("its schedule ticks, nothing new", "s", each("tick"), each("rival tick")),
        figure("the slower of the two", "s", [max(pair) for pair in zip(each("first tick"), each("tick"), strict=True)], target=2.0, more_is_better=False),
        figure("events in Dagster's log per partition built", "events", each("events"), each("rival events"), more_is_better=False),
        figure("bytes in Dagster's log per partition built", "bytes", each("bytes"), each("rival bytes"), more_is_better=False),
    ]


def _in_a_process(module: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", module, *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"{module} failed: {done.stderr.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
