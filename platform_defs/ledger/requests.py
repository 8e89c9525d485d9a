"""Requests: what the planner asked for and nobody has finished yet. A request is open until its run ends or it expires; its id is the run key.

What is worth asking for is decided in planning; how it becomes a run is the schedules' matter.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, text

from platform_defs.contracts.contract import Tier
from platform_defs.contracts.partitions import Cadence, index_of, key_at
from platform_defs.ledger.store import Lock, Store
from platform_defs.planning.requests import RunRequestPlan

_SELECT = (
    "SELECT r.*, (SELECT array_agg(e.key ORDER BY e.key) FROM endpoints e WHERE e.id = ANY(r.endpoints)) AS endpoint_keys "
    "FROM requests r WHERE closed_at IS NULL"
)


@dataclass(frozen=True)
class Request:
    """One open request: endpoints of one domain and cadence over a contiguous range, ends included.

    Attributes:
        inputs: 16 bytes over what the planner saw when it asked.
        run_id: the run that serves it, once known.
    """

    id: int
    domain: str
    cadence: Cadence
    tier: Tier
    endpoints: tuple[str, ...]
    first: str
    last: str
    inputs: bytes
    attempt: int
    requested_at: datetime
    expires_at: datetime
    run_id: str | None


class Requests:
    """Open requests; the guard that a queue held for an hour is asked once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def open(self) -> list[Request]:
        """All open requests, oldest first."""
        with self._store.engine.connect() as connection:
            return [_request(row) for row in connection.execute(text(_SELECT + " ORDER BY r.id"))]

    def add(self, plans: Sequence[RunRequestPlan], expires_after: timedelta = timedelta(hours=1)) -> list[Request]:
        """Opens a request for each plan, in order. Endpoints of a plan that an open request already covers within its range are left out of it, a
        plan of which nothing is left is not opened: two planners that tick at once ask once."""
        now = self._store.clock()
        ids = self._store.endpoint_ids({(endpoint, plan.cadence) for plan in plans for endpoint in plan.endpoints})
        made: list[int] = []
        with self._store.transaction() as connection:
            self._store.lock(connection, Lock.REQUESTS)
            for plan in plans:
                first, last = index_of(plan.first), index_of(plan.last)
                wanted = {ids[endpoint, plan.cadence] for endpoint in plan.endpoints}
                taken = connection.execute(
                    text(
                        "SELECT DISTINCT unnest(endpoints) AS id FROM requests WHERE closed_at IS NULL AND cadence = :c AND first <= :last AND last >= :first"
                    ),
                    {"c": plan.cadence, "first": first, "last": last},
                )
                left = sorted(wanted - {row.id for row in taken})
                if left:
                    made.append(self._insert(connection, plan, left, now, now + expires_after))
            rows = connection.execute(text(_SELECT + " AND r.id = ANY(:ids) ORDER BY r.id"), {"ids": made}).all()
            return [_request(row) for row in rows]

    def started(self, request_id: int, run_id: str) -> None:
        """Says which run serves a request."""
        with self._store.transaction() as connection:
            connection.execute(text("UPDATE requests SET run_id = :run WHERE id = :id"), {"run": run_id, "id": request_id})

    def close(self, request_id: int, outcome: str = "done") -> bool:
        """Closes a request when its run has ended; False if it was closed before."""
        with self._store.transaction() as connection:
            statement = text("UPDATE requests SET closed_at = :at, outcome = :outcome WHERE id = :id AND closed_at IS NULL")
            return connection.execute(statement, {"at": self._store.clock(), "outcome": outcome, "id": request_id}).rowcount == 1

    def expire(self, live: Collection[int]) -> list[Request]:
        """Closes as `expired` what is past its time, except requests in `live`: those Dagster knows a queued or running run for."""
        with self._store.transaction() as connection:
            self._store.lock(connection, Lock.REQUESTS)
            query = text(_SELECT + " AND r.expires_at <= :now AND NOT r.id = ANY(:live) ORDER BY r.id")
            found = [_request(row) for row in connection.execute(query, {"now": self._store.clock(), "live": list(live)})]
            connection.execute(
                text("UPDATE requests SET closed_at = :now, outcome = 'expired' WHERE id = ANY(:ids)"),
                {"now": self._store.clock(), "ids": [request.id for request in found]},
            )
            return found

    def forget(self, before: datetime) -> int:
        """Removes what was closed before that instant; how many."""
        with self._store.transaction() as connection:
            return connection.execute(text("DELETE FROM requests WHERE closed_at < :before"), {"before": before}).rowcount

    @staticmethod
    def _insert(connection: Connection, plan: RunRequestPlan, endpoints: list[int], now: datetime, expires: datetime) -> int:
        statement = text(
            "INSERT INTO requests (domain, cadence, tier, endpoints, first, last, inputs, attempt, requested_at, expires_at) VALUES "
            "(:domain, :cadence, :tier, :endpoints, :first, :last, :inputs, :attempt, :now, :expires) RETURNING id"
        )
        values = {
            "domain": plan.domain,
            "cadence": plan.cadence,
            "tier": plan.tier,
            "endpoints": endpoints,
            "first": index_of(plan.first),
            "last": index_of(plan.last),
            "inputs": plan.inputs,
            "attempt": plan.attempt,
            "now": now,
            "expires": expires,
        }
        return int(connection.execute(statement, values).scalar_one())


def _request(row: Row[Any]) -> Request:
    return Request(
        id=row.id,
        domain=row.domain,
        cadence=row.cadence,
        tier=row.tier,
        endpoints=tuple(row.endpoint_keys),
        first=key_at(row.cadence, row.first),
        last=key_at(row.cadence, row.last),
        inputs=bytes(row.inputs),
        attempt=row.attempt,
        requested_at=row.requested_at,
        expires_at=row.expires_at,
        run_id=row.run_id,
    )
