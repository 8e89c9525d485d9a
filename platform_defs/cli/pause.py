"""`backline pause` and `backline resume`: leave a domain or a dataset alone for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from platform_defs.contracts.contract import Contract
    from platform_defs.ledger import Ledger
    from platform_defs.planning.facts import Pause

_NAMED = 5


@click.command()
@click.argument("name", required=False)
@click.option("--why", metavar="TEXT", help="The reason: whoever waits for it reads it.")
@click.option("--until", metavar="WHEN", help="When it ends by itself: 2h, 3d, 2026-10-05, 2026-10-05T12 or 2026-10-05T12:30 (UTC). Else `resume` ends it.")
@click.option("--list", "as_list", is_flag=True, help="What is paused, why, since and until when.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def pause(name: str | None, why: str | None, until: str | None, as_list: bool, as_json: bool) -> None:
    """Leave NAME alone, a domain or a dataset (an endpoint, an event type, a source): nothing of it is asked for, no deadline of it counts.

    Events go on being collected, and what somebody starts by hand is built all the same.

    \b
    ./backline pause charts/skip_rate --why "numbers look wrong, being looked into"
    ./backline pause catalogue/vendor_chart --until 3d --why "the vendor moves house"
    ./backline pause --list
    """
    from platform_defs.cli.live import running_settings
    from platform_defs.cli.speech import show_json
    from platform_defs.lake.layout import Lake
    from platform_defs.ledger import Ledger
    from platform_defs.ledger.decisions import DecisionRefused
    from platform_defs.ledger.decisions import pause as decide

    if as_list == (name is not None):
        raise click.UsageError("name what to pause, or write --list to see what is paused")
    if name is not None and not why:
        raise click.UsageError(f"say why {name} is paused: --why TEXT; whoever waits for it reads that")
    end = instant(until, datetime.now(UTC)) if until else None
    settings = running_settings()
    ledger = Ledger(settings.ledger_url)
    try:
        if name is None:
            _list(ledger, as_json)
            return
        made = decide(ledger, Lake(settings.lake), name, str(why), end)
        lines = said(made, ledger.registry.current(), ledger.store.clock())
    except DecisionRefused as error:
        raise click.ClickException(str(error)) from error
    finally:
        ledger.close()
    if as_json:
        show_json(asdict(made))
        return
    for line in lines:
        click.echo(line)


@click.command()
@click.argument("name")
@click.option("--why", default="resumed", metavar="TEXT", help="The reason, for the record.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def resume(name: str, why: str, as_json: bool) -> None:
    """End the pause of NAME: what is due of it is asked for again.

    \b
    ./backline resume charts/skip_rate
    ./backline resume catalogue --why "the vendor is back"
    """
    from platform_defs.cli.live import running_settings
    from platform_defs.cli.speech import show_json
    from platform_defs.lake.layout import Lake
    from platform_defs.ledger import Ledger
    from platform_defs.ledger.decisions import DecisionRefused
    from platform_defs.ledger.decisions import resume as decide
    from platform_defs.planning.states import LOOK_BACK

    settings = running_settings()
    ledger = Ledger(settings.ledger_url)
    try:
        ended = decide(ledger, Lake(settings.lake), name, why)
        lasted = ledger.store.clock() - ended.since
    except DecisionRefused as error:
        raise click.ClickException(str(error)) from error
    finally:
        ledger.close()
    if as_json:
        show_json({"name": ended.name, "since": ended.since, "lacks_from_before": lasted > LOOK_BACK})
        return
    hours = LOOK_BACK // timedelta(hours=1)
    click.echo(f"{name} is resumed: what is due of its last {hours} hours is asked for at the next tick.")
    if lasted > LOOK_BACK:
        click.echo(f"It was paused longer than that: what it lacks from before is asked for by nobody; ./backline status --missing {name} shows it.")


def instant(text: str, now: datetime) -> datetime:
    """The instant that a text means: a length of time from now, a day, an hour or a minute (UTC). Raises click.UsageError."""
    from platform_defs.contracts.durations import DurationError, seconds_of

    try:
        return now + timedelta(seconds=seconds_of(text))
    except DurationError:
        pass
    for form in ("%Y-%m-%d", "%Y-%m-%dT%H", "%Y-%m-%dT%H:%M"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise click.UsageError(f"{text!r} is no time: write 2h, 3d, 2026-10-05, 2026-10-05T12 or 2026-10-05T12:30 (UTC)")


def said(made: Pause, contracts: Mapping[str, Contract], now: datetime) -> list[str]:
    """What a pause means for others, in lines."""
    from platform_defs.contracts.durations import words

    held = sorted(key for key, contract in contracts.items() if made.name in (key, contract.domain))
    until = f"until {made.until:%Y-%m-%d %H:%M} UTC" if made.until else f"until ./backline resume {made.name}"
    lines = [f"{made.name} is paused {until}: of {_count(len(held), 'dataset')} nothing is asked for and no deadline counts."]
    readers = sorted(key for key, contract in contracts.items() if key not in held and any(item.endpoint in held for item in contract.inputs))
    if readers:
        more = f" and {len(readers) - _NAMED} more" if len(readers) > _NAMED else ""
        lines.append(
            f"{_count(len(readers), 'dataset')} outside {'reads' if len(readers) == 1 else 'read'} it and will wait: {', '.join(readers[:_NAMED])}{more}."
        )
    kept = [policy.landing_seconds for key in held if (policy := contracts[key].lateness) is not None]
    if kept and (made.until is None or made.until > now + timedelta(seconds=min(kept))):
        lines.append(f"Its events go on being collected and stay in landing for {words(min(kept))}: hours that are not built by then cannot be built any more.")
    return lines


def _list(ledger: Ledger, as_json: bool) -> None:
    from rich.table import Table

    from platform_defs.cli.speech import console, show_json

    found = ledger.pauses.open()
    if as_json:
        show_json([asdict(each) for each in found])
        return
    if not found:
        click.echo("Nothing is paused.")
        return
    shown = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("paused", "since", "until", "why"):
        shown.add_column(name, no_wrap=name != "why")
    for each in found:
        shown.add_row(each.name, f"{each.since:%Y-%m-%d %H:%M}", f"{each.until:%Y-%m-%d %H:%M}" if each.until else "resumed", each.why)
    console().print(shown)


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"
