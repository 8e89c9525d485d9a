"""The tick's bulk read: how far many endpoints are, in one snapshot and five statements, however many they are and however long their history.

Versions of single partitions are `facts`' matter; what follows from either is decided in planning.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, text

from platform_defs.contracts.partitions import Cadence, index_of, key_of
from platform_defs.ledger.facts import parse_multirange
from platform_defs.ledger.landing import receivers
from platform_defs.ledger.pauses import open_pauses
from platform_defs.ledger.store import Store, UnknownEndpoint
from platform_defs.planning.gaps import Graph, OpenTrouble, Ranges, Span, Standing

# Most endpoints have the same ranges: these come once, with the endpoints that have them.
_FRONTIERS = (
    "SELECT ranges, array_agg(id) AS ids FROM (SELECT e.id, (f.published * CASE e.cadence WHEN 'hourly' THEN CAST(:hours AS int4multirange) "
    "ELSE CAST(:days AS int4multirange) END)::text AS ranges FROM endpoints e JOIN frontiers f ON f.endpoint_id = e.id WHERE e.id = ANY(:needed)) AS each "
    "GROUP BY ranges"
)
_TROUBLES = (
    "SELECT x.endpoint_id, x.partition, x.state, x.tries, x.next_try, x.code, coalesce(f.published @> x.partition, false) AS built, "
    "CASE WHEN f.published @> x.partition THEN coalesce((SELECT d.imported[1 + mod(x.partition, CASE e.cadence WHEN 'hourly' THEN 24 ELSE 1 END)] "
    "FROM partition_days d WHERE d.endpoint_id = x.endpoint_id AND d.day = x.partition / CASE e.cadence WHEN 'hourly' THEN 24 ELSE 1 END), false) "
    "ELSE false END AS imported "
    "FROM exceptions x JOIN endpoints e ON e.id = x.endpoint_id LEFT JOIN frontiers f ON f.endpoint_id = x.endpoint_id "
    "WHERE x.endpoint_id = ANY(:asked) AND x.partition >= CASE e.cadence WHEN 'hourly' THEN :hour ELSE :day END"
)
_REQUESTED = (
    "SELECT q.id, q.first, q.last FROM (SELECT unnest(endpoints) AS id, first, last FROM requests WHERE closed_at IS NULL) AS q WHERE q.id = ANY(:asked)"
)
# A lease whose run has ended holds nothing up: whoever builds next takes it over.
_LEASED = (
    "SELECT l.endpoint_id AS id, l.partition AS first, l.partition AS last FROM leases l JOIN runs r ON r.id = l.run "
    "WHERE r.ended_at IS NULL AND l.endpoint_id = ANY(:asked)"
)


class Standings:
    """Reads how far the endpoints of one registry are.

    Args:
        graph: of the registry in force; made anew when that changes.
    """

    def __init__(self, store: Store, graph: Graph) -> None:
        self.graph = graph
        self._store = store
        self._ids: dict[str, int] = {}
        self._keys: dict[int, str] = {}

    def read(self, asked: Iterable[str], since: datetime, until: datetime) -> Standing:
        """How far these endpoints and all they read are.

        Args:
            asked: keys of endpoints.
            since, until: partitions that begin in this span are looked at; of inputs as much is read as windows reach.

        Raises:
            UnknownEndpoint: a key the registry does not hold.
        """
        keys = tuple(asked)
        if unknown := next((key for key in keys if key not in self.graph.contracts), None):
            raise UnknownEndpoint(unknown)
        if not self._ids:
            numbers = self._store.endpoint_ids((key, contract.cadence) for key, contract in self.graph.contracts.items())
            self._ids = {key: number for (key, _), number in numbers.items()}
            self._keys = {number: key for key, number in self._ids.items()}
        by_id = self._keys
        wanted = {"needed": [self._ids[key] for key in self.graph.needed(keys)], "asked": [self._ids[key] for key in keys]}
        with self._store.snapshot() as connection:
            return Standing(
                since=since,
                until=until,
                asked=keys,
                published=_published(connection, by_id, wanted["needed"], since - self.graph.reach(keys), until),
                in_flight=[
                    Span(by_id[number], first, last) for query in (_REQUESTED, _LEASED) for number, first, last in connection.execute(text(query), wanted).all()
                ],
                troubles=_troubles(connection, by_id, wanted["asked"], since),
                receivers=tuple(receivers(connection)),
                pauses=tuple(open_pauses(connection)),
            )


def _published(connection: Connection, by_id: dict[int, str], needed: list[int], since: datetime, until: datetime) -> dict[str, Ranges]:
    spans: dict[str, Cadence] = {"hours": "hourly", "days": "daily"}
    # From the beginning of a day: a day's hours are looked at together.
    clips = {
        name: f"{{[{index_of(key_of('daily', since)) * (24 if cadence == 'hourly' else 1)},{index_of(key_of(cadence, until)) + 1})}}"
        for name, cadence in spans.items()
    }
    found: dict[str, Ranges] = {}
    for ranges, numbers in connection.execute(text(_FRONTIERS), {"needed": needed} | clips):
        parsed = parse_multirange(ranges)
        for number in numbers:
            found[by_id[number]] = parsed
    return found


def _troubles(connection: Connection, by_id: dict[int, str], asked: list[int], since: datetime) -> list[OpenTrouble]:
    values = {"asked": asked, "hour": index_of(key_of("hourly", since)), "day": index_of(key_of("daily", since))}
    rows = connection.execute(text(_TROUBLES), values).all()
    return [OpenTrouble(by_id[number], *rest) for number, *rest in rows]
