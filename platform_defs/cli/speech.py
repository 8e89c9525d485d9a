"""How commands speak: consoles, errors that were foreseen, JSON for scripts. No command's own knowledge belongs here."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 200
# Errors whose message says what is wrong and what to do: shown without a traceback. By name, so that nothing is imported to compare.
_FORESEEN = frozenset(
    {
        "platform_defs.contracts.errors.ContractError",
        "platform_defs.contracts.errors.ContractErrors",
        "platform_defs.contracts.partitions.PartitionKeyError",
        "platform_defs.cli.demo.job.DemoStuck",
        "platform_defs.lake.delta_log.NoTable",
        "platform_defs.lake.engine.EngineError",
        "platform_defs.running.applying.ApplyRefused",
        "platform_defs.running.dagster_client.DagsterRefused",
        "platform_defs.running.home.AlreadyRunning",
        "platform_defs.running.home.HomeUnusable",
        "platform_defs.running.jars.JarError",
        "platform_defs.running.java.NoJava",
        "platform_defs.running.processes.ChildFailed",
        "platform_defs.running.supervisor.StartFailed",
        "platform_defs.privacy.vault.VaultUnavailable",
        "resources.settings.NotRunning",
        "resources.settings.SettingsWrong",
    }
)
# SQLAlchemy's for a server that is not there, goes away or takes no more.
_NO_POSTGRES = frozenset({"sqlalchemy.exc.OperationalError", "sqlalchemy.exc.InterfaceError", "sqlalchemy.exc.TimeoutError"})


def foreseen(error: BaseException) -> str | None:
    """The words of an error that says for itself what to do; None for any other, whose traceback is wanted."""
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    if kinds & _FORESEEN:
        return str(error)
    if kinds & _NO_POSTGRES or getattr(error, "connection_invalidated", False):
        why = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        return f"Postgres could not be asked ({why}). What is the matter with it: ./backline status, ./backline logs postgres"
    return None


def console(*, err: bool = False) -> Console:
    """Where tables and progress go: standard output, or standard error where standard output is for a script."""
    from rich.console import Console

    shown = Console(stderr=err, highlight=False, soft_wrap=True)
    # A file or a pipe has no width: tables are not to be cut there.
    return shown if shown.is_terminal else Console(stderr=err, highlight=False, soft_wrap=True, width=_WIDE)


def show_json(value: Any) -> None:
    """Writes a value as indented JSON to standard output; times as ISO 8601, bytes as hex."""
    click.echo(json.dumps(value, indent=2, default=_plain))


def span_words(seconds: float) -> str:
    """A length of time as people say it, no finer than it is known: `40 s`, `12 min`, `3 h 10 min`, `2 d 4 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 36:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return bytes(value).hex()
    return str(value)
