"""`backline status --processes`: what each part of a running Backline holds in memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import click

_MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class PartMemory:
    """One part's memory, in bytes.

    Attributes:
        idle: the least it was seen with since the start. peak: the most; it is looked every 10 s.
    """

    name: str
    processes: int
    now: int
    idle: int
    peak: int


def show_processes(home: Path, *, as_json: bool) -> None:
    """Prints it. Raises click.ClickException if nothing runs in that home."""
    from platform_defs.cli.speech import console, show_json
    from platform_defs.running.memory import HEAP

    parts = parts_of(home)
    beside_heap = [part for part in parts if part.name != HEAP]
    totals = [_together("together", parts), _together("without Java's heap", beside_heap)]
    if as_json:
        show_json({"processes": [asdict(part) for part in parts], "totals": [asdict(total) for total in totals]})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", title="memory in MB, shared pages shared out (PSS)", title_justify="left")
    table.add_column("part", no_wrap=True)
    for name in ("processes", "now", "idle", "peak"):
        table.add_column(name, justify="right")
    for part in [*parts, *totals]:
        numbers = (f"{value / _MEGABYTE:,.0f}" for value in (part.now, part.idle, part.peak))
        table.add_row(part.name, str(part.processes or ""), *numbers)
    console().print(table)


def parts_of(home: Path) -> list[PartMemory]:
    """What each part of the Backline in a home holds. Raises click.ClickException if nothing runs there."""
    from platform_defs.running.home import Home
    from platform_defs.running.memory import Range, extremes, held, memory_file

    here = Home(home)
    holder = here.lock().holder()
    if holder is None:
        raise click.ClickException(f"nothing runs in {here.root}: start it with ./backline up")
    seen = extremes(memory_file(here.run))
    now = held(holder.mark, holder.pid)
    ranges = {name: seen.get(name, Range(each.bytes, each.bytes)).with_(each.bytes) for name, each in now.items()}
    return [PartMemory(name, each.processes, each.bytes, ranges[name].least, ranges[name].most) for name, each in sorted(now.items())]


def _together(name: str, parts: list[PartMemory]) -> PartMemory:
    """The sum. Its peak is at most this: parts need not peak together."""
    return PartMemory(name, sum(p.processes for p in parts), sum(p.now for p in parts), sum(p.idle for p in parts), sum(p.peak for p in parts))
