"""`backline reopen`: take the parked late rows of an hour into its table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from platform_defs.ledger.decisions import Reopenable


@click.command()
@click.argument("event")
@click.argument("hour")
@click.option("--why", metavar="TEXT", help="The reason, for the record.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, change nothing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def reopen(event: str, hour: str, why: str | None, dry_run: bool, as_json: bool) -> None:
    """Take the late rows of HOUR that were parked in EVENT's late table into its own: the planner builds the hour with them, then what reads it.

    Rows are parked that were sealed after the last settle age of their hour. What comes later still is parked again. It needs no landing: where
    segments of the hour are gone, the late table's rows join the published ones, as copies of one event do anywhere.

    \b
    ./backline reopen listening/track_played 2026-10-01T03 --dry-run
    ./backline reopen listening/track_played 2026-10-01T03 --why "a client was offline for a week"
    """
    from platform_defs.cli.live import running_settings
    from platform_defs.cli.speech import show_json
    from platform_defs.lake.layout import Lake
    from platform_defs.ledger import Ledger
    from platform_defs.ledger.decisions import DecisionRefused, reopenable
    from platform_defs.ledger.decisions import reopen as decide
    from platform_defs.planning.places import NotItsPartition

    if not dry_run and not why:
        raise click.UsageError(f"say why {event} {hour} is reopened: --why TEXT; or look first: --dry-run")
    settings = running_settings()
    ledger = Ledger(settings.ledger_url)
    try:
        found = reopenable(ledger, event, hour) if dry_run else decide(ledger, Lake(settings.lake), event, hour, str(why))
        paused = ledger.pauses.of([event]).get(event)
    except NotItsPartition as error:
        raise click.UsageError(str(error)) from error
    except DecisionRefused as error:
        raise click.ClickException(str(error)) from error
    finally:
        ledger.close()
    if as_json:
        show_json({**asdict(found), "dry_run": dry_run})
        return
    for line in told(found, dry_run=dry_run):
        click.echo(line)
    if paused is not None:
        click.echo(f"{event} is paused ({paused.why}): it is rebuilt once that ends (./backline resume {paused.name}).")


def told(found: Reopenable, *, dry_run: bool) -> Iterator[str]:
    """A reopening in lines."""
    rows = _count(found.rows, "row") + (f" in {_count(found.segments, 'segment')}" if found.whole else "")
    lane = f"; {found.in_lane:,} of them lie in the late table" if found.in_lane else ""
    if not found.whole:
        lane += "; segments of the hour are gone, so they join what is published of it"
    if dry_run:
        yield f"{found.event} {found.hour}: {rows} would be taken in, less copies and bad lines{lane}."
    else:
        are = "is" if found.rows == 1 else "are"
        yield f"{found.event} {found.hour} is reopened: {rows} {are} part of its next build, which is asked for within a tick{lane}."
    if not found.readers:
        yield "Nothing that was built reads it."
        return
    yield "Looked at after it, and rebuilt where what it reads has changed:"
    for endpoint, (first, last) in found.readers.items():
        by_hand = " (past the time for which it follows corrections: rebuild it by hand if it matters)" if endpoint in found.by_hand else ""
        yield f"  {endpoint} {first if first == last else f'{first} to {last}'}{by_hand}"


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"
