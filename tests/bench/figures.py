"""A measured figure beside its rival's, as every benchmark writes it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

Figure = dict[str, Any]


def figure(
    what: str,
    unit: str,
    ours: Sequence[float],
    rival: Sequence[float] = (),
    target: float | None = None,
    *,
    more_is_better: bool = True,
    against: str | None = None,
    memory: Sequence[float] = (),
    rival_memory: Sequence[float] = (),
    cause: str | None = None,
) -> Figure:
    """One figure.

    Args:
        ours, rival: one value a round, taken in turn; the medians are compared.
        target: what the ratio (the value, without a rival) is to reach; None: nothing is asked of it.
        more_is_better: whether the ratio should be above the target.
        against: the rival's name.
        memory, rival_memory: peak megabytes of all processes that took part, one value a round; the largest is kept.
        cause: why the target is missed, with its numbers; kept only if it is.
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
        "rounds": len(ours),
        "more_is_better": more_is_better,
        "against": against,
        "rival_min": min(rival, default=None),
        "rival_max": max(rival, default=None),
        "memory": max(memory, default=None),
        "rival_memory": max(rival_memory, default=None),
        "cause": cause if met is False else None,
    }


def said(one: Figure) -> str:
    """A figure as a line of text."""
    line = f"{one['what']:<60} {number(one['median']):>10} {one['unit']}  ({number(one['min'])} to {number(one['max'])})"
    if one["rival"] is not None:
        line += f"   {one['against'] or 'rival'} {number(one['rival'])}   ratio {number(one['ratio'])}"
    if one["memory"] is not None:
        line += f"   {number(one['memory'])} MB"
    if one["met"] is not None:
        line += f"   {aim(one)}: {'met' if one['met'] else 'MISSED'}"
    return line


def aim(one: Figure) -> str:
    """The target as people write it: `>= 50x` of a ratio, `<= 1.5 s` of a value."""
    unit = "x" if one["rival"] is not None else f" {one['unit']}"
    return f"{'>=' if one['more_is_better'] else '<='} {number(one['target'])}{unit}"


def number(value: float) -> str:
    """Three digits that count, thousands set apart."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
