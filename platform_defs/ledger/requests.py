"""Requests: what the planner asked for and nobody has finished yet. A request is open until its run ends or it expires; its id is the run key.

What is worth asking for is decided in planning; how it becomes a run is the schedules' matter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, text

from platform_defs.contracts.contract import Tier
from platform_defs.contracts.partitions import Cadence, index_of, key_at
from platform_defs.ledger import schema
from platform_defs.ledger.store import Lock, Store, day_of_instant
from platform_defs.planning.requests import RunRequestPlan

_TABLE = schema.requests
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
        spared: (endpoint, partition) of the range that its run leaves alone; said when it is opened, and by its run's tags afterwards. While the request
            is open they count as requested like the others.
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
    spared: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Death:
    """A run that was asked for partitions of an endpoint and ended without a word on any of them.

    Attributes:
        asked: when it was asked for them. at: when its end was seen. alone: it was asked for one partition and no more.
    """

    endpoint: str
    first: str
    last: str
    run_id: str
    asked: datetime
    at: datetime
    alone: bool


# The outcome of a request whose run did.
DIED = "died"


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
        made: list[Request] = []
        rows: list[dict[str, Any]] = []
        with self._store.transaction() as connection:
            self._store.lock(connection, Lock.REQUESTS)
            taken: dict[tuple[int, Cadence], list[tuple[int, int]]] = {}
            for row in connection.execute(text("SELECT endpoints, cadence, first, last FROM requests WHERE closed_at IS NULL")):
                for number in row.endpoints:
                    taken.setdefault((number, row.cadence), []).append((row.first, row.last))
            for plan in plans:
                first, last = index_of(plan.first), index_of(plan.last)
                numbers = {ids[endpoint, plan.cadence]: endpoint for endpoint in plan.endpoints}
                left = {number: key for number, key in numbers.items() if not _overlaps(taken.get((number, plan.cadence), ()), first, last)}
                if not left:
                    continue
                for number in left:
                    taken.setdefault((number, plan.cadence), []).append((first, last))
                made.append(_opened(plan, tuple(sorted(left.values())), now, now + expires_after))
                rows.append(_row(made[-1], sorted(left), first, last))
            if rows:
                # Many rows a statement: a tick may open hundreds.
                statement = insert(_TABLE).returning(_TABLE.c.id, sort_by_parameter_order=True)
                numbers_given = connection.execute(statement, rows).scalars().all()
                made = [replace(request, id=number) for request, number in zip(made, numbers_given, strict=True)]
        return made

    def started(self, request_id: int, run_id: str) -> None:
        """Says which run serves a request."""
        with self._store.transaction() as connection:
            connection.execute(text("UPDATE requests SET run_id = :run WHERE id = :id"), {"run": run_id, "id": request_id})

    def close(self, request_id: int, outcome: str = "done", run_id: str | None = None) -> bool:
        """Closes a request when its run has ended; False if it was closed before. `run_id`: which, if nobody said so while it went on."""
        statement = text("UPDATE requests SET closed_at = :at, outcome = :outcome, run_id = COALESCE(run_id, :run) WHERE id = :id AND closed_at IS NULL")
        with self._store.transaction() as connection:
            given = {"at": self._store.clock(), "outcome": outcome, "id": request_id, "run": run_id}
            return connection.execute(statement, given).rowcount == 1

    def deaths(self, domain: str, since: datetime) -> list[Death]:
        """What ended so in a domain since then, oldest first, of the code in force now.

        A run that said anything of an endpoint (`attempts`) did not, as far as that endpoint goes.
        """
        query = text(
            "SELECT e.key, r.cadence, r.first, r.last, r.run_id, r.requested_at, r.closed_at, cardinality(r.endpoints) = 1 AND r.first = r.last AS alone "
            "FROM requests r JOIN endpoints e ON e.id = ANY(r.endpoints) "
            "WHERE r.outcome = :died AND r.domain = :domain AND r.closed_at > :since AND r.run_id IS NOT NULL "
            "AND r.requested_at >= (SELECT max(h.applied_at) FROM contract_history h WHERE h.endpoint_id = e.id) AND NOT EXISTS "
            "(SELECT FROM attempts a JOIN runs u ON u.id = a.run WHERE u.run_id = r.run_id AND a.endpoint_id = e.id AND a.day >= :day) "
            "ORDER BY r.closed_at, r.id, e.key"
        )
        given = {"died": DIED, "domain": domain, "since": since, "day": day_of_instant(since) - 1}
        with self._store.engine.connect() as connection:
            rows = connection.execute(query, given).all()
        return [
            Death(row.key, key_at(row.cadence, row.first), key_at(row.cadence, row.last), row.run_id, row.requested_at, row.closed_at, row.alone)
            for row in rows
        ]

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


def _overlaps(spans: Iterable[tuple[int, int]], first: int, last: int) -> bool:
    return any(low <= last and high >= first for low, high in spans)


def _opened(plan: RunRequestPlan, endpoints: tuple[str, ...], now: datetime, expires: datetime) -> Request:
    """A request of a plan that has no number yet."""
    return Request(
        id=0,
        domain=plan.domain,
        cadence=plan.cadence,
        tier=plan.tier,
        endpoints=endpoints,
        first=plan.first,
        last=plan.last,
        inputs=plan.inputs,
        attempt=plan.attempt,
        requested_at=now,
        expires_at=expires,
        run_id=None,
        spared=tuple(each for each in plan.spared if each[0] in endpoints),
    )


def _row(request: Request, numbers: list[int], first: int, last: int) -> dict[str, Any]:
    return {
        "domain": request.domain,
        "cadence": request.cadence,
        "tier": request.tier,
        "endpoints": numbers,
        "first": first,
        "last": last,
        "inputs": request.inputs,
        "attempt": request.attempt,
        "requested_at": request.requested_at,
        "expires_at": request.expires_at,
    }


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
