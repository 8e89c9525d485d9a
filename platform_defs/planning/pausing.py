"""Pauses: which of them holds for an endpoint, and what follows for a partition of it. Who pauses, and where that is kept, is the ledger's matter."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from platform_defs.planning.facts import Pause


def in_force(pauses: Iterable[Pause], now: datetime) -> list[Pause]:
    """Those that have not ended by themselves at `now`."""
    return [pause for pause in pauses if pause.until is None or pause.until > now]


def pauses_of(pauses: Iterable[Pause], endpoints: Iterable[str], now: datetime) -> dict[str, Pause]:
    """The pause that holds for each endpoint that one holds for; its own comes before its domain's."""
    by_name = {pause.name: pause for pause in in_force(pauses, now)}
    if not by_name:
        return {}
    found = {key: by_name.get(key) or by_name.get(key.partition("/")[0]) for key in endpoints}
    return {key: pause for key, pause in found.items() if pause is not None}


def pause_words(pause: Pause) -> str:
    """A pause in words: since when, until when, why."""
    until = f" until {pause.until:%Y-%m-%d %H:%M}" if pause.until else ""
    return f"paused since {pause.since:%Y-%m-%d %H:%M}{until}: {pause.why}"
