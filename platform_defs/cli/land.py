"""`backline land`: events of the past from files, sealed as those of a receiver that is not there any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from platform_defs.collection.landing_files import LandedFile, Tell
    from platform_defs.contracts.contract import Contract
    from platform_defs.ledger import Ledger

_SPANS_SHOWN = 5


@click.command()
@click.argument("type", metavar="TYPE")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--client", metavar="NAME", help="Whose events these are; without it each line says it (`client`).")
@click.option("--dry-run", is_flag=True, help="Judge every line and say what would follow; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def land(context: click.Context, type: str, files: tuple[Path, ...], client: str | None, dry_run: bool, as_json: bool) -> None:
    """Land old events of TYPE from FILES: JSON lines, also packed with gzip.

    A line is a CloudEvent, or {"id": ..., "time": ..., "data": {fields}}, or {"id": ..., "time": ..., fields}. Events are judged as the collector judges
    them, but may be as old as TYPE's start and retention allow; what is rejected goes to the failed log, and then the exit code is 1. Client, type and id
    say which event it is: one that came before is a duplicate.

    Landing a file again changes nothing, whatever stopped it or it is called now. What has to be built then is built by itself where it is of the last
    48 hours, else by the `backfill` that is named. Files sorted by time make the fewest segments. The events are raw: delete the files when all is built.

    Exit codes: 0 all landed, now or before, 1 some rejected or a file refused, 2 not understood.

    \b
    ./backline land listening/track_played plays-2026-01.jsonl.gz --client web --dry-run
    ./backline land listening/track_played archive/*.jsonl.gz --client web
    """
    from platform_defs.cli.live import running_settings
    from platform_defs.cli.speech import show_json
    from platform_defs.collection.landing_files import FileLander, FileRefused, LandingForgets
    from platform_defs.collection.tokens import CLIENT_FORM, may_be_client
    from platform_defs.ledger import Ledger
    from platform_defs.planning.places import NoSuchEndpoint, endpoint_named

    if client is not None and not may_be_client(client):
        raise click.UsageError(f"--client {client!r} cannot be a client's name: write {CLIENT_FORM}")
    settings = running_settings()
    ledger = Ledger(settings.ledger_url)
    try:
        contract = endpoint_named(type, ledger.registry.current())
        if contract.kind != "event":
            raise click.UsageError(_other_kind(contract))
        known = [each.key for each in ledger.registry.current().values() if each.kind == "event"]
        with ledger.forgetting.alone(f"landing files of {type}") as free:
            if not free:
                raise click.ClickException(f"another `backline land {type}` is at work: wait for it; what it lands need not be landed again")
            lander = FileLander(contract, known, client, Path(settings.landing), ledger.landing, ledger.store.clock)
            with _progress(files) as tell:
                landed = [lander.land(file, tell, dry_run=dry_run) for file in [lander.know(path, tell) for path in files]]
        hours = sorted({hour for file in landed for hour in file.hours})
        follows = followed(ledger, contract, hours, ledger.store.clock())
    except NoSuchEndpoint as error:
        raise click.UsageError(str(error)) from error
    except (FileRefused, LandingForgets) as error:
        raise click.ClickException(str(error)) from error
    finally:
        ledger.close()
    if as_json:
        show_json({"type": type, "dry_run": dry_run, "files": [_plain(file) for file in landed], "next": follows.plain})
    else:
        for line in [*_told(landed, client, dry_run=dry_run), *(follows.lines(type) if hours else ())]:
            click.echo(line)
        if dry_run:
            click.echo("Nothing was landed: this was a dry run.")
    fresh = [file for file in landed if file.landed_at is None]
    context.exit(1 if any(file.rejected for file in fresh) or not hours else 0)


@dataclass(frozen=True)
class Follows:
    """What becomes of the hours that events were landed in.

    Attributes:
        soon: never built, and asked for by the planner; open: not over yet, or a receiver is waited for. late: built, and rebuilt by itself with them.
        parked: built so long ago that their rows go to the late table.
        asked: never built, and built only when somebody asks. spans: what to ask for, gaps between them included.
        readers: whether anything reads the type. paused: why nothing is asked for at the moment, if so.
    """

    soon: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    parked: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    spans: tuple[tuple[str, str], ...] = ()
    readers: bool = False
    paused: str | None = None

    def commands(self, event: str) -> list[str]:
        """What a person types to have the rest built."""
        more = " --downstream" if self.readers else ""
        return [f"./backline backfill {event} --from {first} --to {last}{more}" for first, last in self.spans]

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"soon": self.soon, "open": self.open, "late": self.late, "parked": self.parked, "asked": self.asked, "spans": self.spans}

    def lines(self, event: str) -> Iterator[str]:
        """In words."""
        if self.soon:
            yield f"{_hours(self.soon)} never built: asked for within a tick."
        if self.open:
            yield f"{_hours(self.open)} not closed yet: built by itself once they are."
        if self.late:
            yield f"{_hours(self.late)} built before: rebuilt with them by itself, at {event}'s settle ages."
        if self.parked:
            yield f"{_hours(self.parked)} built before and settled: their rows go to the late table. To take them in, hour by hour:"
            yield f'  ./backline reopen {event} {self.parked[0]} --why "TEXT"'
        if self.asked:
            yield f"{_hours(self.asked)} never built, and older than what is built by itself. Build them with:"
            yield from (f"  {command}" for command in self.commands(event)[:_SPANS_SHOWN])
            if len(self.spans) > _SPANS_SHOWN:
                yield f"  and {len(self.spans) - _SPANS_SHOWN} more spans: --json lists all"
        if self.paused:
            yield f"{event} is paused ({self.paused}): nothing is built by itself until that ends."


def followed(ledger: Ledger, contract: Contract, hours: Collection[str], now: datetime) -> Follows:
    """What becomes of these hours, by what the ledger knows of them."""
    from platform_defs.contracts.partitions import keys_between
    from platform_defs.ledger.looking import look
    from platform_defs.planning.lateness import is_parked
    from platform_defs.planning.states import PartitionState

    event, policy = contract.key, contract.lateness
    ordered = sorted(hours)
    published = ledger.partitions.published(event, ordered)
    reopened = ledger.reopenings.of(event, ordered)
    decided = look(ledger, [(event, hour) for hour in ordered if hour not in published], now)
    soon, opened, late, parked, asked = list[str](), list[str](), list[str](), list[str](), list[str]()
    for hour in ordered:
        decision = decided.get((event, hour))
        if hour in published:
            settled = policy is not None and is_parked(policy, published[hour].first_built_at, now, reopened.get(hour))
            (parked if settled else late).append(hour)
        elif decision is None or decision.state is PartitionState.WAITING:
            opened.append(hour)
        elif decision.ask or decision.state in (PartitionState.REQUESTED, PartitionState.RUNNING):
            soon.append(hour)
        else:
            asked.append(hour)
    gone = ledger.landing.expired(event, keys_between(asked[0], asked[-1])) if asked else set()
    pause = ledger.pauses.of([event]).get(event)
    return Follows(
        tuple(soon),
        tuple(opened),
        tuple(late),
        tuple(parked),
        tuple(asked),
        spans=tuple(_spans(asked, gone)),
        readers=any(read.endpoint == event for each in ledger.registry.current().values() for read in each.inputs),
        paused=pause.why if pause else None,
    )


def _spans(asked: Sequence[str], gone: set[str]) -> Iterator[tuple[str, str]]:
    """The hours as few spans. The hours between two of them are empty, and readers want them too; not across one whose landing is lost: a backfill over
    it is refused."""
    from platform_defs.contracts.partitions import keys_between

    first = last = ""
    for hour in asked:
        if last and not gone.isdisjoint(keys_between(last, hour)):
            yield first, last
            first = ""
        first, last = first or hour, hour
    if first:
        yield first, last


def _other_kind(contract: Contract) -> str:
    if contract.kind == "source":
        return f"{contract.key} is a source: what it has is pulled, not landed: ./backline backfill {contract.key} --from A --to B"
    return f"{contract.key} is a dataset, not an event type: an existing table of it comes in with ./backline import {contract.key} --from PATH"


@contextmanager
def _progress(files: Sequence[Path]) -> Iterator[Tell]:
    """A bar over both readings of all files, on standard error."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from platform_defs.cli.speech import console

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    out = console(err=True)
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
        bar = progress.add_task("landing", total=2 * sum(path.stat().st_size for path in files))
        yield lambda read: progress.advance(bar, read)


def _told(landed: Sequence[LandedFile], client: str | None, *, dry_run: bool) -> Iterator[str]:
    for file in landed:
        if file.landed_at is not None:
            yield f"{file.path}: already landed at {file.landed_at:%Y-%m-%d %H:%M} UTC: {file.accepted:,} accepted, {file.rejected:,} rejected; nothing changed"
            continue
        would = "would be " if dry_run else ""
        span = f", {min(file.hours)} to {max(file.hours)}" if file.hours else ""
        yield f"{file.path}: {file.accepted:,} {would}accepted, {file.rejected:,} {would}rejected; {_hours(file.hours)}{span}"
        for one in file.refusals:
            yield f"  line {one.line}: {one.reason}: {one.detail}"
        if file.rejected > len(file.refusals):
            last = "" if dry_run else f": ./backline failed list{f' --client {client}' if client else ''}"
            yield f"  and {file.rejected - len(file.refusals):,} more{last}"
        if file.others:
            yield f"  left out: {', '.join(_others(file.others))}"


def _others(others: Counter[str | None]) -> Iterator[str]:
    for name, count in sorted(others.items(), key=lambda item: (item[0] is None, item[0] or "")):
        yield f"{count:,} of a type that no contract has" if name is None else f"{count:,} of {name}: land them as that"


def _hours(hours: Collection[str]) -> str:
    return "1 hour" if len(hours) == 1 else f"{len(hours):,} hours"


def _plain(file: LandedFile) -> dict[str, Any]:
    return {
        "file": str(file.path),
        "receiver": file.receiver,
        "seals": file.seals,
        "landed_at": file.landed_at,
        "accepted": file.accepted,
        "rejected": file.rejected,
        "reasons": dict(file.reasons),
        "hours": dict(sorted(file.hours.items())),
        "others": {name or "unknown": count for name, count in file.others.items()},
        "refusals": [{"line": one.line, "reason": one.reason, "detail": one.detail} for one in file.refusals],
    }
