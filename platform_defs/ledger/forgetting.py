"""Forgetting: what the ledger drops because it is past its retention, and who may drop now. What is past it, in the lake and on disk, is the lake's to say.

Partitions are forgotten before their rows are dropped: a build that looks at the ledger in between waits for them, where it would have read nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, text, update

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import Cadence, cadence_of, index_of, key_at
from platform_defs.ledger import schema
from platform_defs.ledger.attempts import KEEP_DAYS, Attempts
from platform_defs.ledger.requests import Requests
from platform_defs.ledger.slots import Day
from platform_defs.ledger.store import Store, day_of_instant, slot_of, slots

_LOCKS = 7310  # first half of the advisory locks of `alone`
_DAYS = schema.partition_days
_BEFORE = "unnest(CAST(:ids AS int[]), CAST(:firsts AS int[])) AS w (id, first)"
_GONE = "f.published * CAST('{(,' || w.first || ')}' AS int4multirange)"


@dataclass(frozen=True)
class ExpiredSegments:
    """Segments of one event type or source past its landing retention.

    Attributes:
        unbuilt: partitions they are part of that were never published, in key order: once they are gone nothing can build those from landing.
    """

    segments: int
    rows: int
    unbuilt: tuple[str, ...]


class Forgetting:
    """What the ledger forgets by age."""

    def __init__(self, store: Store, attempts: Attempts, requests: Requests) -> None:
        self._store, self._attempts, self._requests = store, attempts, requests

    # who, and when

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Whether nobody else is inside with the same name, as long as it lasts; never waits. Given up when the process ends, however."""
        with self._store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            values = {"lock": _LOCKS, "name": name}
            mine = bool(connection.execute(text("SELECT pg_try_advisory_lock(:lock, hashtext(:name))"), values).scalar_one())
            try:
                yield mine
            finally:
                if mine:
                    connection.execute(text("SELECT pg_advisory_unlock(:lock, hashtext(:name))"), values)

    def done_at(self, name: str) -> datetime | None:
        """When a chore was done last; None: never."""
        with self._store.engine.connect() as connection:
            return connection.execute(text("SELECT done_at FROM chores WHERE name = :name"), {"name": name}).scalar_one_or_none()

    def note_done(self, name: str, run_id: str) -> None:
        """Says that a chore is done now, and by which run."""
        statement = text(
            "INSERT INTO chores (name, done_at, run_id) VALUES (:name, :at, :run) "
            "ON CONFLICT (name) DO UPDATE SET done_at = excluded.done_at, run_id = excluded.run_id"
        )
        with self._store.transaction() as connection:
            connection.execute(statement, {"name": name, "at": self._store.clock(), "run": run_id})

    # partitions

    def expired(self, firsts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Published partitions before the first one kept, by endpoint, in order; endpoints without any are absent. One statement.

        Args:
            firsts: the oldest partition that is kept, by endpoint. Raises UnknownEndpoint.
        """
        if not firsts:
            return {}
        names = {number: pair for pair, number in self._ids(firsts).items()}
        query = text(
            f"SELECT w.id, lower(r) AS first, upper(r) - 1 AS last FROM {_BEFORE} JOIN frontiers f ON f.endpoint_id = w.id, unnest({_GONE}) AS r ORDER BY 1, 2"  # noqa: S608
        )
        found: dict[str, tuple[str, ...]] = {}
        with self._store.engine.connect() as connection:
            for row in connection.execute(query, self._values(firsts)):
                endpoint, cadence = names[row.id]
                found[endpoint] = (*found.get(endpoint, ()), *(key_at(cadence, index) for index in range(row.first, row.last + 1)))
        return found

    def forget_before(self, endpoint: str, first: str) -> None:
        """Forgets what was published of an endpoint before a partition: those count as never published. Nobody who follows changes is told."""
        cadence, index = cadence_of(first), index_of(first)
        number = self._store.endpoint_id(endpoint, cadence)
        day, slot = slot_of(cadence, index)
        with self._store.transaction() as connection:
            connection.execute(_DAYS.delete().where(_DAYS.c.endpoint_id == number, _DAYS.c.day < day))
            mine = (_DAYS.c.endpoint_id == number) & (_DAYS.c.day == day)
            row = connection.execute(select(_DAYS).where(mine).with_for_update()).mappings().one_or_none() if slot else None
            if row is not None:
                held = Day.of(row, slots(cadence))
                for each in range(slot):
                    held.clear(each)
                empty = all(content is None for content in held.values["content"] or [])
                connection.execute(_DAYS.delete().where(mine) if empty else update(_DAYS).where(mine).values(**held.values))
            gone = text("UPDATE frontiers SET published = published - CAST('{(,' || :first || ')}' AS int4multirange) WHERE endpoint_id = :id")
            connection.execute(gone, {"first": str(index), "id": number})

    def forget_beside(self, firsts: Mapping[str, str]) -> dict[str, int]:
        """Forgets what is said beside partitions before the first one kept: their troubles, reopenings, sums of what landed; how many of each.

        `firsts`: as in `expired`.
        """
        tables = {"troubles": "exceptions", "reopenings": "reopenings", "landed hours": "landed_partitions"}
        values = self._values(firsts)
        with self._store.transaction() as connection:
            return {
                said: connection.execute(
                    text(f"DELETE FROM {table} AS t USING {_BEFORE} WHERE t.endpoint_id = w.id AND t.partition < w.first"),  # noqa: S608
                    values,
                ).rowcount
                for said, table in tables.items()
            }

    # landing

    def expired_segments(self, cutoffs: Mapping[str, tuple[Contract, datetime]]) -> dict[str, ExpiredSegments]:
        """Segments that were sealed before an instant, by event type or source; types without any are absent.

        Args:
            cutoffs: the contract, in force or the last one that was, and the instant, by key. Raises UnknownEndpoint.
        """
        ids, values = self._cut(cutoffs)
        query = text(
            "SELECT s.endpoint_id, s.partition, count(*) AS segments, sum(s.rows)::bigint AS rows, coalesce(f.published @> s.partition, false) AS built "
            "FROM segments s JOIN unnest(CAST(:ids AS int[]), CAST(:ats AS timestamptz[])) AS w (id, at) ON s.endpoint_id = w.id AND s.sealed_at < w.at "
            "LEFT JOIN frontiers f ON f.endpoint_id = s.endpoint_id GROUP BY 1, 2, 5 ORDER BY 1, 2"
        )
        found: dict[str, ExpiredSegments] = {}
        with self._store.engine.connect() as connection:
            for row in connection.execute(query, values):
                contract = cutoffs[ids[row.endpoint_id]][0]
                before = found.get(contract.key, ExpiredSegments(0, 0, ()))
                unbuilt = () if row.built else (key_at(contract.cadence, row.partition),)
                found[contract.key] = ExpiredSegments(before.segments + row.segments, before.rows + row.rows, (*before.unbuilt, *unbuilt))
        return found

    def forget_segments(self, cutoffs: Mapping[str, tuple[Contract, datetime]]) -> int:
        """Says that these segments (as in `expired_segments`) are gone; how many were known. Their sums stay, and that something of them is gone."""
        _, values = self._cut(cutoffs)
        statement = text(
            "WITH gone AS (DELETE FROM segments s USING unnest(CAST(:ids AS int[]), CAST(:ats AS timestamptz[])) AS w (id, at) "
            "WHERE s.endpoint_id = w.id AND s.sealed_at < w.at RETURNING s.endpoint_id, s.partition), "
            "counted AS (SELECT endpoint_id, partition, count(*) AS n FROM gone GROUP BY 1, 2 ORDER BY 1, 2), "
            "noted AS (UPDATE landed_partitions l SET expired = l.expired + c.n FROM counted c "
            "WHERE l.endpoint_id = c.endpoint_id AND l.partition = c.partition) SELECT count(*) FROM gone"
        )
        with self._store.transaction() as connection:
            return int(connection.execute(statement, values).scalar_one())

    def recorded_seals(self, before: datetime) -> set[tuple[str, int]]:
        """Seals (receiver, number) older than that instant that the ledger has recorded."""
        with self._store.engine.connect() as connection:
            rows = connection.execute(text("SELECT receiver, seal FROM seals WHERE sealed_at < :before"), {"before": before})
            return {(row.receiver, row.seal) for row in rows}

    def forget_seals(self, seals: Iterable[tuple[str, int]]) -> int:
        """Forgets seals whose manifests are gone: their numbers may be used again; how many were known."""
        pairs = sorted(set(seals))
        statement = text(
            "DELETE FROM seals s USING unnest(CAST(:receivers AS text[]), CAST(:seals AS bigint[])) AS w (r, n) WHERE s.receiver = w.r AND s.seal = w.n"
        )
        values = {"receivers": [receiver for receiver, _ in pairs], "seals": [seal for _, seal in pairs]}
        with self._store.transaction() as connection:
            return connection.execute(statement, values).rowcount

    # history

    def old_history(self, now: datetime) -> dict[str, int]:
        """Of what is kept for 30 days, how much is older: days of attempts and transitions, closed requests."""
        oldest = now - timedelta(days=KEEP_DAYS)
        with self._store.engine.connect() as connection:
            days = len(self._store.days_before(connection, day_of_instant(oldest)))
            requests = connection.execute(text("SELECT count(*) FROM requests WHERE closed_at < :before"), {"before": oldest}).scalar_one()
        return {"days of attempts and transitions": days, "closed requests": int(requests)}

    def forget_history(self, now: datetime) -> dict[str, int]:
        """Drops that; how much it was."""
        return {
            "days of attempts and transitions": len(self._attempts.forget(now)),
            "closed requests": self._requests.forget(now - timedelta(days=KEEP_DAYS)),
        }

    def _ids(self, firsts: Mapping[str, str]) -> dict[tuple[str, Cadence], int]:
        return self._store.endpoint_ids((endpoint, cadence_of(first)) for endpoint, first in firsts.items())

    def _values(self, firsts: Mapping[str, str]) -> dict[str, list[int]]:
        ids = self._ids(firsts)
        return {"ids": [ids[endpoint, cadence_of(first)] for endpoint, first in firsts.items()], "firsts": [index_of(first) for first in firsts.values()]}

    def _cut(self, cutoffs: Mapping[str, tuple[Contract, datetime]]) -> tuple[dict[int, str], dict[str, list[object]]]:
        ids = self._store.endpoint_ids((contract.key, contract.cadence) for contract, _ in cutoffs.values())
        numbers = {ids[contract.key, contract.cadence]: key for key, (contract, _) in cutoffs.items()}
        return numbers, {"ids": list(numbers), "ats": [cutoffs[key][1] for key in numbers.values()]}
