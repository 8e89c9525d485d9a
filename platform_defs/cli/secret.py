"""`backline secret`: what sources need to log in elsewhere, kept in one private file of the home."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from pathlib import Path

import click

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@click.group()
def secret() -> None:
    """Keep what sources need to log in. A source names its secrets and gets them as dictionaries; nobody else sees them.

    \b
    ./backline secret set vendor_s3 < vendor_s3.json
    ./backline secret list
    ./backline secret remove vendor_s3
    """


@secret.command("set")
@click.argument("name")
def set_secret(name: str) -> None:
    """Set secret NAME to the JSON object on standard input: not an argument, which other users of the machine could see.

    \b
    ./backline secret set vendor_s3 < vendor_s3.json
    ./backline secret set warehouse <<< '{"url": "jdbc:...", "user": "u", "password": "p"}'
    """
    from resources.settings import default_home

    if not _NAME.fullmatch(name):
        raise click.UsageError(f"{name!r} cannot be a secret's name: write lower case letters, digits and underscores, as in vendor_s3")
    if sys.stdin.isatty():
        click.echo("Paste the JSON object, then Ctrl-D:", err=True)
    try:
        value = json.loads(sys.stdin.read())
    except ValueError as error:
        raise click.ClickException('standard input is not JSON: give an object, as in {"user": "u", "password": "p"}') from error
    if not isinstance(value, dict) or not value:
        raise click.ClickException('a secret is a JSON object with at least one name, as in {"user": "u", "password": "p"}')
    path = default_home() / "secrets.json"
    known = _read(path)
    known[name] = value
    _write(path, known)
    click.echo(f"{name} is set ({len(value)} {'entry' if len(value) == 1 else 'entries'}); sources have it from their next partition on")


@secret.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_secrets(as_json: bool) -> None:
    """Names of the secrets that are set; never what they hold.

    \b
    ./backline secret list
    """
    from platform_defs.cli.speech import show_json
    from resources.settings import default_home

    names = sorted(_read(default_home() / "secrets.json"))
    if as_json:
        show_json(names)
        return
    for name in names:
        click.echo(name)


@secret.command("remove")
@click.argument("name")
def remove_secret(name: str) -> None:
    """Forget secret NAME: sources that name it fail from their next partition on.

    \b
    ./backline secret remove vendor_s3
    """
    from resources.settings import default_home

    path = default_home() / "secrets.json"
    known = _read(path)
    if known.pop(name, None) is None:
        raise click.ClickException(f"there is no secret {name!r}; ./backline secret list shows those there are")
    _write(path, known)
    click.echo(f"{name} is forgotten")


def _read(path: Path) -> dict[str, object]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


def _write(path: Path, known: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".secrets-")  # mkstemp makes 0600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(known, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)
