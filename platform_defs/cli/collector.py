"""`backline collector`: the process that receives events, the tokens of those who send them, and the receivers there are."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

import click


@click.group()
def collector() -> None:
    """Receive events; make tokens for clients; give up receivers that will not come back.

    \b
    ./backline collector token web            a token for the client `web`
    ./backline collector revoke web
    ./backline collector list                 the receivers and how far they sealed
    ./backline collector lost r2 --why TEXT   hours close without r2
    ./backline collector run --port 8600      what `up` starts
    """


@collector.command()
@click.argument("client")
def token(client: str) -> None:
    """Make a token for CLIENT and show it: the only time it can be seen. An earlier token of that client is void from now on.

    \b
    ./backline collector token web
    TOKEN=$(./backline collector token web)
    """
    from platform_defs.collection.tokens import add_client
    from platform_defs.running.home import Home
    from resources.settings import default_home

    home = Home(default_home())
    home.prepare()
    try:
        made = add_client(home.root / "clients.json", client)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(made)


@collector.command()
@click.argument("client")
def revoke(client: str) -> None:
    """Void CLIENT's token: what it sends from now on is not taken.

    \b
    ./backline collector revoke web
    """
    from platform_defs.collection.tokens import remove_client
    from resources.settings import default_home

    if not remove_client(default_home() / "clients.json", client):
        raise click.ClickException(f"{client} has no token")
    click.echo(f"{client} is void")


@collector.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8600, show_default=True, help="Port to listen on; 0 takes any free one.")
def run(host: str, port: int) -> None:
    """Receive events until SIGTERM, in the foreground. `up` does this for you.

    \b
    ./backline collector run
    ./backline collector run --host 0.0.0.0 --port 8600     behind a proxy that speaks TLS
    """
    from platform_defs.collection.process import CollectorConfig, SpoolInUse, run_collector
    from platform_defs.ledger import Ledger
    from resources.settings import Settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings.load()
    ledger = Ledger(settings.ledger_url)
    try:
        run_collector(
            CollectorConfig(
                landing=Path(settings.landing),
                spool=settings.home / "spool",
                clients=settings.clients_file,
                registry=ledger.registry.current,
                ledger=ledger.landing,
                host=host,
                port=port,
                on_ready=lambda taken: click.echo(f"takes events on http://{host}:{taken}/events"),
            )
        )
    except SpoolInUse as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{host}:{port} cannot be listened on: {error.strerror}") from error
    finally:
        ledger.close()


@collector.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_receivers(as_json: bool) -> None:
    """The receivers: state, how far they have sealed, their last sign of life. A live one that is silent holds hours open.

    \b
    ./backline collector list
    """
    from rich.table import Table

    from platform_defs.cli.live import running_settings
    from platform_defs.cli.speech import console, show_json
    from platform_defs.ledger import Ledger

    ledger = Ledger(running_settings().ledger_url)
    try:
        found = ledger.landing.receivers()
    finally:
        ledger.close()
    if as_json:
        show_json([asdict(each) for each in found])
        return
    if not found:
        click.echo("No receiver was ever seen.")
        return
    shown = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("receiver", "state", "sealed until", "last beat", "why"):
        shown.add_column(name, no_wrap=name != "why")
    for each in found:
        shown.add_row(
            each.id, each.state, f"{each.sealed_until:%Y-%m-%d %H:%M:%S}" if each.sealed_until else "-", f"{each.beat_at:%Y-%m-%d %H:%M:%S}", each.why
        )
    console().print(shown)


@collector.command()
@click.argument("id")
@click.option("--why", required=True, metavar="TEXT", help="What became of it.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def lost(id: str, why: str, as_json: bool) -> None:
    """Give the receiver ID up: hours close without it. If its log turns up and is sealed, its rows are late rows; if it beats again, it is live again.

    \b
    ./backline collector lost r2 --why "its disk died"
    """
    from platform_defs.cli.live import running_settings
    from platform_defs.cli.speech import show_json
    from platform_defs.lake.layout import Lake
    from platform_defs.ledger import Ledger
    from platform_defs.ledger.decisions import DecisionRefused, lose

    settings = running_settings()
    ledger = Ledger(settings.ledger_url)
    try:
        found = lose(ledger, Lake(settings.lake), id, why)
    except DecisionRefused as error:
        raise click.ClickException(str(error)) from error
    finally:
        ledger.close()
    if as_json:
        show_json({"id": id, "state": "lost", "sealed_until": found.sealed_until})
        return
    until = f"{found.sealed_until:%Y-%m-%d %H:%M:%S}" if found.sealed_until else "never"
    click.echo(f"{id} is lost (sealed until {until}): hours close without it from now on, and their check `complete` warns with its name.")
    click.echo(
        f"What it accepted after that is in its spool: start a collector on it and it is sealed, as late rows. ./backline collector found {id} takes this back."
    )


@collector.command()
@click.argument("id")
@click.option("--why", default="found", metavar="TEXT", help="The reason, for the record.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def found(id: str, why: str, as_json: bool) -> None:
    """Take back that the receiver ID is lost: hours that are not built yet wait for it again, as long as its event types hold them.

    \b
    ./backline collector found r2
    """
    from platform_defs.cli.live import running_settings
    from platform_defs.cli.speech import show_json
    from platform_defs.lake.layout import Lake
    from platform_defs.ledger import Ledger
    from platform_defs.ledger.decisions import DecisionRefused, find

    settings = running_settings()
    ledger = Ledger(settings.ledger_url)
    try:
        find(ledger, Lake(settings.lake), id, why)
    except DecisionRefused as error:
        raise click.ClickException(str(error)) from error
    finally:
        ledger.close()
    if as_json:
        show_json({"id": id, "state": "live"})
        return
    click.echo(f"{id} counts again: hours that are not built wait for it until it seals, or their hold is over.")
