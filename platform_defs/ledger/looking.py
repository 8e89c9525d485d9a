"""Decisions about single partitions, however far they lie apart: facts are read for stretches of time that hold them. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from platform_defs.contracts.partitions import start_of, window_of
from platform_defs.ledger.ledger import Ledger
from platform_defs.planning.facts import Facts
from platform_defs.planning.states import Decision, decide

Place = tuple[str, str]
# Stretches closer than this are read as one.
_GAP = timedelta(days=7)


def look(ledger: Ledger, places: Collection[Place], now: datetime) -> dict[Place, Decision]:
    """What the planner decides about these (endpoint, partition); what is not over, before start or past retention is absent."""
    found: dict[Place, Decision] = {}
    for facts, stretch in facts_of(ledger, places):
        found |= {(each.endpoint, each.partition): each for each in decide(facts, now, only=stretch)}
    return found


def facts_of(ledger: Ledger, places: Collection[Place]) -> Iterable[tuple[Facts, list[Place]]]:
    """The facts about these places, by stretch of time, with the places in each."""
    for stretch in _stretches(places):
        keys = [key for _, key in stretch]
        since, until = min(map(start_of, keys)), max(window_of(key).end for key in keys)
        yield ledger.facts(sorted({endpoint for endpoint, _ in stretch}), since, until), stretch


def _stretches(places: Collection[Place]) -> list[list[Place]]:
    found: list[list[Place]] = []
    end: datetime | None = None
    for endpoint, key in sorted(set(places), key=lambda place: (start_of(place[1]), place)):
        if end is None or start_of(key) > end + _GAP:
            found.append([])
        found[-1].append((endpoint, key))
        end = window_of(key).end if end is None else max(end, window_of(key).end)
    return found
