"""`backline why`: one partition on one screen: its state down to the root, its build, what it was built from, who reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from platform_defs.ledger.explaining import Build, Explanation, InputUse, LandingUse, ReaderUse
    from platform_defs.planning.tracing import Node

_LEFT = 10
_SIDES = ("good", "duplicate", "conflict", "quarantined", "parked", "pending", "erased")
_SPELLED = 4


@click.command()
@click.argument("endpoint")
@click.argument("partition")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def why(endpoint: str, partition: str, as_json: bool) -> None:
    """Why is PARTITION of ENDPOINT as it is: its state, what it waits for down to the root, its build, its inputs and whether they changed since,
    its checks and rows, and who reads it. An hour is written 2026-10-01T03, a day 2026-10-01 (UTC).

    \b
    ./backline why charts/skip_rate 2026-10-01T03
    ./backline why charts/daily_listeners 2026-10-01 --json
    """
    from platform_defs.cli.live import run_pages, running_settings
    from platform_defs.cli.speech import show_json
    from platform_defs.ledger import Ledger
    from platform_defs.ledger.explaining import explain
    from platform_defs.planning.places import NoSuchEndpoint, NoSuchPartition, NotItsPartition

    settings = running_settings()
    ledger = Ledger(settings.ledger_url)
    try:
        found = explain(ledger, endpoint, partition)
    except NotItsPartition as error:
        raise click.UsageError(str(error)) from error
    except (NoSuchEndpoint, NoSuchPartition) as error:
        raise click.ClickException(str(error.args[0])) from error
    finally:
        ledger.close()
    pages = run_pages(settings)
    if as_json:
        page = f"{pages}/{found.built.run_id}" if pages and found.built else None
        show_json({**asdict(found), "run_page": page})
        return
    for line in screen(found, pages):
        click.echo(line)


def screen(found: Explanation, pages: str | None) -> Iterator[str]:
    """The lines of the screen. `pages`: address below which runs have their pages, if they are up."""
    yield f"{found.endpoint} {found.partition} is {_state(found)} ({found.kind} of {found.owner})"
    yield f"  {found.reason}"
    if found.waits_for:
        yield ""
        yield from _block("waits for", list(_tree(found.waits_for, "")))
    yield ""
    yield from _block("built", _built(found.built, pages))
    if found.rows is not None:
        yield from _block("rows", [f"{found.rows:,}{_accounted(found)}"])
    if found.landing is not None:
        yield from _block("landed", list(_landed(found, found.landing)))
    if found.built is not None or found.failing:
        verdict = [f"{found.checks_passed} passed, {found.checks_failed} failed"] if found.built is not None else []
        yield from _block("checks", [*verdict, *found.failing])
    if found.inputs:
        yield from _block("from", [line for each in found.inputs for line in _input(each, built=found.built is not None)])
    if found.tries and (found.built is None or found.tries[0].run_id != found.built.run_id):
        told = [f"{_at(each.at)} {each.outcome} by run {each.run_id}{f': {each.reason}' if each.reason else ''}" for each in found.tries]
        last = found.tries[0]
        yield from _block("tries", [*told, f"all that was said: ./backline logs {last.run_id[:8]}"] if last.outcome == "failed" else told)
    yield from _block("read by", [_reader(each) for each in found.readers] or ["nobody"])


def _block(title: str, lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"{title if number == 0 else '':<{_LEFT}}{line}"


def _tree(nodes: Sequence[Node], indent: str) -> Iterator[str]:
    for node in nodes:
        reasons = f"{node.reasons[0]}{f' (and {len(node.reasons) - 1} other reasons)' if len(node.reasons) > 1 else ''}"
        yield f"{indent}{node.endpoint} {_keys(node.partitions)} {_state(node)}: {reasons}{' (told above)' if node.seen else ''}"
        yield from _tree(node.waits, indent + "  ")


def _built(build: Build | None, pages: str | None) -> list[str]:
    if build is None:
        return ["never"]
    if build.imported:
        return [f"imported at {_at(build.at)}, Delta version {build.version}"]
    took = f" in {build.seconds:.1f} s" if build.seconds is not None else ""
    asked = f" ({build.trigger}{f', caused by {build.caused_by}' if build.caused_by else ''})" if build.trigger else ""
    lines = [f"{_at(build.at)} by run {build.run_id}{asked}{took}, Delta version {build.version}{', by older code' if build.older_code else ''}"]
    if build.first_at and build.first_at != build.at:
        changed = f", content last changed {_at(build.changed_at)}" if build.changed_at else ""
        lines.append(f"first built {_at(build.first_at)}{changed}")
    return [*lines, f"{pages}/{build.run_id}"] if pages else lines


def _accounted(found: Explanation) -> str:
    if not found.counts or not found.counts.get("landed"):
        return ""
    sides = " + ".join(f"{found.counts[side]:,} {side}" for side in _SIDES if found.counts.get(side))
    return f"; {found.counts['landed']:,} landed = {sides}"


def _landed(found: Explanation, landing: LandingUse) -> Iterator[str]:
    if not landing.segments:
        yield "nothing"
    else:
        last = f", the last sealed {_at(landing.last_sealed_at)}" if landing.last_sealed_at else ""
        segments = "1 segment" if landing.segments == 1 else f"{landing.segments:,} segments"
        yield f"{landing.rows:,} rows in {segments} of {', '.join(landing.receivers)}{last}"
    if landing.since:
        yield f"{landing.since:,} rows since the last build"
    if landing.parked:
        yield f"{landing.parked:,} rows are for the late table: ./backline reopen {found.endpoint} {found.partition} --why TEXT takes them in"
    if landing.reopened_at:
        yield f"reopened at {_at(landing.reopened_at)}"
    if landing.expired:
        yield "segments of it are past landing's retention: it cannot be built from landing again; what is late still joins it or is parked"
    if landing.rejected:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(landing.rejected.items()))
        yield f"turned away by receivers on that day: {reasons} (./backline failed list --type {found.endpoint})"


def _input(each: InputUse, *, built: bool) -> Iterator[str]:
    if each.first is None:
        yield f"{each.param}: {each.endpoint} as of: no snapshot is there yet"
        return
    what = each.first if each.partitions == 1 else f"{each.first} to {each.last} ({each.partitions})"
    versions = ""
    if each.versions is not None:
        low, high = each.versions
        versions = f", Delta version {low}" if low == high else f", Delta versions {low} to {high}"
    lacks = f", {each.missing} not there" if each.missing else ""
    yield f"{each.param}: {each.endpoint}{' as of' if each.pinned else ''} {what}{versions}{lacks}{'' if each.changed or not built else ', unchanged since'}"
    if each.changed:
        told = ", ".join(f"{key} at {_at(at)}" for key, at in each.changed[:_SPELLED])
        rest = len(each.changed) - _SPELLED
        yield f"  changed since: {told}{f' and {rest} more' if rest > 0 else ''}"


def _reader(each: ReaderUse) -> str:
    what = each.first if each.first == each.last else f"{each.first} to {each.last}"
    number = sum(each.states.values())
    states = next(iter(each.states)) if number == 1 else ", ".join(f"{count} {state}" for state, count in sorted(each.states.items()))
    pinned = "" if each.pinned is None else f"; {each.pinned} built from this snapshot"
    return f"{each.endpoint} {what}: {states}{pinned}"


def _state(of: Explanation | Node) -> str:
    return f"{of.state}, overdue" if of.overdue else of.state


def _keys(partitions: Sequence[str]) -> str:
    return partitions[0] if len(partitions) == 1 else f"{partitions[0]} to {partitions[-1]} ({len(partitions)})"


def _at(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else "-"
