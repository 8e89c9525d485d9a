"""`backline status --missing`: what was never built and is too old for the planner to ask for, and the commands that would build it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from platform_defs.ledger import Ledger
    from platform_defs.planning.missing import Hole
    from platform_defs.planning.spans import Ranges

# More than a screen holds is counted, not listed; --json has all.
_HOLES_SHOWN = 20
_SPANS_SHOWN = 3
_NAMED = 3
_ALL_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def show_missing(ledger_url: str, prefix: str | None, *, as_json: bool) -> None:
    """Shows it. Raises click.ClickException for a prefix that names nothing."""
    from platform_defs.cli.speech import console, show_json
    from platform_defs.ledger import Ledger

    ledger = Ledger(ledger_url)
    try:
        with console(err=True).status("looking at all partitions there should be"):
            known = ledger.registry.current()
            if prefix is not None and not any(key == prefix or key.startswith(f"{prefix}/") for key in known):
                raise click.ClickException(f"{prefix} is no domain and no dataset; ./backline status lists them")
            holes = [hole for hole in find(ledger) if prefix is None or hole.endpoint == prefix or hole.endpoint.startswith(f"{prefix}/")]
            paused = {name: pause.why for name, pause in ledger.pauses.of(known).items() if prefix is None or name == prefix or name.startswith(f"{prefix}/")}
    finally:
        ledger.close()
    if as_json:
        show_json({"missing": [plain(hole) for hole in holes], "paused": paused})
        return
    for line in told(holes, paused):
        click.echo(line)


def find(ledger: Ledger) -> list[Hole]:
    """What is missing beyond the look-back, in a fixed number of statements; see `planning.missing`."""
    from platform_defs.planning.missing import missing
    from platform_defs.planning.states import LOOK_BACK

    now, contracts = ledger.store.clock(), ledger.registry.current()
    published = ledger.planner.frontiers(_ALL_TIME, now)
    paused = ledger.pauses.of(contracts)
    holes = missing(contracts, published, now, paused)
    lacking = {hole.endpoint: (*hole.ready, *hole.waiting) for hole in holes if contracts[hole.endpoint].kind == "event"}
    gone = ledger.landing.expired_within(lacking)
    return missing(contracts, published, now, paused, gone, LOOK_BACK) if gone else holes


def told(holes: Sequence[Hole], paused: Mapping[str, str]) -> Iterator[str]:
    """What is missing, in lines, root causes first."""
    from platform_defs.planning.states import LOOK_BACK

    hours = int(LOOK_BACK.total_seconds()) // 3600
    if not holes:
        yield f"Nothing is missing from before the last {hours} hours."
    else:
        total = sum(hole.partitions for hole in holes)
        yield f"{_count(total, 'partition')} of {_count(len(holes), 'dataset')} older than {hours} hours were never built; the planner does not ask for them."
    for hole in holes[:_HOLES_SHOWN]:
        yield from _hole(hole)
    if len(holes) > _HOLES_SHOWN:
        yield f"and {len(holes) - _HOLES_SHOWN} more datasets: ./backline status --missing --json"
    if paused:
        names = ", ".join(sorted(paused)[:_NAMED]) + (f" and {len(paused) - _NAMED} more" if len(paused) > _NAMED else "")
        yield f"Not counted, paused: {names} (./backline pause --list)"


def _hole(hole: Hole) -> Iterator[str]:
    yield f"{hole.endpoint} lacks {_count(hole.partitions, 'partition')}" + (
        f"; {_few(hole.readers)} {'waits' if len(hole.readers) == 1 else 'wait'} for it" if hole.readers else ""
    )
    if hole.ready:
        yield f"    {_spans(hole, hole.ready)}"
    if hole.waiting:
        yield f"    {_spans(hole, hole.waiting)}: waits for {_few(hole.behind)}"
    if hole.gone:
        yield f"    {_spans(hole, hole.gone)}: nothing can build it any more, segments of it are past landing's retention"
    if (command := command_of(hole)) is not None:
        yield f"    {command}"


def command_of(hole: Hole) -> str | None:
    """What would build it; None if nothing can."""
    from platform_defs.cli.main import SUBS

    span = hole.buildable
    if span is None:
        return None
    if "backfill" in SUBS:
        return f"./backline backfill {hole.endpoint} --from {span[0]} --to {span[1]}"
    return f"web pages: {hole.endpoint}, Materialize, {span[0]} to {span[1]}: builds what is missing of it"


def plain(hole: Hole) -> dict[str, Any]:
    """A hole as JSON holds it: spans as pairs of keys."""
    return {
        "endpoint": hole.endpoint,
        "partitions": hole.partitions,
        "ready": _keys(hole, hole.ready),
        "waiting": _keys(hole, hole.waiting),
        "waits_for": hole.behind,
        "gone": _keys(hole, hole.gone),
        "readers": hole.readers,
        "command": command_of(hole),
    }


def _keys(hole: Hole, ranges: Ranges) -> list[tuple[str, str]]:
    from platform_defs.contracts.partitions import key_at

    return [(key_at(hole.cadence, first), key_at(hole.cadence, last)) for first, last in ranges]


def _spans(hole: Hole, ranges: Ranges) -> str:
    from platform_defs.planning.spans import count

    spelled = [first if first == last else f"{first} to {last}" for first, last in _keys(hole, ranges[:_SPANS_SHOWN])]
    rest = len(ranges) - len(spelled)
    number = count(ranges)
    return ", ".join(spelled) + (f" and {_count(rest, 'more span')}" if rest else "") + (f" ({number:,})" if number > 1 else "")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"
