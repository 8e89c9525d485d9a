"""`backline read`: rows of an endpoint, at the version that was published last."""

from __future__ import annotations

import csv
import json
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from platform_defs.contracts.contract import Contract
    from platform_defs.ledger import Ledger

_UUID_BYTES = 16
_SCREEN_ROWS = 20


@click.command()
@click.argument("endpoint")
@click.option("--from", "first", metavar="PARTITION", help="First partition, 2026-10-01T03 or 2026-10-01; the newest alone if neither is given.")
@click.option("--to", "last", metavar="PARTITION", help="Last partition, included.")
@click.option("--limit", type=click.IntRange(1), help=f"Rows at most; {_SCREEN_ROWS} on the screen, all with --json or --csv, unless given.")
@click.option("--json", "form", flag_value="json", help="A JSON object a line.")
@click.option("--csv", "form", flag_value="csv", help="CSV with a header.")
def read(endpoint: str, first: str | None, last: str | None, limit: int | None, form: str | None) -> None:
    """Show rows of ENDPOINT as published: what a partition's last good version holds, never what is being built.

    Pseudonyms and other 16-byte values are shown as UUIDs, times as UTC.

    \b
    ./backline read charts/skip_rate
    ./backline read charts/skip_rate --from 2026-10-01T00 --to 2026-10-01T05 --csv > rates.csv
    ./backline read listening/track_played --from 2026-10-01 --json --limit 100
    """
    from platform_defs.cli.live import running_settings
    from platform_defs.contracts.partitions import partition_column
    from platform_defs.lake.layout import Lake
    from platform_defs.lake.tables import read_table
    from platform_defs.ledger import Ledger
    from resources.spark import SparkEngines

    settings = running_settings()
    ledger = Ledger(settings.ledger_url)
    try:
        contract = _contract(ledger, endpoint)
        keys = published_keys(ledger, contract, first, last)
        version = ledger.partitions.newest_version(contract.key, contract.cadence)
    finally:
        ledger.close()
    if version is None:
        raise click.ClickException(f"{endpoint}: its published partitions hold no version; ./backline status {endpoint} says more")
    engine = SparkEngines(settings.spark_intake, settings.spark_lake).engine("lake")
    run = f"read-{uuid.uuid4()}"
    column = partition_column(contract.cadence)
    try:
        frame = read_table(engine.session(run), Lake(settings.lake).table(contract.key), version, keys, column)
        frame = frame.orderBy(column, *contract.unique)
        wanted = limit or (None if form else _SCREEN_ROWS)
        rows = (row.asDict(recursive=True) for row in (frame.limit(wanted + 1) if wanted else frame).toLocalIterator())
        shown = show(rows, frame.columns, form, wanted)
    finally:
        engine.release(run)
    if not form and shown == wanted:
        click.echo(f"{keys[0]} to {keys[-1]}; --limit shows more." if len(keys) > 1 else f"{keys[0]}; --limit shows more.", err=True)


def published_keys(ledger: Ledger, contract: Contract, first: str | None, last: str | None) -> list[str]:
    """Published partitions between two keys (days stand for their hours), the newest one if neither is given. Raises click.ClickException if none is."""
    from platform_defs.contracts.partitions import hours_of, keys_between, window_of

    newest = ledger.partitions.newest(contract.key, contract.cadence)
    if newest is None:
        raise click.ClickException(f"{contract.key} has no published partition yet; ./backline status {contract.key} says why")
    if first is None and last is None:
        return [newest]
    given = [key or newest for key in (first, last)]
    if contract.cadence == "hourly":
        given = [hours_of(key)[-1 if place else 0] for place, key in enumerate(given)]
    elif any(window_of(key).cadence == "hourly" for key in given):
        raise click.UsageError(f"{contract.key} is daily: write days, as in 2026-10-01")
    keys = sorted(ledger.partitions.published(contract.key, keys_between(*given)))
    if not keys:
        raise click.ClickException(f"{contract.key} has no published partition from {given[0]} to {given[1]}; its newest is {newest}")
    return keys


def show(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], form: str | None, limit: int | None) -> int:
    """Writes rows to standard output in the form asked for, `limit` at most; how many."""
    if form is None:
        return _table(rows, columns, limit)
    writer = csv.writer(sys.stdout) if form == "csv" else None
    if writer:
        writer.writerow(columns)
    count = 0
    for row in rows:
        if limit is not None and count >= limit:
            break
        count += 1
        if writer:
            writer.writerow([_cell(row[name]) for name in columns])
        else:
            sys.stdout.write(json.dumps({name: plain(row[name]) for name in columns}, ensure_ascii=False) + "\n")
    return count


def _table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], limit: int | None) -> int:
    from rich.table import Table

    from platform_defs.cli.speech import console

    table = Table(*columns, box=None, pad_edge=False, header_style="dim")
    count = 0
    for row in rows:
        if limit is not None and count >= limit:
            break
        count += 1
        table.add_row(*(_cell(row[name]) for name in columns))
    console().print(table)
    return count


def plain(value: Any) -> Any:
    """A value as JSON can hold it: 16 bytes as a UUID, other bytes as hex, times as ISO 8601 in UTC, decimals as text."""
    if isinstance(value, bytes | bytearray):
        return str(uuid.UUID(bytes=bytes(value))) if len(value) == _UUID_BYTES else bytes(value).hex()
    if isinstance(value, datetime):
        return value.isoformat() + ("" if value.tzinfo else "Z")
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def _cell(value: Any) -> str:
    shown = plain(value)
    if shown is None:
        return ""
    return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)


def _contract(ledger: Ledger, endpoint: str) -> Contract:
    from difflib import get_close_matches

    known = ledger.registry.current()
    if endpoint in known:
        return known[endpoint]
    near = get_close_matches(endpoint, known, 1)
    raise click.ClickException(f"there is no {endpoint}. " + (f"Did you mean {near[0]}?" if near else "./backline status lists what there is."))
