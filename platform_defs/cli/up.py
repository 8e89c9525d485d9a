"""`backline up` and `backline down`: everything on this machine, started and stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from platform_defs.running.supervisor import Supervisor, Tell

# Stopping in order may take so long: a run is cancelled, the collector seals, Spark and Postgres end.
_DOWN_SECONDS = 60.0


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port of the web pages; any free one if it is taken.")
@click.option("--collector-port", default=8600, show_default=True, help="Port of the collector; any free one if it is taken.")
@click.option("--memory", default="2g", show_default=True, help="Memory of the Spark server.")
def up(port: int, collector_port: int, memory: str) -> None:
    """Start everything and stay until Ctrl-C.

    Starts Postgres, the Spark server, the collector, a code server per domain, Dagster's daemon and web pages, and applies the contracts in
    assets/. A file saved there is applied and live within seconds, or refused with the reason while what was applied before runs on. Ctrl-C
    stops all of it in order; a second one hurries.

    \b
    ./backline up
    ./backline up --port 3100 --memory 4g
    BACKLINE_HOME=/data/backline ./backline up                      state elsewhere
    BACKLINE_POSTGRES_URL=postgresql://me:pw@host/ ./backline up    a Postgres of yours
    """
    from platform_defs.cli.speech import console
    from platform_defs.running.supervisor import Interrupted, Supervisor
    from resources.settings import checkout, default_home

    out = console()
    supervisor = Supervisor(default_home(), assets_folder(checkout()), tell=progress(), heap=memory, web_port=port, collector_port=collector_port, signals=True)
    try:
        with supervisor:
            for line in addresses(supervisor):
                out.print(line)
            out.print("\nCtrl-C stops it.")
            supervisor.wait()
    except Interrupted:
        if not supervisor.started:
            raise


@click.command()
def down() -> None:
    """Stop what `up` or `demo` started, wherever it runs.

    \b
    ./backline down
    BACKLINE_HOME=/data/backline ./backline down
    """
    from platform_defs.running.home import Home, wait_until
    from resources.settings import default_home

    home = Home(default_home())
    lock = home.lock()
    holder = lock.holder()
    if holder is None:
        click.echo(f"Nothing runs in {home.root}.")
        return
    click.echo(f"stopping process {holder.pid} and all it started")
    os.kill(holder.pid, signal.SIGTERM)
    if not wait_until(lambda: lock.holder() is None, _DOWN_SECONDS, pause=0.2):
        raise click.ClickException(
            f"process {holder.pid} still stops after {_DOWN_SECONDS:.0f} s. ./backline down again hurries it; its logs are in {home.logs}"
        )
    click.echo("stopped")


def addresses(supervisor: Supervisor) -> list[str]:
    """The addresses to know, a line each."""
    settings = supervisor.settings
    return [
        "",
        f"  web pages   {settings.dagster_url}",
        f"  collector   {settings.collector_url}   (a token: ./backline collector token NAME)",
        f"  state       {settings.home}",
        f"  logs        {settings.logs}",
    ]


def assets_folder(checkout: Path) -> Path:
    """The domains' folder: BACKLINE_ASSETS, else `assets` in the checkout. Raises click.UsageError if there is none."""
    folder = Path(os.environ.get("BACKLINE_ASSETS") or checkout / "assets").absolute()
    if not folder.is_dir():
        raise click.UsageError(f"{folder} is not there: the domains are its subfolders. Run this in a checkout, or set BACKLINE_ASSETS")
    return folder


def progress() -> Tell:
    """Shows what the supervisor tells, a line for everything that took a moment or needs to be known."""
    from platform_defs.cli.speech import console

    out = console()

    def tell(told: object) -> None:
        from platform_defs.running.supervisor import Progress

        if not isinstance(told, Progress):
            raise TypeError(told)
        if told.state == "done":
            out.print(f"  {told.part:<12}ready  {told.seconds:5.1f} s" if told.part != "stop" else f"  stopped in {told.seconds:.1f} s")
        elif told.state == "begun" and told.part == "stop":
            out.print("\nstopping (Ctrl-C again hurries)")
        elif told.state == "failed":
            out.print(f"  {told.part:<12}[red]failed[/red]")
            out.print(told.words, markup=False)  # an author's text: what is in brackets is to be seen
        elif told.state == "note":
            out.print(f"  {told.part:<12}{told.words}", markup=False)

    return tell
