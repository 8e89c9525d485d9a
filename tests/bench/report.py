"""docs/benchmarks.md, written from what is kept in docs/benchmarks and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from resources.settings import checkout
from tests.bench.figures import Figure, aim, number
from tests.bench.frame import Kept, read_kept

_HEAD = """# Benchmarks

Written by `./backline bench report` from the files in `docs/benchmarks`; not to be edited. `./backline bench NAME --keep` measures one anew,
`./backline bench all --keep` all of them. Ours and the rival's are taken in turn in one run; medians, with least and most; a ratio is ours by the
rival's. Memory is the peak of all processes that took part, shared pages counted once.
"""
_COLUMNS = ("what", "ours", "least to most", "rival", "least to most", "ratio", "target", "met", "memory", "rival's memory")


def page_file() -> Path:
    """Where the page is."""
    return checkout() / "docs" / "benchmarks.md"


def page(kept: Sequence[Kept]) -> str:
    """The page, as Markdown."""
    asked = [one for each in kept for one in each.figures if one["met"] is not None]
    missed = [one for one in asked if not one["met"]]
    opening = f"\n{len(asked) - len(missed)} of {len(asked)} targets are met." if asked else ""
    if missed:
        opening += " Missed:\n\n" + "\n".join(f"- {_missed(one)}" for one in missed)
    return _HEAD + opening + "\n" + "".join(_section(each) for each in kept)


def write_page() -> Path:
    """Writes the page anew; its file."""
    page_file().write_text(page(read_kept()))
    return page_file()


def _section(kept: Kept) -> str:
    told = kept.machine
    where = f"{told['cores']:.0f} cores, {told['memory_gb']:.0f} GB, load {told['load_a_core']:.2f} a core at the start"
    with_ = ", ".join(f"{name} {version}" for name, version in kept.versions.items())
    table = _table(kept.figures)
    profile = f"\n{kept.profile.strip()}\n" if kept.profile else ""
    return f"\n## {kept.name}\n\n{kept.about}\n\n`{kept.command}` on {kept.date}: {where}; {with_}.\n\n{table}{profile}"


def _table(figures: Sequence[Figure]) -> str:
    rows = [_row(one) for one in figures]
    filled = [place for place, column in enumerate(_COLUMNS) if column == "what" or any(row[place] for row in rows)]
    lines = [[_COLUMNS[place] for place in filled], ["---" if place == 0 else "---:" for place in filled], *([row[place] for place in filled] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _row(one: Figure) -> tuple[str, ...]:
    rival = one["rival"] is not None
    return (
        one["what"],
        f"{number(one['median'])} {one['unit']}",
        _between(one["min"], one["max"]) if one["rounds"] > 1 else "",
        f"{number(one['rival'])} ({one['against']})" if rival and one["against"] else number(one["rival"]) if rival else "",
        _between(one["rival_min"], one["rival_max"]) if rival and one["rounds"] > 1 else "",
        f"{number(one['ratio'])}x" if one["ratio"] is not None else "",
        aim(one) if one["target"] is not None else "",
        "" if one["met"] is None else "yes" if one["met"] else "**no**",
        f"{number(one['memory'])} MB" if one["memory"] is not None else "",
        f"{number(one['rival_memory'])} MB" if one["rival_memory"] is not None else "",
    )


def _between(least: float, most: float) -> str:
    return f"{number(least)} to {number(most)}"


def _missed(one: Figure) -> str:
    reached = f"{number(one['ratio'])}x" if one["rival"] is not None else f"{number(one['median'])} {one['unit']}"
    return f"{one['what']}: {reached}, asked {aim(one)}." + (f" {one['cause']}" if one["cause"] else "")


@click.command()
def report() -> None:
    """Write docs/benchmarks.md from what is kept in docs/benchmarks.

    \b
    ./backline bench report
    """
    click.echo(write_page().relative_to(checkout()))
