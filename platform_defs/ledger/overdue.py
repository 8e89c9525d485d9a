"""Partitions past their deadline: a row each while that lasts, with the root that was told last, and a transition in and out.

Which those are is planning's to say (deadlines); so is what they wait for (roots). How a domain is looked over is surveying's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from platform_defs.contracts.partitions import cadence_of, index_of, key_at
from platform_defs.ledger.attempts import Transitions
from platform_defs.ledger.facts import parse_multirange
from platform_defs.ledger.pauses import open_pauses
from platform_defs.ledger.registry import Registry, first_applied
from platform_defs.ledger.store import Store, day_of_instant
from platform_defs.planning.deadlines import End, Moves, Open, Place, Promise
from platform_defs.planning.facts import Pause
from platform_defs.planning.pausing import pauses_of
from platform_defs.planning.spans import Ranges

_IN_TIME, _OVERDUE, _PAUSED = "in time", "overdue", "paused"
_PAST = "past its deadline"
_LEFT: dict[End, tuple[str, str]] = {"published": ("current", "it is there"), "gone": ("gone", "no deadline holds for it any more")}

# Most endpoints have the same ranges: these come once, with the endpoints that have them.
_PUBLISHED = (
    "SELECT ranges, array_agg(id) AS ids FROM (SELECT e.id, f.published::text AS ranges FROM endpoints e "
    "JOIN frontiers f ON f.endpoint_id = e.id WHERE e.id = ANY(:ids)) AS each GROUP BY ranges"
)
_OPEN = (
    "SELECT e.key, e.cadence, o.partition, o.muted, o.root FROM overdue o JOIN endpoints e ON e.id = o.endpoint_id "
    "WHERE starts_with(e.key, :prefix) ORDER BY e.key, o.partition"
)
_PLACES = "unnest(CAST(:endpoints AS int[]), CAST(:partitions AS int[])) AS w (e, p)"
_ENTER = f"INSERT INTO overdue (endpoint_id, partition, muted) SELECT e, p, false FROM {_PLACES} ON CONFLICT DO NOTHING RETURNING endpoint_id, partition"  # noqa: S608
_MUTE = (
    f"UPDATE overdue SET muted = :muted, root = NULL FROM {_PLACES} WHERE endpoint_id = e AND partition = p AND muted != :muted "  # noqa: S608
    "RETURNING endpoint_id, partition"
)
_LEAVE = f"DELETE FROM overdue USING {_PLACES} WHERE endpoint_id = e AND partition = p AND muted = :muted RETURNING endpoint_id, partition"  # noqa: S608
_TELL = (
    "UPDATE overdue SET root = w.root FROM unnest(CAST(:endpoints AS int[]), CAST(:partitions AS int[]), CAST(:roots AS text[])) "
    "AS w (e, p, root) WHERE endpoint_id = e AND partition = p"
)


@dataclass(frozen=True)
class Promises:
    """What is known of a domain's deadlines.

    Attributes:
        of: the endpoints with `ready_within`, by key. open: what was overdue at the last look, of endpoints that are no more too.
        pauses: the pause that holds for each of these endpoints that one holds for.
    """

    of: Mapping[str, Promise]
    open: Mapping[Place, Open]
    pauses: Mapping[str, Pause]


class Overdue:
    """See the module."""

    def __init__(self, store: Store, registry: Registry, transitions: Transitions) -> None:
        self._store = store
        self._registry = registry
        self._transitions = transitions

    def read(self, domain: str) -> Promises:
        """A domain's deadlines, how far its endpoints are and what was overdue: four statements, however many endpoints."""
        promising = [each for each in self._registry.current().values() if each.domain == domain and each.ready_within_seconds is not None]
        contracts = {each.key: each for each in promising}
        ids = self._store.endpoint_ids((each.key, each.cadence) for each in promising)
        by_id = {number: key for (key, _), number in ids.items()}
        with self._store.snapshot() as connection:
            published: dict[str, Ranges] = {}
            for ranges, numbers in connection.execute(text(_PUBLISHED), {"ids": list(by_id)}):
                parsed = parse_multirange(ranges)
                published |= {by_id[number]: parsed for number in numbers}
            since = {by_id[number]: at for number, at in first_applied(connection, by_id).items()}
            open_ = {
                (row.key, key_at(row.cadence, row.partition)): Open(row.muted, row.root) for row in connection.execute(text(_OPEN), {"prefix": f"{domain}/"})
            }
            pauses = pauses_of(open_pauses(connection), contracts, self._store.clock())
        promises = {key: Promise(contract, published.get(key, ()), since.get(key)) for key, contract in contracts.items()}
        return Promises(promises, open_, pauses)

    def record(self, seen: Moves, told: Mapping[Place, str], at: datetime, why: Mapping[Place, str] | None = None) -> None:
        """Notes what changed and which roots were told, in one transaction; the same again changes nothing.

        Args:
            told: names of the roots that are told now. at: when; aware, UTC.
            why: roots in words, for the history; the others are noted without.
        """
        places = [*seen.entered, *seen.muted, *seen.resumed, *seen.left, *told]
        if not places:
            return
        self._store.ensure_days([day_of_instant(at)])
        ids = self._store.endpoint_ids({(endpoint, cadence_of(partition)) for endpoint, partition in places})
        numbers = {place: (ids[place[0], cadence_of(place[1])], index_of(place[1])) for place in places}
        reasons = {numbers[place]: words for place, words in (why or {}).items() if place in numbers}

        with self._store.transaction() as connection:

            def change(statement: str, changed: Iterable[Place], was: str, became: str, otherwise: str, **values: object) -> None:
                """Only what really changed becomes a transition: who looks twice tells once."""
                found = _run(connection, statement, [numbers[place] for place in changed], values)
                self._transitions.add_all(connection, at, was, became, {number: reasons.get(number, otherwise) for number in found})

            change(_ENTER, seen.entered, _IN_TIME, _OVERDUE, _PAST)
            change(_MUTE, seen.muted, _OVERDUE, _PAUSED, "a pause mutes its deadline", muted=True)
            change(_MUTE, seen.resumed, _PAUSED, _OVERDUE, _PAST, muted=False)
            for end, (became, words) in _LEFT.items():
                left = [place for place, how in seen.left.items() if how == end]
                change(_LEAVE, left, _OVERDUE, became, words, muted=False)
                change(_LEAVE, left, _PAUSED, became, words, muted=True)
            if told:
                rows = [(*numbers[place], root) for place, root in told.items()]
                endpoints, partitions, roots = (list(column) for column in zip(*rows, strict=True))
                connection.execute(text(_TELL), {"endpoints": endpoints, "partitions": partitions, "roots": roots})


def _run(connection: Connection, statement: str, places: Sequence[tuple[int, int]], values: Mapping[str, object]) -> list[tuple[int, int]]:
    """The places that a statement changed."""
    if not places:
        return []
    named = {"endpoints": [each for each, _ in places], "partitions": [each for _, each in places]}
    return [(row.endpoint_id, row.partition) for row in connection.execute(text(statement), {**named, **values})]
