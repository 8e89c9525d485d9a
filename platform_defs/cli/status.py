"""`backline status`: what is broken first, then where every dataset stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from platform_defs.cli.causes import Cause, Resting
    from platform_defs.cli.services import Services
    from platform_defs.ledger import Ledger

_DAYS = 7
# More causes than a screen holds are counted, not listed.
_CAUSES_SHOWN = 10


@dataclass(frozen=True)
class Standing:
    """Where one dataset stands.

    Attributes:
        newest: its newest published partition. complete: the newest one with all before it published (since the span's beginning).
        counts: partitions of the span by state; `late`: rows that landed and are in no table yet.
    """

    name: str
    kind: str
    newest: str | None
    complete: str | None
    counts: dict[str, int]
    late: int


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--missing", "only_missing", is_flag=True, help="What is missing from before the last 48 h, and what would build it.")
@click.option("--processes", "only_processes", is_flag=True, help="What each process holds in memory: now, idle, at its peak.")
@click.option("--days", default=_DAYS, show_default=True, type=click.IntRange(1, 400), help="How far back partitions are counted.")
@click.argument("prefix", required=False)
@click.pass_context
def status(context: click.Context, as_json: bool, only_missing: bool, only_processes: bool, days: int, prefix: str | None) -> None:
    """What is broken, what waits, what is complete. Root causes first: one refused hour may be why fifty others wait.

    PREFIX narrows it to a domain or a dataset. What is broken is told however old it is; the table counts the last days.
    Exit codes: 0 told, whatever is broken, 1 the ledger cannot be asked.

    \b
    ./backline status
    ./backline status charts
    ./backline status --days 30 --json
    ./backline status --missing charts
    ./backline status --processes
    """
    if only_processes:
        from platform_defs.cli.processes import show_processes
        from resources.settings import default_home

        show_processes(default_home(), as_json=as_json)
        return
    from platform_defs.cli.causes import causes, resting
    from platform_defs.cli.live import running_settings
    from platform_defs.cli.services import looked_at, switched_off
    from platform_defs.cli.speech import show_json
    from platform_defs.ledger import Ledger
    from platform_defs.planning.states import decide

    settings = running_settings()
    if only_missing:
        from platform_defs.cli.missing import show_missing

        show_missing(settings.ledger_url, prefix, as_json=as_json)
        return
    services = looked_at(settings)
    if services.no_ledger:
        if as_json:
            show_json({"at": datetime.now(UTC), "days": days, "services": services.plain})
        else:
            services.show()
            click.echo("What is broken, what waits and what is complete stands in Postgres: ask again once it answers.")
        context.exit(1)
    ledger = Ledger(settings.ledger_url)
    try:
        now = datetime.now(UTC)
        keys = sorted(ledger.registry.current())
        facts = ledger.facts(keys, now - timedelta(days=days), now)
        decisions = decide(facts, now)
        pauses = ledger.pauses.of(keys)
        services = replace(services, off=switched_off(settings, {pause.name for pause in ledger.pauses.open()}))
        found = causes(decisions, ledger.troubles.all(), pauses)
        rest = resting(decisions, pauses, ledger.pauses.open())
        shown = [key for key in keys if prefix is None or key == prefix or key.startswith(f"{prefix}/")]
        if prefix is not None and not shown:
            raise click.ClickException(f"{prefix} is no domain and no dataset; ./backline status lists them")
        by_endpoint = Counter((each.endpoint, str(each.shown)) for each in decisions)
        late = Counter[str]()
        unpublished: dict[str, str] = {}
        for each in decisions:
            late[each.endpoint] += each.late
            if each.partition not in facts.endpoints[each.endpoint].published:
                unpublished[each.endpoint] = min(each.partition, unpublished.get(each.endpoint, each.partition))
        table = [_standing(ledger, key, by_endpoint, late[key], unpublished.get(key)) for key in shown]
    finally:
        ledger.close()
    found = [cause for cause in found if prefix is None or cause.endpoint in shown or set(cause.datasets) & set(shown)]
    rest = [each for each in rest if prefix is None or each.pause.name == prefix or any(pauses.get(key) == each.pause for key in shown)]
    if as_json:
        told = {"causes": [asdict(cause) for cause in found], "pauses": [asdict(each) for each in rest], "endpoints": [asdict(row) for row in table]}
        show_json({"at": now, "days": days, "services": services.plain, **told})
        return
    _show(found, rest, services, table, days)
    if services.shared_spark:
        click.echo("One Spark server serves intake and authors' code, as on a laptop: authors' code could read landing.")


def _standing(ledger: Ledger, key: str, counts: Counter[tuple[str, str]], late: int, unpublished: str | None) -> Standing:
    from platform_defs.contracts.partitions import shift

    contract = ledger.registry.current()[key]
    newest = ledger.partitions.newest(key, contract.cadence)
    complete = newest
    if newest is not None and unpublished is not None and unpublished <= newest:
        complete = shift(unpublished, -1)
    mine = {state: number for (endpoint, state), number in counts.items() if endpoint == key}
    return Standing(key, contract.kind, newest, complete, mine, late)


def _show(found: Sequence[Cause], rest: Sequence[Resting], services: Services, table: Sequence[Standing], days: int) -> None:
    from rich.table import Table

    from platform_defs.cli.speech import console

    out = console()
    services.show()
    if not found:
        out.print("Nothing is broken." if services.well else "")
    else:
        waiting, datasets = sum(cause.waiting for cause in found), {name for cause in found for name in cause.datasets}
        out.print(
            f"[red]{_count(len(found), 'thing')} broken[/red]"
            + (f"; {_count(waiting, 'partition')} of {_count(len(datasets), 'dataset')} {_wait(waiting)} for it." if waiting else ".")
        )
        for cause in found[:_CAUSES_SHOWN]:
            out.print(f"  {cause.endpoint} [red]{cause.state}[/red] {_span(cause.partitions)}", markup=True)
            out.print(f"      {cause.reason}", markup=False)
            out.print(f"      ./backline why {cause.endpoint} {cause.partitions[-1]}", markup=False)
            if cause.waiting:
                readers = f"{', '.join(cause.datasets[:5])}{' ...' if len(cause.datasets) > 5 else ''}"
                out.print(f"      {_count(cause.waiting, 'partition')} {_wait(cause.waiting)} for it: {readers}", markup=False)
        if len(found) > _CAUSES_SHOWN:
            out.print(f"  and {len(found) - _CAUSES_SHOWN} more: ./backline status --json")
    for each in rest:
        until = f" until {each.pause.until:%Y-%m-%d %H:%M}" if each.pause.until else ""
        waits = f"; {_count(each.waiting, 'partition')} of {', '.join(each.datasets[:5])} {_wait(each.waiting)} for it" if each.waiting else ""
        out.print(f"{each.pause.name} is paused since {each.pause.since:%Y-%m-%d %H:%M}{until}: {each.pause.why}", markup=False)
        out.print(f"      {_count(each.partitions, 'partition')} left alone{waits}; ./backline resume {each.pause.name}", markup=False)
    states = ("current", "waiting", "due", "requested", "running", "stale", "outdated", "refused", "failed", "stuck", "overdue", "paused")
    used = [state for state in states if any(row.counts.get(state) for row in table)]
    shown = Table(box=None, pad_edge=False, header_style="dim", title=f"the last {days} days", title_justify="left")
    for name in ("dataset", "complete to", "newest"):
        shown.add_column(name, no_wrap=True)
    for name in (*used, "late rows"):
        shown.add_column(name, justify="right")
    for row in table:
        cells: list[Any] = [row.name, row.complete or "-", row.newest or "-", *(_number(row.counts.get(state, 0)) for state in used), _number(row.late)]
        shown.add_row(*cells)
    out.print(shown)


def _number(value: int) -> str:
    return f"{value:,}" if value else ""


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def _wait(number: int) -> str:
    return "waits" if number == 1 else "wait"


def _span(partitions: Sequence[str]) -> str:
    if len(partitions) <= 2:
        return " and ".join(partitions)
    return f"{partitions[0]} to {partitions[-1]} ({len(partitions)} partitions)"
