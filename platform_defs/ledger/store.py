"""What all concerns of the ledger share: the database connection, the numbers that stand for keys, runs and code versions, the order of changes.

No concern's own queries belong here.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum

from sqlalchemy import Connection, create_engine, text

from platform_defs.contracts.partitions import Cadence, cadence_of, index_of
from platform_defs.ledger import schema


class UnknownEndpoint(LookupError):
    """A key the registry does not hold; the message says what to do."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is not in the registry: run ./backline apply (or mend the name)")


class Lock(IntEnum):
    """Advisory locks of the ledger's database, each held to the end of a transaction."""

    CREATE = 7301
    REGISTRY = 7302
    LANDING_ORDER = 7303
    PARTITION_ORDER = 7304
    REQUESTS = 7305
    PAUSES = 7306


class Store:
    """A pool of connections to the ledger's database, and the small dictionaries in it.

    Args:
        url: SQLAlchemy URL (`postgresql+psycopg2://...`).
        clock: the present instant, aware, UTC.
    """

    def __init__(self, url: str, clock: Callable[[], datetime] | None = None) -> None:
        self.clock = clock or (lambda: datetime.now(UTC))
        # pre-ping: a Postgres that was restarted costs one more try, not an error.
        self.engine = create_engine(url, pool_pre_ping=True, pool_size=4, max_overflow=12, connect_args={"options": "-c timezone=UTC"})
        self._ids: dict[tuple[str, Cadence], int] = {}
        self._days: set[tuple[str, int]] = set()
        self._guard_forks()

    def _guard_forks(self) -> None:
        """A connection that came over a fork is the parent's: using it would mix up two conversations (the run host forks a run).

        The pool's own hooks are too late for it: the pre-ping goes first, over the parent's connection.
        """
        store = weakref.ref(self)

        def forget() -> None:
            mine = store()
            if mine is not None:
                mine.engine.dispose(close=False)  # they are the parent's to close

        os.register_at_fork(after_in_child=forget)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back by an exception."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A read-only transaction whose queries all see the same instant."""
        with self.engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True) as connection, connection.begin():
            yield connection

    @staticmethod
    def lock(connection: Connection, which: Lock) -> None:
        """Waits for the lock and holds it to the end of the transaction."""
        connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": int(which)})

    @staticmethod
    def next_change(connection: Connection, which: Lock, sequence: str) -> int:
        """The next number of a stream of changes.

        Numbers drawn from a sequence alone become visible out of order: a reader that saw 8 would never see 7, committed a moment later. Holding
        the stream's lock from the draw to the commit makes the order of numbers the order of commits. Hence: the last thing a transaction does.
        """
        Store.lock(connection, which)
        return int(connection.execute(text("SELECT nextval(:s)"), {"s": sequence}).scalar_one())

    def endpoint_ids(self, keys: Iterable[tuple[str, Cadence]], *, create: bool = False) -> dict[tuple[str, Cadence], int]:
        """Numbers of endpoints by (key, cadence).

        Args:
            create: give a number to those never declared (landing knows event types the registry forgot).

        Raises:
            UnknownEndpoint: for a key without number, unless `create`.
        """
        wanted = set(keys)
        missing = wanted - self._ids.keys()
        if missing:
            with self.transaction() as connection:
                if create:
                    connection.execute(
                        text("INSERT INTO endpoints (key, cadence) VALUES (:key, :cadence) ON CONFLICT DO NOTHING"),
                        [{"key": key, "cadence": cadence} for key, cadence in sorted(missing)],
                    )
                found = connection.execute(
                    text("SELECT id, key, cadence FROM endpoints WHERE key = ANY(:keys)"), {"keys": sorted({key for key, _ in missing})}
                ).all()
            self._ids.update({(row.key, row.cadence): row.id for row in found})
        for key, cadence in wanted:
            if (key, cadence) not in self._ids:
                raise UnknownEndpoint(key)
        return {pair: self._ids[pair] for pair in wanted}

    def endpoint_id(self, key: str, cadence: Cadence) -> int:
        """Number of one endpoint; raises UnknownEndpoint."""
        return self.endpoint_ids([(key, cadence)])[key, cadence]

    def run_number(self, connection: Connection, run_id: str) -> int:
        """The number that stands for a run, given on first use."""
        return self.run_numbers(connection, [run_id])[run_id]

    def run_numbers(self, connection: Connection, run_ids: Iterable[str]) -> dict[str, int]:
        """Numbers of runs by run id, given on first use."""
        wanted = sorted(set(run_ids))
        query = text("SELECT run_id, id FROM runs WHERE run_id = ANY(:runs)")
        found = {row.run_id: row.id for row in connection.execute(query, {"runs": wanted})}
        if len(found) < len(wanted):
            rows = [{"run": run, "at": self.clock()} for run in wanted if run not in found]
            connection.execute(text("INSERT INTO runs (run_id, first_seen) VALUES (:run, :at) ON CONFLICT DO NOTHING"), rows)
            found = {row.run_id: row.id for row in connection.execute(query, {"runs": wanted})}
        return found

    def code_numbers(self, connection: Connection, codes: Iterable[str]) -> dict[str, int]:
        """Numbers of code versions, given on first use."""
        wanted = sorted(set(codes))
        query = text("SELECT code, id FROM codes WHERE code = ANY(:codes)")
        found = {row.code: row.id for row in connection.execute(query, {"codes": wanted})}
        if len(found) < len(wanted):
            connection.execute(text("INSERT INTO codes (code) VALUES (:code) ON CONFLICT DO NOTHING"), [{"code": code} for code in wanted if code not in found])
            found = {row.code: row.id for row in connection.execute(query, {"codes": wanted})}
        return found

    def create(self) -> None:
        """Makes the tables and adds columns and indexes that are missing; idempotent, and safe from several processes at once."""
        with self.transaction() as connection:
            self.lock(connection, Lock.CREATE)
            schema.metadata.create_all(connection)
            present: dict[str, set[str]] = {}
            query = text("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()")
            for row in connection.execute(query):
                present.setdefault(row.table_name, set()).add(row.column_name)
            for table in schema.metadata.sorted_tables:
                for column in table.columns:
                    if column.name not in present[table.name]:
                        kind = column.type.compile(connection.dialect)
                        connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"))
                for index in table.indexes:
                    index.create(connection, checkfirst=True)

    def ensure_days(self, days: Iterable[int]) -> None:
        """Makes the tables that hold these days of `attempts` and `transitions`."""
        missing = [(table.name, day) for table in schema.DAILY for day in sorted(set(days)) if (table.name, day) not in self._days]
        if not missing:
            return
        with self.transaction() as connection:
            self.lock(connection, Lock.CREATE)  # two at once would both find it absent
            for name, day in missing:
                connection.execute(text(f"CREATE TABLE IF NOT EXISTS {name}_{day} PARTITION OF {name} FOR VALUES FROM ({day}) TO ({day + 1})"))
        self._days.update(missing)

    def forget_days(self, names: Iterable[str]) -> None:
        """These daily tables were dropped."""
        self._days -= {(name.rpartition("_")[0], int(name.rpartition("_")[2])) for name in names}

    def days_before(self, connection: Connection, day: int) -> list[str]:
        """The daily tables that hold days before this one, in the order in which a run that tells locks them (see schema.DAILY)."""
        query = text("SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent::regclass::text = ANY(:parents)")
        names = [row.name for row in connection.execute(query, {"parents": [table.name for table in schema.DAILY]})]
        order = [table.name for table in schema.DAILY]
        return sorted((name for name in names if int(name.rpartition("_")[2]) < day), key=lambda name: (order.index(name.rpartition("_")[0]), name))


def day_of_instant(at: datetime) -> int:
    """Days since 1970, UTC."""
    return int(at.timestamp()) // 86400


def by_cadence(keys: Sequence[str]) -> Cadence:
    """The one cadence of some partition keys; raises ValueError if they differ."""
    found = {cadence_of(key) for key in keys}
    if len(found) != 1:
        raise ValueError(f"partitions of different cadences: {', '.join(sorted(keys)[:4])}: give hours or days")
    return found.pop()


def indexes(keys: Iterable[str]) -> dict[int, str]:
    """Partition numbers with their keys."""
    return {index_of(key): key for key in keys}


def slot_of(cadence: Cadence, index: int) -> tuple[int, int]:
    """Day and position within the day's arrays."""
    return divmod(index, slots(cadence))


def slots(cadence: Cadence) -> int:
    """Partitions a day."""
    return 24 if cadence == "hourly" else 1
