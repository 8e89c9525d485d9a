"""`backline send`: events from a file, through the SDK and the collector like any client's."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from platform_defs.collection.sdk import Client
    from resources.settings import Settings

TOKEN_VARIABLE = "BACKLINE_TOKEN"  # noqa: S105 - a variable's name
_CLIENT = "cli"
_ENVELOPE = frozenset({"id", "time", "data"})
_REJECTED_SHOWN = 20
# Without progress for so long the collector is taken for unreachable.
_STALLED_SECONDS = 60.0
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Line:
    """One event of the file. `id` and `time` are the SDK's to give where they are None."""

    number: int
    data: Any
    id: str | None = None
    time: datetime | None = None


@click.command()
@click.argument("type", metavar="TYPE")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True))
@click.option("--json", "as_json", is_flag=True, help="The verdicts as JSON.")
def send(type: str, file: Path, as_json: bool) -> None:
    """Send events of TYPE from FILE, a JSON object a line; `-` is standard input.

    A line holds the event's fields, or {"id": ..., "time": ..., "data": {fields}} to say when it happened and which event it is: the same id
    again is the same event. What the collector rejects is named by its line; then the exit code is 1, and the event is in ./backline failed list.
    Sent as the client `cli`, or as the one whose token is in BACKLINE_TOKEN.

    \b
    ./backline send listening/track_played plays.jsonl
    echo '{"track_id": "trk_aaaaaaaa", "user_id": "u1", ...}' | ./backline send listening/track_played -
    """
    from platform_defs.cli.live import running_settings
    from platform_defs.cli.speech import show_json
    from platform_defs.collection.sdk import Client

    logging.getLogger(Client.__module__).setLevel(logging.ERROR)  # what it would warn of is said below, line by line
    settings = running_settings()
    lines = list(read_lines(file))
    if not lines:
        raise click.ClickException(f"{file} holds no event")
    token = os.environ.get(TOKEN_VARIABLE) or token_of(settings, _CLIENT)
    with tempfile.TemporaryDirectory(dir=settings.run, prefix="send-") as folder:  # 0700, and on the home's disk
        client = Client(settings.collector_url, token, Path(folder) / "buffer.db", source="backline-cli")
        try:
            numbers = {client.send_raw(type, line.data, id=line.id, time=line.time): line.number for line in lines}
            _wait(client, len(lines))
            rejected = [{"line": numbers[one.id], "reason": one.reason, "detail": one.detail} for one in client.rejected()]
        finally:
            client.close(0)
    accepted = len(lines) - len(rejected)
    if as_json:
        show_json({"type": type, "sent": len(lines), "accepted": accepted, "rejected": rejected})
    else:
        click.echo(f"{accepted:,} accepted, {len(rejected):,} rejected")
        for one in rejected[:_REJECTED_SHOWN]:
            click.echo(f"  line {one['line']}: {one['reason']}: {one['detail']}")
        if len(rejected) > _REJECTED_SHOWN:
            client_is = "" if os.environ.get(TOKEN_VARIABLE) else f" --client {_CLIENT}"  # a token may be of any
            click.echo(f"  and {len(rejected) - _REJECTED_SHOWN:,} more: ./backline failed list{client_is}")
    if rejected:
        click.get_current_context().exit(1)


def read_lines(file: Path) -> Iterator[Line]:
    """The events of a file, empty lines left out. Raises click.ClickException naming the line that is none."""
    with click.open_file(str(file), encoding="utf-8") as text:
        for number, line in enumerate(text, start=1):
            if line.strip():
                yield _line(number, line)


def _line(number: int, text: str) -> Line:
    try:
        value = json.loads(text)
    except ValueError:
        raise click.ClickException(f"line {number} is not JSON; nothing was sent. Each line is one object") from None
    if not isinstance(value, dict):
        raise click.ClickException(f"line {number} is no JSON object; nothing was sent. Each line is one object")
    if "data" not in value or not value.keys() <= _ENVELOPE:
        return Line(number, value)
    try:
        time = None if value.get("time") is None else datetime.fromisoformat(value["time"])
        if time is not None and time.tzinfo is None:
            raise ValueError
    except (TypeError, ValueError):
        raise click.ClickException(f"line {number}: its time is none; nothing was sent. Write 2026-10-01T03:12:45Z, with its zone") from None
    id = value.get("id")
    if id is not None and not isinstance(id, str):
        raise click.ClickException(f"line {number}: its id is no text; nothing was sent")
    return Line(number, value["data"], id, time)


def token_of(settings: Settings, client: str) -> str:
    """The token of a client of this machine, made on first use and kept in the home (0600)."""
    from platform_defs.collection.tokens import Tokens, add_client

    path = settings.run / f"token-{client}"
    if path.is_file():
        token = path.read_text(encoding="utf-8").strip()
        if Tokens(settings.clients_file).client_of(f"Bearer {token}") == client:
            return token
    token = add_client(settings.clients_file, client)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(token)
    return token


def _wait(client: Client, total: int) -> None:
    """Waits until each event has its verdict, with progress. Raises click.ClickException if the collector stays away."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from platform_defs.cli.speech import console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console(err=True), transient=True) as progress:
        bar = progress.add_task("sending", total=total)
        left, stalled = client.waiting(), 0.0
        while not client.flush(_LOOK_SECONDS):
            now = client.waiting()
            stalled = 0.0 if now < left else stalled + _LOOK_SECONDS
            left = now
            progress.update(bar, completed=total - left)
            if stalled >= _STALLED_SECONDS:
                why = client.problem or "it does not answer"
                raise click.ClickException(f"{left:,} of {total:,} events were not taken: {why}. Its log: ./backline logs collector")
