"""Who may commit to an endpoint's tables: any number of publishes at a time, or Spark itself alone.

Spark's log store for local folders knows of no other process (lake.commits). Locks of Postgres: they end with the process that holds them, however it ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from platform_defs.ledger.store import Store

_LOCKS = 7311  # first half of the advisory locks


class Turns:
    """Turns at the tables of endpoints; each waits until it has one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @contextmanager
    def publishing(self, endpoint: str) -> Iterator[None]:
        """Beside others who publish, while Spark does not commit by itself."""
        with self._held(endpoint, "pg_advisory_lock_shared", "pg_advisory_unlock_shared"):
            yield

    @contextmanager
    def alone(self, endpoint: str) -> Iterator[None]:
        """For Spark's own commits: while nobody publishes."""
        with self._held(endpoint, "pg_advisory_lock", "pg_advisory_unlock"):
            yield

    @contextmanager
    def _held(self, endpoint: str, take: str, give: str) -> Iterator[None]:
        values = {"lock": _LOCKS, "name": endpoint}
        with self._store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"SELECT {take}(:lock, hashtext(:name))"), values)
            try:
                yield
            finally:
                connection.execute(text(f"SELECT {give}(:lock, hashtext(:name))"), values)
