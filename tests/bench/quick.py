"""`backline bench quick`: partitions a minute against a plain PySpark loop in one warm session (`hours`), and events a second through one receiver."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from platform_defs.contracts.loading import load_domain
from platform_defs.contracts.partitions import keys_between
from resources.settings import checkout
from tests.bench.figures import Figure, figure
from tests.bench.frame import Measured, benchmark
from tests.bench.hours import Bench, Plays, bench, plays
from tests.bench.load import press
from tests.bench.receiver import BATCH, batches, collector, posts

DAY = keys_between("2026-10-01T00", "2026-10-01T23")
SINGLES = 6
ROWS = 10_000


@benchmark(rounds=2)
def quick(rounds: int) -> Measured:
    """Two minutes: partitions a minute and events a second on this machine.

    \b
    ./backline bench quick
    ./backline bench quick --json figures.json
    """
    with bench() as made:
        click.echo(f"building hours of {ROWS:,} rows, {rounds} rounds", err=True)
        figures = partitions(made, rounds)
        click.echo(f"sending batches of {BATCH} events, {rounds} rounds", err=True)
        made.shop.platform.ledger.registry.apply(load_domain(checkout() / "assets" / "listening").contracts, "bench")
        figures += events(made.folder, made.ledger_url, rounds)
    return Measured(figures)


def partitions(made: Bench, rounds: int) -> list[Figure]:
    """A day in one range, some hours one by one, the same by the loop, in turn."""
    made.fill(DAY, ROWS, 500)
    declared = made.declare(plays, Plays)
    ways: dict[str, tuple[Sequence[str], Callable[[Sequence[str]], None]]] = {
        "range": (DAY, lambda hours: made.ranges(declared, hours)),
        "single": (DAY[:SINGLES], lambda hours: made.singles(declared, hours)),
        "loop": (DAY[:SINGLES], lambda hours: made.loop(declared, hours)),
    }
    for _, way in ways.values():  # warm: classes loaded, files cached
        way(DAY[:4])
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (hours, way) in ways.items():
            begun = time.monotonic()
            way(hours)
            speeds[name].append(len(hours) * 60 / (time.monotonic() - begun))
    return [
        figure(f"partitions a minute, one range of {len(DAY)} hours", "a minute", speeds["range"], speeds["loop"], against="PySpark loop"),
        figure(f"partitions a minute, {SINGLES} hours one by one", "a minute", speeds["single"], speeds["loop"], against="PySpark loop"),
    ]


def events(folder: Path, url: str, rounds: int) -> list[Figure]:
    """Acknowledged events a second: validated, on disk before the answer. `bench receiver` measures it at length, beside a rival."""
    requests = posts(folder, batches(50, BATCH))
    with collector(folder, url) as served:
        press(served.port, requests, 1)
        loads = [press(served.port, requests, 5) for _ in range(rounds)]
    return [figure("events a second through one receiver, fsync on", "a second", [load.answered * BATCH / load.seconds for load in loads])]
