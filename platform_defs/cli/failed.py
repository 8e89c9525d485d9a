"""`backline failed`: the events that were rejected, kept whole."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from platform_defs.collection.failed import FailedEvent, FailedLog


@click.group()
def failed() -> None:
    """Look at events that were rejected. They are kept whole, as they came, as long as landing is.

    \b
    ./backline failed list --last 24h
    ./backline failed list --type listening/track_played --reason schema
    ./backline failed show 2026-10-01/r1-000000000007:3
    """


@failed.command("list")
@click.option("--type", "event", metavar="TYPE", help="Events of this type only.")
@click.option("--client", help="Of this client only.")
@click.option("--reason", help="With this reason only: malformed, unknown_type, schema, too_large, out_of_range.")
@click.option("--last", metavar="AGE", help="Received in the last 30m, 24h, 7d.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_failed(event: str | None, client: str | None, reason: str | None, last: str | None, limit: int, as_json: bool) -> None:
    """The rejected events, oldest first: when, who, what and why; never what they hold.

    \b
    ./backline failed list
    ./backline failed list --last 24h --type listening/track_played
    """
    from platform_defs.cli.speech import console, show_json
    from platform_defs.collection.failed import FailedFilter
    from platform_defs.collection.record import REASONS

    known = next((one for one in REASONS if one == reason), None)
    if reason is not None and known is None:
        told = "\n".join(f"  {name}: {words}" for name, words in REASONS.items())
        raise click.UsageError(f"{reason!r} is no reason; there are\n{told}")
    since = datetime.now(UTC) - _age(last) if last else None
    wanted = FailedFilter(since=since, client=client, event=event, reason=known, limit=limit)
    found = list(_log().list(wanted))
    if as_json:
        show_json([_plain(one) for one in found])
        return
    if not found:
        click.echo("No rejected event matches.")
        return
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("id", "received", "client", "type", "reason", "detail"):
        shown.add_column(name, no_wrap=name != "detail")
    for one in found:
        shown.add_row(one.id, f"{one.at:%Y-%m-%d %H:%M:%S}", one.client, one.event or "-", str(one.reason), one.detail)
    console().print(shown)
    if len(found) == limit:
        click.echo(f"The first {limit}; --limit shows more.")


@failed.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(id: str, as_json: bool) -> None:
    """One rejected event as it came. It may hold personal values: mind where you paste it.

    \b
    ./backline failed show 2026-10-01/r1-000000000007:3
    """
    from platform_defs.cli.speech import show_json
    from platform_defs.collection.failed import NoSuchFailedEvent

    try:
        one = _log().show(id)
    except NoSuchFailedEvent as error:
        raise click.ClickException(str(error)) from error
    body = None if one.body is None else one.body.decode(errors="backslashreplace")
    if as_json:
        show_json({**_plain(one), "body": body})
        return
    for name, value in _plain(one).items():
        click.echo(f"{name:<10}{value}")
    click.echo(body if body is not None else "(too large to be kept)")


def _log() -> FailedLog:
    from platform_defs.collection.failed import FailedLog
    from resources.settings import default_home

    # Needs nothing running: the log is files.
    return FailedLog(Path(os.environ.get("BACKLINE_LANDING") or default_home() / "landing"))


def _age(text: str) -> timedelta:
    units = {"m": 60, "h": 3600, "d": 86400}
    if text[-1:] in units and text[:-1].isdecimal():
        return timedelta(seconds=int(text[:-1]) * units[text[-1]])
    raise click.UsageError(f"{text!r} is no age: write 30m, 24h or 7d")


def _plain(one: FailedEvent) -> dict[str, object]:
    return {"id": one.id, "at": one.at, "client": one.client, "event": one.event, "reason": str(one.reason), "detail": one.detail, "size": one.size}
