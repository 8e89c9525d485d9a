"""A measured figure beside its rival's, as every benchmark writes it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


def figure(
    what: str, unit: str, ours: Sequence[float], rival: Sequence[float] = (), target: float | None = None, *, more_is_better: bool = True
) -> dict[str, Any]:
    """One figure.

    Args:
        ours, rival: one value a round, taken in turn; the medians are compared.
        target: what the ratio (the value, without a rival) is to reach; None: nothing is asked of it.
        more_is_better: whether the ratio should be above the target.
    """
    mine = statistics.median(ours)
    theirs = statistics.median(rival) if rival else None
    ratio = mine / theirs if theirs else None
    reached = ratio if rival else mine
    met = None if target is None or reached is None else (reached >= target if more_is_better else reached <= target)
    return {
        "what": what,
        "ours": mine,
        "rival": theirs,
        "ratio": ratio,
        "target": target,
        "met": met,
        "min": min(ours),
        "median": mine,
        "max": max(ours),
        "unit": unit,
    }


def show(figures: Sequence[dict[str, Any]], file: Path | None) -> None:
    """Prints the figures, a line each, and writes them as JSON if a file is named."""
    for one in figures:
        rival = f"   rival {one['rival']:,.1f}   ratio {one['ratio']:.2f}" if one["rival"] is not None else ""
        click.echo(f"{one['what']:<48} {one['median']:>12,.1f} {one['unit']}  ({one['min']:,.1f} to {one['max']:,.1f}){rival}")
    if file is not None:
        file.write_text(json.dumps(list(figures), indent=2) + "\n")
