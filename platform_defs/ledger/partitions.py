"""Published partitions: what readers see of each, recorded by runs in one transaction, and which content changed since a cursor.

What is due or stale is decided in planning; who may build is leases' matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, bindparam, select, text, update

from platform_defs.contracts.partitions import Cadence, cadence_of, index_of, key_at
from platform_defs.ledger import schema
from platform_defs.ledger.attempts import Attempts
from platform_defs.ledger.leases import Fence, FenceLost, holds
from platform_defs.ledger.outcomes import Outcome, RunInfo
from platform_defs.ledger.slots import Day
from platform_defs.ledger.store import Lock, Store, by_cadence, day_of_instant, indexes, slot_of, slots
from platform_defs.ledger.troubles import Troubles
from platform_defs.planning.facts import Published

DAYS = schema.partition_days


@dataclass(frozen=True)
class ContentChange:
    """A partition whose published content became another."""

    endpoint: str
    partition: str
    changed_at: datetime


class Partitions:
    """The published version of every partition."""

    def __init__(self, store: Store, attempts: Attempts, troubles: Troubles) -> None:
        self._store = store
        self._attempts = attempts
        self._troubles = troubles

    # reading

    def published(self, endpoint: str, partitions: Iterable[str]) -> dict[str, Published]:
        """The published versions of these partitions; those never published are absent. Raises UnknownEndpoint."""
        keys = list(partitions)
        if not keys:
            return {}
        cadence = by_cadence(keys)
        number = self._store.endpoint_id(endpoint, cadence)
        by_index = indexes(keys)
        days = sorted({slot_of(cadence, index)[0] for index in by_index})
        with self._store.snapshot() as connection:
            rows = connection.execute(select(DAYS).where(DAYS.c.endpoint_id == number, DAYS.c.day.in_(days))).mappings().all()
            found = decode(connection, {number: cadence}, rows)
        return {by_index[index]: version for (_, index), version in sorted(found.items()) if index in by_index}

    def row_counts(self, endpoint: str, partitions: Iterable[str]) -> dict[str, int]:
        """Rows of the published versions of these partitions (the check `volume` compares with them)."""
        return {key: version.rows for key, version in self.published(endpoint, partitions).items()}

    def newest(self, endpoint: str, cadence: Cadence) -> str | None:
        """The newest published partition, None if there is none."""
        number = self._store.endpoint_id(endpoint, cadence)
        with self._store.engine.connect() as connection:
            last = connection.execute(text("SELECT upper(published) - 1 FROM frontiers WHERE endpoint_id = :id"), {"id": number}).scalar_one_or_none()
        return None if last is None else key_at(cadence, last)

    def ranges(self, endpoint: str, cadence: Cadence) -> list[tuple[str, str]]:
        """Which partitions are published, as ranges (first, last) in order."""
        number = self._store.endpoint_id(endpoint, cadence)
        query = text("SELECT lower(r) AS first, upper(r) - 1 AS last FROM frontiers, unnest(published) AS r WHERE endpoint_id = :id ORDER BY 1")
        with self._store.engine.connect() as connection:
            return [(key_at(cadence, row.first), key_at(cadence, row.last)) for row in connection.execute(query, {"id": number})]

    def changed_since(self, cursor: int, limit_days: int = 10_000) -> tuple[list[ContentChange], int]:
        """Partitions whose content changed after the cursor, and the next cursor (0 begins). Nothing is skipped, whatever commits when."""
        # Slots are picked in the database: reading the arrays whole costs 50 µs a day.
        query = text(
            "SELECT e.key, e.cadence, d.day, d.change, s.slot, s.at FROM (SELECT endpoint_id, day, change, changes, changed_at FROM partition_days "
            "WHERE change > :cursor ORDER BY change FETCH FIRST :limit ROWS WITH TIES) AS d JOIN endpoints e ON e.id = d.endpoint_id, "
            "unnest(d.changes, d.changed_at) WITH ORDINALITY AS s (number, at, slot) WHERE s.number > :cursor ORDER BY d.change, e.key, s.slot"
        )
        with self._store.engine.connect() as connection:
            rows = connection.execute(query, {"cursor": cursor, "limit": limit_days}).all()
        changes = [ContentChange(key, key_at(cadence, day * slots(cadence) + slot - 1), at) for key, cadence, day, _, slot, at in rows]
        return changes, rows[-1].change if rows else cursor

    # writing

    def record(self, outcomes: Sequence[Outcome], run: RunInfo, fences: Sequence[Fence] = (), *, history: bool = True) -> None:
        """Records what a run did, all of it or nothing; the same again changes nothing that readers see.

        Args:
            fences: the leases it worked under. They are checked inside the transaction, and nobody can take them over before it ends.
            history: also as attempt and transitions; False for what is older than those are kept (rebuild).

        Raises:
            FenceLost: a lease was taken over; nothing is recorded.
            UnknownEndpoint: an endpoint the registry does not hold.
        """
        if not outcomes:
            return
        ids = self._store.endpoint_ids({(o.endpoint, cadence_of(o.partition)) for o in outcomes})
        if history:
            self._store.ensure_days([day_of_instant(run.ended_at)])
        codes_used = {o.published.code for o in outcomes if o.published}
        # Dictionaries first, in a transaction of their own: two runs must not wait for each other's new words while they hold rows.
        with self._store.transaction() as connection:
            numbers = self._store.run_numbers(connection, {run.run_id} | {o.published.run_id for o in outcomes if o.published})
            codes = self._store.code_numbers(connection, codes_used)
        placed = sorted(((ids[o.endpoint, cadence_of(o.partition)], index_of(o.partition), o) for o in outcomes), key=lambda p: p[:2])
        with self._store.transaction() as connection:
            for fence in sorted(fences, key=lambda f: (f.endpoint, f.partitions)):
                if not holds(connection, self._store, fence, lock=True):
                    raise FenceLost(f"{fence.endpoint} {fence.partitions[0]}: taken over from run {fence.run_id}; nothing was recorded, the newer run decides")
            days = self._locked_days(connection, placed)
            changed: list[tuple[Day, int]] = []
            for endpoint, index, outcome in placed:
                day_number, slot = slot_of(cadence_of(outcome.partition), index)
                day = days[endpoint, day_number]
                if outcome.published and day.put(slot, outcome.published, codes[outcome.published.code], numbers[outcome.published.run_id]):
                    changed.append((day, slot))
                elif outcome.state == "skipped":
                    day.seen(slot, run.ended_at)
            self._widen_frontiers(connection, placed)
            self._troubles.update(connection, placed, run, numbers[run.run_id], history=history)
            if history:
                self._attempts.add(connection, placed, run, numbers[run.run_id])
            self._write_days(connection, days.values(), changed)

    def forget(self, endpoint: str, partitions: Iterable[str]) -> None:
        """Forgets partitions whose rows are gone (retention, or deleted outside): they count as never published."""
        keys = sorted(set(partitions))
        if not keys:
            return
        cadence = by_cadence(keys)
        number = self._store.endpoint_id(endpoint, cadence)
        with self._store.transaction() as connection:
            places = {slot_of(cadence, index_of(key)) for key in keys}
            query = select(DAYS).where(DAYS.c.endpoint_id == number, DAYS.c.day.in_(sorted({day for day, _ in places}))).order_by(DAYS.c.day)
            days = {row["day"]: Day.of(row, slots(cadence)) for row in connection.execute(query.with_for_update()).mappings()}
            for day, slot in places:
                if day in days:
                    days[day].clear(slot)
            empty = [day for day, held in days.items() if not any(content is not None for content in held.values["content"] or [])]
            self._write_days(connection, [held for day, held in days.items() if day not in empty], [])
            if empty:
                connection.execute(DAYS.delete().where(DAYS.c.endpoint_id == number, DAYS.c.day.in_(empty)))
            connection.execute(
                text("UPDATE frontiers SET published = published - CAST(:gone AS int4multirange) WHERE endpoint_id = :id"),
                {"gone": multirange(index_of(key) for key in keys), "id": number},
            )

    def _locked_days(self, connection: Connection, placed: Sequence[tuple[int, int, Outcome]]) -> dict[tuple[int, int], Day]:
        """The days of these outcomes, made if absent, locked in order: two runs on hours of one day go one after the other."""
        wanted = {(endpoint, slot_of(cadence_of(o.partition), index)[0]): slots(cadence_of(o.partition)) for endpoint, index, o in placed}
        values = {"endpoints": [endpoint for endpoint, _ in sorted(wanted)], "days": [day for _, day in sorted(wanted)]}
        connection.execute(
            text("INSERT INTO partition_days (endpoint_id, day) SELECT * FROM unnest(CAST(:endpoints AS int[]), CAST(:days AS int[])) ON CONFLICT DO NOTHING"),
            values,
        )
        pairs = text("(partition_days.endpoint_id, partition_days.day) IN (SELECT * FROM unnest(CAST(:endpoints AS int[]), CAST(:days AS int[])))")
        query = select(DAYS).where(pairs).order_by(DAYS.c.endpoint_id, DAYS.c.day).with_for_update()
        rows = connection.execute(query, values).mappings().all()
        return {(row["endpoint_id"], row["day"]): Day.of(row, wanted[row["endpoint_id"], row["day"]]) for row in rows}

    def _widen_frontiers(self, connection: Connection, placed: Sequence[tuple[int, int, Outcome]]) -> None:
        done: dict[int, list[int]] = {}
        for endpoint, index, outcome in placed:
            if outcome.published:
                done.setdefault(endpoint, []).append(index)
        if done:
            connection.execute(
                text(
                    "INSERT INTO frontiers AS f (endpoint_id, published) VALUES (:endpoint, CAST(:done AS int4multirange)) "
                    "ON CONFLICT (endpoint_id) DO UPDATE SET published = f.published + excluded.published"
                ),
                [{"endpoint": endpoint, "done": multirange(indexes)} for endpoint, indexes in sorted(done.items())],
            )

    def _write_days(self, connection: Connection, days: Iterable[Day], changed: Sequence[tuple[Day, int]]) -> None:
        """Last in its transaction: from the change number on, other recorders wait for our commit."""
        highest: dict[tuple[int, int], int] = {}
        if changed:
            change = self._store.next_change(connection, Lock.PARTITION_ORDER, "partition_change")
            for day, slot in changed:
                day.stamp(slot, change)
                highest[day.endpoint, day.day] = change
        for day in days:
            left = [number for number in day.values["changes"] or [] if number is not None]
            extra = {"change": highest.get((day.endpoint, day.day), max(left, default=0))}
            statement = update(DAYS).where(DAYS.c.endpoint_id == bindparam("the_endpoint"), DAYS.c.day == bindparam("the_day"))
            connection.execute(statement.values(**day.values, **extra), {"the_endpoint": day.endpoint, "the_day": day.day})


def decode(connection: Connection, cadences: Mapping[int, Cadence], rows: Iterable[RowMapping]) -> dict[tuple[int, int], Published]:
    """Published versions by (endpoint number, partition number) of some rows of `partition_days`."""
    held = [Day.of(row, slots(cadences[row["endpoint_id"]])) for row in rows]
    numbers = {name: sorted({n for day in held for n in day.values[name] or [] if n is not None}) for name in ("code", "run")}
    codes = {row.id: row.code for row in connection.execute(text("SELECT id, code FROM codes WHERE id = ANY(:ids)"), {"ids": numbers["code"]})}
    runs = {row.id: row.run_id for row in connection.execute(text("SELECT id, run_id FROM runs WHERE id = ANY(:ids)"), {"ids": numbers["run"]})}
    found: dict[tuple[int, int], Published] = {}
    for day in held:
        for slot in range(day.size):
            version = day.get(slot, codes, runs)
            if version is not None:
                found[day.endpoint, day.day * day.size + slot] = version
    return found


def multirange(numbers: Iterable[int]) -> str:
    """The text of an int4multirange that holds these numbers; Postgres joins neighbours."""
    return "{" + ",".join(f"[{n},{n + 1})" for n in sorted(set(numbers))) + "}"
