"""`backline read`: rows of an endpoint, at the version that was published last."""

from __future__ import annotations

import csv
import json
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from platform_defs.contracts.contract import Contract
    from platform_defs.ledger import Ledger

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

    Pseudonyms and other 16-byte values are shown as UUIDs, times as UTC, encrypted personal values as ***.

    \b
    ./backline read charts/skip_rate
    ./backline read charts/skip_rate --from 2026-10-01T00 --to 2026-10-01T05 --csv > rates.csv
    ./backline read listening/track_played --from 2026-10-01 --json --limit 100
    """
    from platform_defs.cli.live import running_settings
    from platform_defs.contracts.partitions import partition_column
    from platform_defs.lake.layout import Lake
    from platform_defs.lake.reading import read_rows
    from platform_defs.ledger import Ledger
    from resources.engines import engines_of

    settings = running_settings()
    ledger = Ledger(settings.ledger_url)
    try:
        contract = _contract(ledger, endpoint)
        keys = span(ledger, contract, first, last)
    finally:
        ledger.close()
    engine = engines_of(settings).engine("lake")
    run = f"read-{uuid.uuid4()}"
    wanted = limit or (None if form else _SCREEN_ROWS)
    try:
        rows = read_rows(engine.session(run), Lake(settings.lake), contract, *keys, limit=wanted)
        count = show(rows, [partition_column(contract.cadence), *(column.name for column in contract.columns)], form)
    finally:
        engine.release(run)
    if not form:
        between = keys[0] if keys[0] == keys[1] else f"{keys[0]} to {keys[1]}"
        click.echo(
            f"{between}: {'the first ' if count == wanted else ''}{count} {'row' if count == 1 else 'rows'}"
            + ("; --limit shows more" if count == wanted else ""),
            err=True,
        )


def span(ledger: Ledger, contract: Contract, first: str | None, last: str | None) -> tuple[str, str]:
    """First and last partition asked for; days stand for their hours, and the newest published one for what is not given.

    Raises click.ClickException if nothing is published there.
    """
    from platform_defs.contracts.partitions import hours_of, keys_between, window_of

    newest = ledger.partitions.newest(contract.key, contract.cadence)
    if newest is None:
        raise click.ClickException(f"{contract.key} has no published partition yet; ./backline status {contract.key} says why")
    begin, end = first or (newest if last is None else contract.start), last or newest
    if contract.cadence == "hourly":
        begin, end = hours_of(begin)[0], hours_of(end)[-1]
    elif "hourly" in (window_of(begin).cadence, window_of(end).cadence):
        if first is None:  # a daily dataset may start within a day
            begin = begin[:10]
        if "hourly" in (window_of(begin).cadence, window_of(end).cadence):
            raise click.UsageError(f"{contract.key} is daily: write days, as in 2026-10-01")
    if not ledger.partitions.published(contract.key, keys_between(begin, end)):
        raise click.ClickException(f"{contract.key} has no published partition from {begin} to {end}; its newest is {newest}")
    return begin, end


def show(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], form: str | None) -> int:
    """Writes rows to standard output in the form asked for; how many. `columns`: for a head without rows."""
    table: list[Mapping[str, Any]] = []
    writer = csv.writer(sys.stdout)
    count = 0
    for row in rows:
        if form == "csv" and not count:
            writer.writerow(columns := list(row))
        count += 1
        if form == "json":
            sys.stdout.write(json.dumps({name: plain(value) for name, value in row.items()}, ensure_ascii=False) + "\n")
        elif form == "csv":
            writer.writerow([_cell(row[name]) for name in columns])
        else:
            table.append(row)
    if form == "csv" and not count:
        writer.writerow(columns)
    if form is None:
        _table(table, list(table[0]) if table else columns)
    return count


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from rich.table import Table

    from platform_defs.cli.speech import console

    table = Table(*columns, box=None, pad_edge=False, header_style="dim")
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in columns))
    console().print(table)


def plain(value: Any) -> Any:
    """A value as JSON can hold it: times as ISO 8601 in UTC, decimals as text."""
    if isinstance(value, datetime):
        return value.isoformat() + ("" if value.tzinfo else "Z")
    if isinstance(value, date):
        return value.isoformat()
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
