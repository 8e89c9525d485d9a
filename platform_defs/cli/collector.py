"""`backline collector`: the process that receives events, and the tokens of those who send them."""

from __future__ import annotations

import logging
from pathlib import Path

import click


@click.group()
def collector() -> None:
    """Receive events; make tokens for clients.

    \b
    ./backline collector token web            a token for the client `web`
    ./backline collector revoke web
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
