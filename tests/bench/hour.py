"""`backline bench hour`: one hour of many event types, from sealed segments to published, checked tables, and how it grows with types and with rows."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import click

from tests.bench.figures import figure
from tests.bench.frame import Measured, benchmark
from tests.bench.hour_landing import SEALS, contracts, prepare
from tests.bench.intake import services
from tests.bench.memory import Ran, run

_MOST_SECONDS = 900.0


@benchmark(rounds=1)
@click.option("--types", default=1800, show_default=True, help="Event types of the whole hour; a sixth and an eighteenth of them are measured before it.")
@click.option("--events", default=2_000_000, show_default=True, help="Events of all types in the hour, by Zipf's law.")
@click.option("--seals", default=SEALS, show_default=True, help="Segments that an hour of a type may come in.")
def hour(rounds: int, types: int, events: int, seals: int) -> Measured:
    """One hour of 1,800 event types, published and checked; how it grows with types and with rows.

    \b
    ./backline bench hour
    ./backline bench hour --types 100 --events 100000
    """
    few, some = max(2, types // 18), max(2, types // 6)
    sizes = [(few, events * few // types), (few, events), (some, events * some // types), (types, events)]
    figures = []
    for each_types, each_events in sizes:
        ran = [_measured(each_types, each_events, seals) for _ in range(rounds)]
        seconds, memory = [each.seconds for each in ran], [each.megabytes for each in ran]
        target = _MOST_SECONDS if each_types == types else None
        what = f"an hour of {each_types:,} event types, {each_events:,} events"
        figures.append(figure(what, "s", seconds, target=target, more_is_better=False, memory=memory))
    return Measured(figures)


def _measured(types: int, events: int, seals: int) -> Ran:
    """One hour on an installation of its own, whose servers have warmed up on two types."""
    with tempfile.TemporaryDirectory(prefix="backline-bench-") as name, services(Path(name), contracts(2)) as at:
        began = time.monotonic()
        landed = prepare(at.installation, at.folder, contracts(types), events, seals)
        click.echo(f"landed {landed:,} events of {types:,} types in {time.monotonic() - began:.0f} s", err=True)
        ran = run([sys.executable, "-m", "tests.bench.hour_runs", str(at.setting), str(types)], beside=(os.getpid(), at.postgres))
        said = json.loads(ran.said)
        if (said["types"], said["good"]) != (types, landed):
            raise click.ClickException(f"{said} came of {landed} events of {types} types: the figure would be of other work")
        click.echo(f"{types:,} types, {landed:,} events: {ran.seconds:.1f} s, {said['runs']} runs, the longest {said['longest run']:.1f} s", err=True)
        return ran
