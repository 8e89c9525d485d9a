"""How long a queued run waits for the first line of its asset: the warm launcher beside Dagster's default one, at 50 and at 2,000 assets."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from platform_defs.build.instance import Launcher
from platform_defs.ledger.embedded import EmbeddedPostgres
from resources.settings import Settings
from tests.bench.figures import Figure, figure
from tests.bench.frame import Measured, benchmark
from tests.bench.planning_location import write
from tests.fixtures.dagster import RunningDagster, running_dagster, until

MODULE = "tests.bench.starts_location"
_DOMAIN, _ASSET, _DAY = "crowd", "crowd/x0", "2026-10-08"
_TARGET = 1.5


@benchmark(rounds=12)
@click.option("--assets", multiple=True, type=int, default=(50, 2000), show_default=True, help="Assets of the location; may be said again.")
def starts(rounds: int, assets: tuple[int, ...]) -> Measured:
    """From a queued run to the first line of its asset, with the warm launcher and with Dagster's default one.

    \b
    ./backline bench starts
    ./backline bench starts --assets 200 --rounds 20
    """
    figures: list[Figure] = []
    for number in assets:
        with tempfile.TemporaryDirectory(prefix="bl-") as name, ExitStack() as stack:
            folder = Path(name)
            postgres = EmbeddedPostgres(folder / "pg", durable=False)
            postgres.start()
            stack.callback(postgres.stop)
            running = {kind: stack.enter_context(_dagster(folder / kind, postgres, kind, number)) for kind in ("warm", "default")}
            taken: dict[str, list[float]] = {kind: [] for kind in running}
            for hour in range(-1, rounds):  # the first of each is not counted: imports of the daemon and the web server
                for kind, dagster in running.items():
                    seconds = _waited(dagster, f"{_DAY}T{hour % 24:02}")
                    if hour >= 0:
                        taken[kind].append(seconds)
        what = f"queued run to first line of its asset, {number:,} assets"
        figures.append(figure(what, "s", taken["warm"], taken["default"], against="default launcher", more_is_better=False))
        figures.append(figure(f"{what}, warm launcher", "s", taken["warm"], (), _TARGET, more_is_better=False))
    return Measured(figures, "The queue is looked at once a second: half a second of each figure, on average, is that wait.")


def _waited(dagster: RunningDagster, hour: str) -> float:
    """Seconds from asking for a run to the first line of its asset."""
    begun = time.time()
    run = dagster.launch(_DOMAIN, [_ASSET], {"dagster/partition": hour})
    written = dagster.settings.home / "asked" / run
    until(written.exists, 120, f"run {run} asks its builder")
    dagster.wait_run(run)
    return float(written.read_text()) - begun


@contextmanager
def _dagster(home: Path, postgres: EmbeddedPostgres, launcher: Launcher, assets: int) -> Iterator[RunningDagster]:
    """A Dagster over that many assets, with one of the launchers."""
    (home / "asked").mkdir(parents=True)
    write(home / "assets", assets)
    postgres.create_database(f"starts_{launcher}")
    nowhere = "sc://localhost:1/;token=none"
    settings = Settings(
        home=home,
        landing=str(home / "landing"),
        lake=str(home / "lake"),
        ledger_url=postgres.uri("ledger"),
        vault_url=postgres.uri("vault"),
        storage_url=postgres.uri(f"starts_{launcher}"),
        spark_intake=nowhere,
        spark_lake=nowhere,
        collector_url="http://127.0.0.1:1",
        assets=home / "assets",
    )
    settings.write()
    with running_dagster(settings, [_DOMAIN], MODULE, launcher) as dagster:
        yield dagster
