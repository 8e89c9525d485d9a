"""Whose turn it is to commit to an endpoint's tables: one at a time, whoever it is and wherever it runs.

A commit takes milliseconds, and neither deltalake nor Spark's log store for local folders sees all that others do meanwhile (lake.commits). A lock of Postgres:
it ends with the process that holds it, however that ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from platform_defs.ledger.store import Store

_LOCK_TIMEOUT = "55P03"  # Postgres's lock_not_available
_LOCKS = 7311  # first half of the advisory locks
# A table's columns are changed in seconds; who holds a turn longer has been stopped.
_PATIENCE_SECONDS = 120


class TurnTaken(RuntimeError):
    """Somebody has had the turn for minutes; the message says at which endpoint's tables."""


class Turns:
    """Turns at the tables of endpoints."""

    def __init__(self, store: Store, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._store, self._patience = store, patience_seconds

    @contextmanager
    def at(self, endpoint: str) -> Iterator[None]:
        """A turn, once nobody else has one. Raises TurnTaken."""
        with self._store.transaction() as connection:  # its end, however it comes, is the turn's
            connection.execute(text("SELECT set_config('lock_timeout', :most, true)"), {"most": f"{self._patience * 1000:.0f}ms"})
            try:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock, hashtext(:name))"), {"lock": _LOCKS, "name": endpoint})
            except OperationalError as error:
                if getattr(error.orig, "pgcode", None) != _LOCK_TIMEOUT:  # the server is going: that says of nobody that he was stopped
                    raise
                words = f"{endpoint}: somebody has been committing to its tables for {self._patience:.0f} s: look for a process that was stopped, and end it"
                raise TurnTaken(words) from error
            yield
