"""The planner's bulk reads: everything planning needs of some endpoints over some span, in one snapshot and a fixed number of statements.

Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import Cadence, index_of, key_at, key_of, shift
from platform_defs.ledger import schema
from platform_defs.ledger.landing import receivers
from platform_defs.ledger.partitions import decode
from platform_defs.ledger.pauses import open_pauses
from platform_defs.ledger.registry import Registry, first_applied
from platform_defs.ledger.store import Store, UnknownEndpoint, slots
from platform_defs.ledger.troubles import trouble
from platform_defs.planning.facts import EndpointFacts, Facts, InFlight, Landed, Published, TroubleName
from platform_defs.planning.windows import keys_read

_SPANS = "unnest(CAST(:ids AS int[]), CAST(:lows AS int[]), CAST(:highs AS int[])) AS w (id, low, high)"


Ranges = tuple[tuple[int, int], ...]


class OpenTrouble(NamedTuple):
    """A partition in trouble, as much of it as a planning tick needs; see `planning.facts.Trouble`."""

    endpoint: str
    partition: str
    state: TroubleName
    tries: int
    next_try: datetime | None
    inputs: bytes | None
    code: str | None


class PlannerReads:
    """Reads for planning; see `facts` and `frontiers`."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def facts(self, asked: str | Iterable[str], since: datetime, until: datetime) -> Facts:
        """The world as `planning.decide` wants it.

        Args:
            asked: a domain, or keys of endpoints.
            since, until: partitions that begin in this span are decided about; of inputs as much is read as their windows reach.

        Raises:
            UnknownEndpoint: a key the registry does not hold.
        """
        contracts = self._registry.current()
        keys = [key for key, contract in contracts.items() if contract.domain == asked] if isinstance(asked, str) else list(asked)
        for key in keys:
            if key not in contracts:
                raise UnknownEndpoint(key)
        spans = _spans([contracts[key] for key in keys], contracts, since, until)
        ids = self._store.endpoint_ids((key, contracts[key].cadence) for key in spans)
        by_id = {number: key for (key, _), number in ids.items()}
        numbers = sorted(by_id)
        bounds = [spans[by_id[number]] for number in numbers]
        values = {"ids": numbers, "lows": [low for low, _ in bounds], "highs": [high for _, high in bounds]}
        cadences: dict[int, Cadence] = {number: contracts[by_id[number]].cadence for number in numbers}

        def keyed(endpoint: int, index: int) -> tuple[str, str]:
            return by_id[endpoint], key_at(cadences[endpoint], index)

        with self._store.snapshot() as connection:
            published = {keyed(*place): found for place, found in self._published(connection, values, cadences).items()}
            troubles = {keyed(row.endpoint_id, row.partition): trouble(row) for row in connection.execute(text(_TROUBLES), values)}
            landed = {
                keyed(row.endpoint_id, row.partition): Landed(row.rows, row.segments, row.last_sealed_at, row.expired > 0)
                for row in connection.execute(text(_LANDED), values)
            }
            flight = self._in_flight(connection, values, keyed)
            reopened = {keyed(row.endpoint_id, row.partition): row.at for row in connection.execute(text(_REOPENED), values)}
            known, pauses = tuple(receivers(connection)), tuple(open_pauses(connection))
            applied = {by_id[number]: at for number, at in first_applied(connection, numbers).items()}
        found: dict[str, Mapping[tuple[str, str], Any]] = {
            "published": published,
            "troubles": troubles,
            "in_flight": flight,
            "landed": landed,
            "reopened": reopened,
        }
        parts = {name: _by_endpoint(part) for name, part in found.items()}
        endpoints = {
            key: EndpointFacts(contracts[key], since=applied.get(key), **{name: part.get(key, {}) for name, part in parts.items()}) for key in sorted(spans)
        }
        return Facts(since, until, tuple(keys), endpoints, known, pauses)

    def frontiers(self, since: datetime, until: datetime) -> dict[str, Ranges]:
        """What is published of every endpoint in force within a span: ranges (first, last) of partition numbers, ends included, in order.

        One statement for 40,000 endpoints. Most of them have the same ranges, so these come once with the endpoints that have them.
        """
        query = text(
            "SELECT ranges, array_agg(key) FROM (SELECT e.key, (f.published * CASE e.cadence WHEN 'hourly' THEN CAST(:hours AS int4multirange) "
            "ELSE CAST(:days AS int4multirange) END)::text AS ranges FROM endpoints e LEFT JOIN frontiers f ON f.endpoint_id = e.id "
            "WHERE e.digest IS NOT NULL) AS each GROUP BY ranges"
        )
        cadences: dict[str, Cadence] = {"hours": "hourly", "days": "daily"}
        spans = {name: f"{{[{index_of(key_of(cadence, since))},{index_of(key_of(cadence, until)) + 1})}}" for name, cadence in cadences.items()}
        found: dict[str, Ranges] = {}
        with self._store.engine.connect() as connection:
            for ranges, keys in connection.execute(query, spans):
                found |= dict.fromkeys(keys, parse_multirange(ranges))
        return found

    def troubles_since(self, since: datetime) -> list[OpenTrouble]:
        """Partitions in trouble that begin at `since` or later, of endpoints in force."""
        query = text(
            "SELECT e.key, e.cadence, x.partition, x.state, x.tries, x.next_try, x.inputs, x.code FROM exceptions x JOIN endpoints e ON e.id = x.endpoint_id "
            "WHERE e.digest IS NOT NULL AND x.partition >= CASE e.cadence WHEN 'hourly' THEN :hour ELSE :day END"
        )
        values = {"hour": index_of(key_of("hourly", since)), "day": index_of(key_of("daily", since))}
        with self._store.engine.connect() as connection:
            rows = connection.execute(query, values).all()
        return [
            OpenTrouble(key, key_at(cadence, index), state, tries, again, None if inputs is None else bytes(inputs), code)
            for key, cadence, index, state, tries, again, inputs, code in rows
        ]

    def _published(self, connection: Connection, values: Mapping[str, Any], cadences: Mapping[int, Cadence]) -> dict[tuple[int, int], Published]:
        sizes = [slots(cadences[number]) for number in values["ids"]]
        days = dict(values) | {
            "lows": [low // size for low, size in zip(values["lows"], sizes, strict=True)],
            "highs": [high // size for high, size in zip(values["highs"], sizes, strict=True)],
        }
        return decode(connection, cadences, connection.execute(_VERSIONS, days).mappings().all())

    def _in_flight(self, connection: Connection, values: Mapping[str, Any], keyed: Callable[[int, int], tuple[str, str]]) -> dict[tuple[str, str], InFlight]:
        found: dict[tuple[str, str], InFlight] = {}
        for row in connection.execute(text(_REQUESTED), values):
            for index in range(max(row.first, row.low), min(row.last, row.high) + 1):
                found[keyed(row.id, index)] = InFlight("requested", row.run_id, row.requested_at)
        for row in connection.execute(text(_LEASED), values):
            found[keyed(row.endpoint_id, row.partition)] = InFlight("running", row.run_id, row.acquired_at)
        return found


# One look into the index for each endpoint, whatever the database thinks of it: left to itself it reads months of versions from end to end to find the days of
# a hundred endpoints (4.6 GB and 1.2 s at 40,000 endpoints and 60 days). OFFSET 0 keeps it from turning the inner query into a join.
_VERSIONS = text(
    f"SELECT d.* FROM {_SPANS}, LATERAL (SELECT * FROM partition_days p WHERE p.endpoint_id = w.id AND p.day BETWEEN w.low AND w.high OFFSET 0) AS d"  # noqa: S608
).columns(*schema.partition_days.columns)
_TROUBLES = f"SELECT x.*, r.run_id FROM exceptions x JOIN {_SPANS} ON x.endpoint_id = w.id AND x.partition BETWEEN w.low AND w.high JOIN runs r ON r.id = x.run"  # noqa: S608
_LANDED = f"SELECT l.* FROM landed_partitions l JOIN {_SPANS} ON l.endpoint_id = w.id AND l.partition BETWEEN w.low AND w.high"  # noqa: S608
_REOPENED = f"SELECT o.* FROM reopenings o JOIN {_SPANS} ON o.endpoint_id = w.id AND o.partition BETWEEN w.low AND w.high"  # noqa: S608
_REQUESTED = (
    "SELECT w.id, w.low, w.high, q.first, q.last, q.run_id, q.requested_at FROM requests q "  # noqa: S608
    f"JOIN {_SPANS} ON w.id = ANY(q.endpoints) AND q.first <= w.high AND q.last >= w.low WHERE q.closed_at IS NULL ORDER BY q.id"
)
# A lease whose run has ended holds nothing up: whoever builds next takes it over.
_LEASED = (
    f"SELECT l.endpoint_id, l.partition, l.acquired_at, r.run_id FROM leases l JOIN {_SPANS} "  # noqa: S608
    "ON l.endpoint_id = w.id AND l.partition BETWEEN w.low AND w.high JOIN runs r ON r.id = l.run WHERE r.ended_at IS NULL"
)


def parse_multirange(value: str | None) -> Ranges:
    """Ranges (first, last), ends included, of the text of an int4multirange."""
    if not value or value == "{}":
        return ()
    numbers = [int(number) for number in value[2:-2].replace("),[", ",").split(",")]
    return tuple((numbers[i], numbers[i + 1] - 1) for i in range(0, len(numbers), 2))


def _spans(asked: Iterable[Contract], contracts: Mapping[str, Contract], since: datetime, until: datetime) -> dict[str, tuple[int, int]]:
    """Partition numbers (first, last) to read of each endpoint: the span itself, and what the windows of the asked reach for."""
    spans: dict[str, tuple[int, int]] = {}

    def widen(key: str, low: int, high: int) -> None:
        known = spans.get(key, (low, high))
        spans[key] = (min(known[0], low), max(known[1], high))

    for contract in asked:
        first, last = key_of(contract.cadence, since), key_of(contract.cadence, until - timedelta(microseconds=1))
        widen(contract.key, index_of(first), index_of(last))
        for item in contract.inputs:
            read = contracts[item.endpoint].cadence
            for end in (first, last):
                keys = keys_read(item, end, read) or (shift(key_of(read, since), -1),)
                widen(item.endpoint, min(index_of(key) for key in keys), max(index_of(key) for key in keys))
    return spans


def _by_endpoint(found: Mapping[tuple[str, str], Any]) -> dict[str, dict[str, Any]]:
    grouped: dict[str, dict[str, Any]] = {}
    for (endpoint, partition), value in found.items():
        grouped.setdefault(endpoint, {})[partition] = value
    return grouped
