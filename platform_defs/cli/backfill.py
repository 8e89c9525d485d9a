"""`backline backfill`: partitions of the past, built or rebuilt by a Dagster backfill that is planned and told before it starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from platform_defs.ledger import Ledger
    from platform_defs.planning.backfills import BackfillPlan
    from platform_defs.planning.estimates import Estimate
    from platform_defs.running.dagster_client import BackfillStatus, DagsterClient
    from resources.settings import Settings

# A look at more takes over two seconds.
_MANY = 5_000
_REASONS = {
    "missing": "never built",
    "stale": "stale",
    "outdated": "built by older code",
    "input": "what they read is built",
    "asked": "current, forced",
}


class NotPossible(click.ClickException):
    """What was asked for cannot be done so; the message says what can."""

    exit_code = 2


@dataclass(frozen=True)
class Wish:
    """What the person said."""

    selection: tuple[str, ...]
    first: str | None
    last: str | None
    downstream: bool
    outdated: bool
    force: bool


@click.command()
@click.argument("selection", nargs=-1)
@click.option("--from", "first", metavar="PARTITION", help="First hour (2026-10-01T03) or day (2026-10-01), UTC.")
@click.option("--to", "last", metavar="PARTITION", help="Last one, included; a day is all its hours.")
@click.option("--downstream", is_flag=True, help="Also the readers of what is built, and theirs.")
@click.option("--outdated", is_flag=True, help="Only what older code built; without --from and --to as far as it is kept.")
@click.option("--force", is_flag=True, help="Also what is current.")
@click.option("--plan", "only_plan", is_flag=True, help="Only say what would be built, in about how many runs and how long.")
@click.option("--resume", metavar="ID", help="Watch a backfill that goes on, or build what is left of one that has ended.")
@click.option("--cancel", metavar="ID", help="Cancel a backfill that goes on; what it has built stays.")
@click.option("--json", "as_json", is_flag=True, help="Plan and outcome as JSON.")
@click.pass_context
def backfill(
    context: click.Context,
    selection: tuple[str, ...],
    first: str | None,
    last: str | None,
    downstream: bool,
    outdated: bool,
    force: bool,
    only_plan: bool,
    resume: str | None,
    cancel: str | None,
    as_json: bool,
) -> None:
    """Build or rebuild partitions of the past: what is missing, stale, outdated or in trouble between --from and --to, and what reads that.

    SELECTION is one or several datasets (charts/skip_rate), domains (charts) or patterns ("charts/*"); + behind one adds its readers, as
    --downstream does for all. Hourly and daily datasets go together. What is built, why, in about how many runs and how long is said before it
    starts; then it is a Dagster backfill like any other, in its own share of the run slots, behind the regular cadence.

    Ctrl-C asks whether to cancel it; otherwise, also where nobody can be asked, it goes on without this window. Cancelled or left, --resume goes on
    with what is not built; so does the same command again, for what is current is left alone. Nothing half-built is ever visible.

    Exit codes: 0 all that can be is built or nothing was to do, 1 some is not, 2 cannot be done so, 130 left or cancelled.

    \b
    ./backline backfill charts/skip_rate --from 2026-10-01 --to 2026-10-07 --plan
    ./backline backfill listening/track_played --from 2026-10-01T03 --to 2026-10-01T05 --downstream
    ./backline backfill charts --outdated
    ./backline backfill charts/skip_rate --from 2026-10-01 --to 2026-10-01 --force
    ./backline backfill --resume kfjqzxwv
    """
    from platform_defs.cli.live import running_settings
    from platform_defs.ledger import Ledger
    from platform_defs.planning.selection import Refused

    _check_usage(selection, first, last, outdated, resume, cancel)
    settings = running_settings()
    ledger = Ledger(settings.ledger_url)
    try:
        if cancel is not None or resume is not None:
            context.exit(_cancel(settings, cancel, as_json) if cancel is not None else _resume(settings, ledger, str(resume), as_json))
        wish = Wish(selection, first, last, downstream, outdated, force)
        try:
            plan = planned(wish, ledger, settings, datetime.now(UTC))
        except Refused as refused:
            raise NotPossible(str(refused)) from None
        estimate = _estimate(ledger, settings, plan)
        if not as_json:
            _show(plan, estimate)
        if only_plan or not plan.parts:
            if as_json:
                _json(plan, estimate, None)
            return
        context.exit(_run(settings, ledger, wish, plan, estimate, as_json))
    finally:
        ledger.close()


def planned(wish: Wish, ledger: Ledger, settings: Settings, now: datetime) -> BackfillPlan:
    """What the ledger's facts make of a wish; says so on standard error if that takes a while. Raises Refused."""
    from platform_defs.planning.backfills import plan_backfill
    from platform_defs.planning.ranges import candidates
    from platform_defs.planning.selection import Selection, select

    contracts = ledger.registry.current()
    selection = select(wish.selection, contracts)
    if wish.downstream:
        selection = Selection(selection.endpoints, selection.named, frozenset(selection.endpoints))
    wanted = candidates(selection, wish.first, wish.last, contracts, now)
    count = sum(len(wanted.of(endpoint)) for endpoint in wanted.endpoints)
    if count > _MANY:
        click.echo(f"looking at {_count(count, 'partition')} of {_count(len(wanted.endpoints), 'dataset')}", err=True)
    facts = ledger.facts(wanted.endpoints, *wanted.span)

    def plan(lost: frozenset[tuple[str, str]]) -> BackfillPlan:
        return plan_backfill(facts, wanted, now, force=wish.force, outdated=wish.outdated, spanned=wish.first is not None, lost=lost)

    found = plan(frozenset())
    lost = _lost(found, ledger, settings)
    return plan(lost) if lost else found


def _lost(plan: BackfillPlan, ledger: Ledger, settings: Settings) -> frozenset[tuple[str, str]]:
    """Event hours of the plan of which a segment is not on disk, whatever the ledger knows of its retention."""
    from platform_defs.lake.landing import LandingStore

    landing, contracts = LandingStore(settings.landing), ledger.registry.current()
    lost: set[tuple[str, str]] = set()
    for part in plan.parts:
        if contracts[part.endpoint].kind == "event":
            for key, rows in ledger.landing.segments(part.endpoint, part.partitions).items():
                if landing.missing(row.segment.path for row in rows):
                    lost.add((part.endpoint, key))
    return frozenset(lost)


def _estimate(ledger: Ledger, settings: Settings, plan: BackfillPlan) -> Estimate:
    from platform_defs.cli.slots import backfill_slots
    from platform_defs.planning.estimates import estimate, paces

    known = paces(ledger.attempts.run_times([(part.endpoint, part.cadence) for part in plan.parts]))
    return estimate(plan.shapes, known, backfill_slots(settings.dagster_home))


# --- doing ---------------------------------------------------------------------------------------------------------------------------------------


def _run(settings: Settings, ledger: Ledger, wish: Wish, plan: BackfillPlan, estimate: Estimate, as_json: bool) -> int:
    from sensors.run_tags import backfill_tags

    with _dagster(settings) as dagster:
        title = _title(wish, plan)
        identity = dagster.backfill_ranges({part.endpoint: part.ranges for part in plan.parts}, title=title, tags=backfill_tags(force=wish.force))
        if not as_json:
            click.echo(f"backfill {identity} is started: {settings.dagster_url}/runs/b/{identity}")
        return _watch(dagster, identity, ledger, as_json, plan, estimate)


def _resume(settings: Settings, ledger: Ledger, identity: str, as_json: bool) -> int:
    from platform_defs.cli.watching import unbuilt

    with _dagster(settings) as dagster:
        status = dagster.backfill_status(identity)
        if status.ended:
            if not unbuilt(status):
                click.echo(f"backfill {identity} has ended {status.status}: nothing of it is left to build", err=as_json)
                if as_json:
                    _json(None, None, status)
                return 0
            left, identity = sum(unbuilt(status).values()), dagster.retry_backfill(identity)
            click.echo(f"{left} partitions are left: backfill {identity} builds them", err=as_json)
        return _watch(dagster, identity, ledger, as_json, None, None)


def _cancel(settings: Settings, identity: str, as_json: bool) -> int:
    from platform_defs.cli.watching import Watch, progress, resume_words

    with _dagster(settings) as dagster:
        status = dagster.backfill_status(identity)
        if not status.ended:
            dagster.cancel(identity)
            with progress(quiet=as_json) as shown:
                ended = Watch(dagster, identity, shown.tell, lambda: False).to_the_end()
            status = ended or status
        if as_json:
            _json(None, None, status)
        else:
            done = status.partitions
            click.echo(f"backfill {identity} {status.status}: {done.built} of {done.targeted} partitions are built. {resume_words(identity)}")
        return 0


def _watch(dagster: DagsterClient, identity: str, ledger: Ledger, as_json: bool, plan: BackfillPlan | None, estimate: Estimate | None) -> int:
    from platform_defs.cli.watching import INTERRUPTED, Watch, progress, reasons, resume_words, unbuilt

    with progress(quiet=as_json) as shown:
        status = Watch(dagster, identity, shown.tell, shown.cancel).to_the_end()
    if status is None:
        click.echo(f"The backfill goes on. {resume_words(identity)}", err=True)
        return INTERRUPTED
    why = reasons(status, ledger.troubles.all()) if unbuilt(status) else []
    if as_json:
        _json(plan, estimate, status, why)
    else:
        done = status.partitions
        click.echo(f"{done.built} of {done.targeted} partitions are built ({status.status.lower()}, {len(status.runs)} runs).")
        for key, count in unbuilt(status).items():
            click.echo(f"  not built: {count} of {key}")
        for line in why:
            click.echo(f"  {line}")
        if status.error:
            click.echo(f"  Dagster: {status.error}")
        if unbuilt(status):
            click.echo(resume_words(identity).partition(";")[0].replace("Watch or resume it", "Once that is mended"))
    if status.status == "CANCELED":
        return INTERRUPTED
    return 1 if unbuilt(status) or status.error else 0


@contextmanager
def _dagster(settings: Settings) -> Iterator[DagsterClient]:
    import httpx

    from platform_defs.running.dagster_client import DagsterClient

    try:
        with DagsterClient(str(settings.dagster_url)) as client:
            yield client
    except httpx.TransportError as error:
        raise click.ClickException(f"the web pages do not answer ({type(error).__name__}); they are started again by themselves: ./backline status") from None


# --- saying --------------------------------------------------------------------------------------------------------------------------------------


def _check_usage(selection: Sequence[str], first: str | None, last: str | None, outdated: bool, resume: str | None, cancel: str | None) -> None:
    if resume is not None or cancel is not None:
        if selection or first or last or (resume and cancel):
            _usage("--resume ID and --cancel ID stand alone: the backfill knows its partitions")
        return
    if not selection:
        _usage("say what to build: a dataset (charts/skip_rate), a domain (charts), or several")
    if (first is None) != (last is None):
        _usage("say both ends of the span: --from and --to, both included; for one partition twice the same")
    if first is None and not outdated:
        _usage("say the span: --from and --to, as in --from 2026-10-01 --to 2026-10-07; only --outdated may do without")


def _usage(words: str) -> NoReturn:
    raise click.UsageError(words)


def _title(wish: Wish, plan: BackfillPlan) -> str:
    span = f"{wish.first} to {wish.last}" if wish.first else "outdated"
    words = f"backline backfill {' '.join(wish.selection)}, {span}"
    return "".join(letter for letter in words if letter not in '%*"')[:100]  # what Dagster takes as a title


def _show(plan: BackfillPlan, estimate: Estimate) -> None:
    from platform_defs.cli.speech import console, span_words

    out = console()
    for part in plan.parts:
        ends = ", ".join(first if first == last else f"{first} to {last}" for first, last in part.ranges[:3])
        more = f" and {len(part.ranges) - 3} more ranges" if len(part.ranges) > 3 else ""
        why = ", ".join(f"{count} {_REASONS.get(reason, reason)}" for reason, count in sorted(part.why.items()))
        out.print(f"  {part.endpoint}: {_count(len(part.partitions), 'partition')}, {ends}{more} ({why})", markup=False)
    for left in plan.blocked:
        out.print(f"  not built: {_count(len(left.partitions), 'partition')} of {left.endpoint}, first {left.partitions[0]}: {left.reason}", markup=False)
    for note in plan.notes:
        out.print(f"  {note}", markup=False)
    current = sum(plan.current.values())
    if not plan.parts:
        out.print(f"Nothing is to be built: {_count(current, 'partition')} current. --force rebuilds them all the same.", markup=False)
        return
    time = f"about {span_words(estimate.seconds)}, from {_count(estimate.runs, 'past run')}" if estimate.seconds is not None else "no past run to estimate from"
    guessed = f" ({', '.join(estimate.guessed)} never ran and counted as the others)" if estimate.guessed and estimate.seconds is not None else ""
    rest = f"; {current:,} current, left alone" if current else ""
    out.print(f"{_count(plan.partitions, 'partition')} in about {_count(plan.runs, 'run')}; {time}{guessed}{rest}", markup=False)


def _json(plan: BackfillPlan | None, estimate: Estimate | None, status: BackfillStatus | None, why: Sequence[str] = ()) -> None:
    from platform_defs.cli.speech import show_json
    from platform_defs.cli.watching import unbuilt

    found: dict[str, Any] = {}
    if plan is not None:
        found["plan"] = {
            "partitions": plan.partitions,
            "runs": plan.runs,
            "seconds": None if estimate is None or estimate.seconds is None else round(estimate.seconds, 1),
            "past_runs": 0 if estimate is None else estimate.runs,
            "datasets": [
                {"key": part.endpoint, "partitions": len(part.partitions), "ranges": part.ranges, "runs": part.runs, "step": part.step, "why": part.why}
                for part in plan.parts
            ],
            "current": plan.current,
            "blocked": [{"key": left.endpoint, "partitions": left.partitions, "reason": left.reason} for left in plan.blocked],
            "notes": plan.notes,
        }
    if status is not None:
        done = status.partitions
        found["backfill"] = {
            "id": status.id,
            "status": status.status,
            "targeted": done.targeted,
            "built": done.built,
            "failed": done.failed,
            "runs": len(status.runs),
            "unbuilt": unbuilt(status),
            "reasons": list(why),
            "error": status.error,
        }
    show_json(found)


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"
