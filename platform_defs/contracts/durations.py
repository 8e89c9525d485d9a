"""Lengths of time as authors write them: `10m`, `3h`, `400d`. Parsing and speaking only; which length is allowed where is not decided here."""

from __future__ import annotations

import re

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_FORM = re.compile(r"([1-9][0-9]{0,6})([smhdw])", re.ASCII)


class DurationError(ValueError):
    """A text that is no length of time; the message says which forms are."""


def seconds_of(text: str) -> int:
    """Seconds of `90s`, `10m`, `3h`, `400d` or `2w`; raises DurationError for anything else, zero included."""
    match = _FORM.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise DurationError(f"{text!r} is no length of time: write a whole number and s, m, h, d or w, as in '90s', '10m', '3h', '400d'")
    return int(match[1]) * _SECONDS[match[2]]


def words(seconds: int) -> str:
    """The shortest way to write that many seconds: 10800 -> `3h`."""
    for unit, size in sorted(_SECONDS.items(), key=lambda pair: -pair[1]):
        if unit != "w" and seconds % size == 0 and seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
