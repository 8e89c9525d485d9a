"""Reopened event hours: whose parked rows a person wants in their table. What is parked is planning's to say; taking it in is intake's matter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from platform_defs.contracts.partitions import index_of
from platform_defs.ledger.store import Lock, Store, by_cadence, indexes

_WRITE = (
    "INSERT INTO reopenings AS r (endpoint_id, partition, at, why) VALUES (:endpoint, :partition, :at, :why) "
    "ON CONFLICT (endpoint_id, partition) DO UPDATE SET at = excluded.at, why = excluded.why WHERE excluded.at > r.at"
)


@dataclass(frozen=True)
class Reopening:
    """A person's word that an hour takes what was parked of it. `at`: segments sealed later are parked again."""

    event: str
    hour: str
    at: datetime
    why: str


class Reopenings:
    """One row per reopened hour; a later reopening replaces it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, reopening: Reopening) -> None:
        """Reopens an hour, and says to whoever follows the landing that the hour changed."""
        endpoint, partition = self._store.endpoint_id(reopening.event, "hourly"), index_of(reopening.hour)
        values = {"endpoint": endpoint, "partition": partition, "at": reopening.at, "why": reopening.why}
        with self._store.transaction() as connection:
            connection.execute(text(_WRITE), values)
            change = self._store.next_change(connection, Lock.LANDING_ORDER, "landing_change")
            statement = text("UPDATE landed_partitions SET change = :change WHERE endpoint_id = :endpoint AND partition = :partition")
            connection.execute(statement, {"change": change, "endpoint": endpoint, "partition": partition})

    def of(self, event: str, hours: Iterable[str]) -> dict[str, datetime]:
        """When each of these hours was reopened last; those that never were are absent. Raises UnknownEndpoint."""
        keys = list(hours)
        if not keys:
            return {}
        endpoint = self._store.endpoint_id(event, by_cadence(keys))
        by_index = indexes(keys)
        query = text("SELECT partition, at FROM reopenings WHERE endpoint_id = :endpoint AND partition = ANY(:partitions)")
        with self._store.engine.connect() as connection:
            rows = connection.execute(query, {"endpoint": endpoint, "partitions": sorted(by_index)}).all()
        return {by_index[row.partition]: row.at for row in rows}
