"""The tick's bulk read: how far many endpoints are, in one snapshot and seven statements, however many they are and however long their history.

Versions of single partitions are `facts`' matter; what follows from either is decided in planning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Result, text

from platform_defs.contracts.partitions import index_of, key_of
from platform_defs.ledger.facts import parse_multirange
from platform_defs.ledger.landing import receivers
from platform_defs.ledger.pauses import open_pauses
from platform_defs.ledger.store import Store, UnknownEndpoint
from platform_defs.planning.gaps import Graph, OpenTrouble, Ranges, Span, Standing

# Numbers of endpoints go as one text and are joined with: as an expression, or a list that a column is to be in, tens of thousands of them cost the database
# more than the query. Who asks about a good part of all names nobody and is given all: that costs half. What many endpoints have in common comes once, with
# the numbers of those that have it.
_NAMED = "unnest(CAST(:ids AS int[])) AS w (id) JOIN {table} ON {table}.endpoint_id = w.id"
BROAD = 0.25
_FRONTIERS = (
    "SELECT ranges, array_agg(endpoint_id) FROM (SELECT endpoint_id, (published * CAST(:spans AS int4multirange))::text AS ranges "
    "FROM {frontiers}) AS recent GROUP BY ranges"
)
# Hours have higher numbers than the days of a thousand years: an index finds what is recent of both among months of troubles.
_TROUBLED = (
    "SELECT partition, array_agg(id) FILTER (WHERE again) AS again, array_agg(id) FILTER (WHERE NOT again) AS at_rest FROM (SELECT e.id, partition, "
    "coalesce(next_try <= :until, false) OR exceptions.code IS NOT NULL AND exceptions.code IS DISTINCT FROM e.code AS again "
    "FROM {exceptions} JOIN endpoints e ON e.id = exceptions.endpoint_id "
    "WHERE partition >= :hour OR partition BETWEEN :day AND :last_day) AS recent GROUP BY partition"
)
_TROUBLES = (
    "SELECT x.endpoint_id, x.partition, x.state, x.tries, x.next_try, x.code, coalesce(f.published @> x.partition, false) AS built, "
    "CASE WHEN f.published @> x.partition THEN coalesce((SELECT d.imported[1 + mod(x.partition, CASE e.cadence WHEN 'hourly' THEN 24 ELSE 1 END)] "
    "FROM partition_days d WHERE d.endpoint_id = x.endpoint_id AND d.day = x.partition / CASE e.cadence WHEN 'hourly' THEN 24 ELSE 1 END), false) "
    "ELSE false END AS imported FROM unnest(CAST(:ids AS int[]), CAST(:partitions AS int[])) AS w (id, partition) "
    "JOIN exceptions x ON x.endpoint_id = w.id AND x.partition = w.partition JOIN endpoints e ON e.id = w.id LEFT JOIN frontiers f ON f.endpoint_id = w.id"
)
# Few, whoever is asked about: read whole.
_REQUESTED = "SELECT unnest(endpoints) AS id, first, last FROM requests WHERE closed_at IS NULL"
# A lease whose run has ended holds nothing up: whoever builds next takes it over.
_LEASED = "SELECT l.endpoint_id AS id, l.partition AS first, l.partition AS last FROM leases l JOIN runs r ON r.id = l.run WHERE r.ended_at IS NULL"


class Standings:
    """Reads how far the endpoints of one registry are.

    Args:
        graph: of the registry in force; made anew when that changes.
        broad: who asks about more than this share of all endpoints is read everything.
    """

    def __init__(self, store: Store, graph: Graph, broad: float = BROAD) -> None:
        self.graph = graph
        self._broad = broad
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
            found = self._store.endpoint_ids((key, contract.cadence) for key, contract in self.graph.contracts.items())
            self._ids = {key: number for (key, _), number in found.items()}
            self._keys = {number: key for key, number in self._ids.items()}
        named = None if len(keys) > len(self._ids) * self._broad else keys
        among = set(keys)
        with self._store.snapshot() as connection:
            flight = [row for query in (_REQUESTED, _LEASED) for row in connection.execute(text(query)).all()]
            again, at_rest = self._troubled(connection, named, since, until)
            return Standing(
                since=since,
                until=until,
                asked=keys,
                published=self._published(connection, keys, named, since, until),
                in_flight=[Span(self._keys[number], first, last) for number, first, last in flight if self._keys.get(number) in among],
                troubles=[each for each in self._troubles(connection, again) if each.endpoint in among],
                at_rest=at_rest,
                receivers=tuple(receivers(connection)),
                pauses=tuple(open_pauses(connection)),
            )

    def _troubled(
        self, connection: Connection, named: Iterable[str] | None, since: datetime, until: datetime
    ) -> tuple[list[tuple[int, int]], list[tuple[int, list[str]]]]:
        """What may be tried again (endpoint, partition), and the partitions at rest, in numbers but for the latter's endpoints. `named`: whose; None: all."""
        days = {"day": index_of(key_of("daily", since)), "last_day": index_of(key_of("daily", until))}
        values = {"hour": index_of(key_of("hourly", since)), "until": until} | days
        again: list[tuple[int, int]] = []
        at_rest: list[tuple[int, list[str]]] = []
        for partition, tried, rest in self._about(connection, _TROUBLED, "exceptions", named, values):
            again += [(number, partition) for number in tried or () if number in self._keys]
            at_rest.append((partition, [self._keys[number] for number in rest or () if number in self._keys]))
        return again, at_rest

    def _troubles(self, connection: Connection, places: Iterable[tuple[int, int]]) -> list[OpenTrouble]:
        found = list(places)
        if not found:
            return []
        values = {"ids": _numbers(number for number, _ in found), "partitions": _numbers(partition for _, partition in found)}
        return [OpenTrouble(self._keys[number], *rest) for number, *rest in connection.execute(text(_TROUBLES), values).all()]

    def _published(self, connection: Connection, asked: Iterable[str], named: Iterable[str] | None, since: datetime, until: datetime) -> dict[str, Ranges]:
        # From the beginning of a day: a day's hours are looked at together.
        begin = key_of("daily", since - self.graph.reach(asked))
        hours, days = (index_of(begin) * 24, index_of(key_of("hourly", until))), (index_of(begin), index_of(key_of("daily", until)))
        values = {"spans": f"{{[{days[0]},{days[1] + 1}),[{hours[0]},{hours[1] + 1})}}"}
        found: dict[str, Ranges] = {}
        for ranges, numbers in self._about(connection, _FRONTIERS, "frontiers", None if named is None else self.graph.needed(named), values):
            found |= dict.fromkeys([self._keys[number] for number in numbers if number in self._keys], parse_multirange(ranges))
        return found

    def _about(self, connection: Connection, query: str, table: str, named: Iterable[str] | None, values: Mapping[str, Any]) -> Result[Any]:
        """A query about some endpoints, or about all there are: then those that left the registry are among them."""
        if named is None:
            return connection.execute(text(query.format(**{table: table})), values)
        ids = _numbers(self._ids[key] for key in named)
        return connection.execute(text(query.format(**{table: _NAMED.format(table=table)})), dict(values) | {"ids": ids})


def _numbers(numbers: Iterable[int]) -> str:
    """An array as Postgres reads it."""
    return f"{{{','.join(map(str, numbers))}}}"
