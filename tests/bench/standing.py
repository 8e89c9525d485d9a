"""What a Backline costs that only stands there: the time until it can be used, its memory when idle, and whether runs leave something behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from resources.settings import Settings
from tests.bench.figures import Figure, figure
from tests.bench.frame import Measured, benchmark
from tests.fixtures.dagster import RunningDagster
from tests.fixtures.up import Up

_READY = "Ctrl-C stops it"
_MEGABYTE = 2**20
_HELP_SECONDS, _UP_SECONDS = 0.3, 15.0
_IDLE, _FURTHER = 1500.0, 300.0
_SETTLED_SECONDS = 45.0
# What 500 runs may leave: less than a part's own back and forth between two looks.
# Until so many runs Java compiles and Spark's bounded caches of code fill: what grows after them would grow for ever.
_GROWTH, _AT_A_TIME, _WARM_RUNS = 50.0, 25, 500
_HEAP = "spark heap"  # bounded by its setting, and collected when that is near
_DOMAIN = """
from platform_defs.contracts import Domain
domain = Domain(owner="team:{name}", purpose="product", start="{start}", retention="90d", readers=["group:analysts"])
"""
_EVENTS = """
from pydantic import Field
from platform_defs.contracts import Event

class OrderPlaced(Event):
    \"\"\"A customer placed an order.\"\"\"

    item: str = Field(pattern=r"^[a-z]{1,9}$")
    amount: int = Field(ge=0)
"""
_HOURS = """
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from platform_defs.contracts import Schema, T, endpoint, field

class Orders(Schema):
    \"\"\"Orders by item.\"\"\"

    item: T.StringType = field()
    orders: T.LongType = field(ge=1)

    class Config(Schema.Config):
        unique = ["item"]

@endpoint(schema=Orders, partitions="hourly", inputs={"placed": "%(name)s/order_placed"})
def orders(placed: DataFrame) -> DataFrame:
    \"\"\"Orders of each item.\"\"\"
    return placed.groupBy("item").agg(F.count("*").alias("orders"))
"""


@benchmark(rounds=3)
@click.option("--runs", default=500, show_default=True, help="Runs after which memory is looked at again; 0 leaves that out.")
def standing(rounds: int, runs: int) -> Measured:
    """Start-up of `up` and of the command, memory when idle, memory after many runs.

    \b
    ./backline bench standing
    ./backline bench standing --runs 0
    """
    figures = [figure("./backline --help", "s", [_help() for _ in range(max(5, rounds))], target=_HELP_SECONDS, more_is_better=False)]
    with tempfile.TemporaryDirectory(prefix="bl-") as name:
        up = Up(Path(name))
        _domain(up, "shop")
        seconds = [_started(up) for _ in range(rounds + 1)]
        figures.append(figure("`up` until its pages answer, first start in an empty home", "s", seconds[:1]))
        figures.append(figure("`up` until its pages answer, warm", "s", seconds[1:], target=_UP_SECONDS, more_is_better=False))
        with _running(up):
            one = _idle(up)
            figures += _grown(up, runs) if runs else []
        _domain(up, "store")
        with _running(up):
            pass  # applied and loaded once, so that the next start is a warm one
        with _running(up):
            two = _idle(up)
    alone, both = one[-1]["idle"] / _MEGABYTE, two[-1]["idle"] / _MEGABYTE
    figures.append(figure("memory when idle, one domain, without Java's heap", "MB", [alone], target=_IDLE, more_is_better=False))
    figures.append(figure("memory when idle, each further domain", "MB", [both - alone], target=_FURTHER, more_is_better=False))
    return Measured(figures, _table(one))


def _help() -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", "platform_defs.cli", "--help"], check=True, capture_output=True)
    return time.monotonic() - begun


def _domain(up: Up, name: str) -> None:
    folder = up.root / "assets" / name
    folder.mkdir(parents=True)
    (folder / "domain.py").write_text(_DOMAIN.format(name=name, start=f"{datetime.now(UTC) - timedelta(days=60):%Y-%m-%d}"))
    (folder / "events.py").write_text(_EVENTS)
    (folder / "hours.py").write_text(_HOURS % {"name": name})


def _started(up: Up) -> float:
    begun = time.monotonic()
    with _running(up):
        return time.monotonic() - begun


@contextmanager
def _running(up: Up) -> Iterator[None]:
    up.start(_READY)
    try:
        yield
    finally:
        up.end(signal.SIGINT)


def _idle(up: Up) -> list[dict[str, Any]]:
    """Parts and, last, the sum without Java's heap, when nothing has been asked of it for a while."""
    time.sleep(_SETTLED_SECONDS)
    return _parts(up)


def _parts(up: Up) -> list[dict[str, Any]]:
    told = up.json("status", "--processes")
    return [*told["processes"], told["totals"][-1]]


def _grown(up: Up, runs: int) -> list[Figure]:
    """Memory of each part before and after so many runs of one partition each, through queue, run host and Spark."""
    settings = Settings.load(up.home)
    dagster = RunningDagster(settings, str(settings.dagster_url), settings.logs)
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=58)
    hours = [f"{first + timedelta(hours=number):%Y-%m-%dT%H}" for number in range(_WARM_RUNS + runs)]
    state = dagster.wait_backfill(dagster.backfill({"shop/order_placed": (hours[0], hours[-1])}), 900)
    if state["status"] != "COMPLETED_SUCCESS":
        raise click.ClickException(f"the hours below could not be built: {state}")
    _run(dagster, hours[:_WARM_RUNS])
    before = {part["name"]: part["now"] for part in _parts(up)}
    begun = time.monotonic()
    _run(dagster, hours[_WARM_RUNS:])
    minutes = (time.monotonic() - begun) / 60
    after = {part["name"]: part["now"] for part in _parts(up)}
    what = f"more memory after {runs} runs"
    grown = {name: (after[name] - before.get(name, 0)) / _MEGABYTE for name in after}
    return [
        figure("runs of one partition, queued at once", "a minute", [runs / minutes]),
        *(figure(f"{what}: {name}", "MB", [value], target=None if name == _HEAP else _GROWTH, more_is_better=False) for name, value in grown.items()),
    ]


def _run(dagster: RunningDagster, hours: Sequence[str]) -> None:
    """A run for each hour, some in the queue at a time."""
    for first in range(0, len(hours), _AT_A_TIME):
        asked = [dagster.launch("shop", ["shop/orders"], {"dagster/partition": hour}) for hour in hours[first : first + _AT_A_TIME]]
        if {dagster.wait_run(run) for run in asked} != {"SUCCESS"}:
            raise click.ClickException("a run failed: what 500 of them leave behind is not known")


def _table(parts: Sequence[dict[str, Any]]) -> str:
    lines = [f"| {part['name']} | {part['processes']} | {part['idle'] / _MEGABYTE:,.0f} | {part['peak'] / _MEGABYTE:,.0f} |" for part in parts]
    return "\n".join(["| part, one domain | processes | idle, MB | peak, MB |", "| --- | ---: | ---: | ---: |", *lines])
