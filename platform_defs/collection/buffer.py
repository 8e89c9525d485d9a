"""The SDK's disk buffer: events until they are acknowledged, and those the receiver rejected. One SQLite file, 0600, shared by any number of processes.

Rows are deleted for good (`secure_delete`): a buffer holds raw personal values no longer than it must.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS rejected
    (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, body BLOB NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, at TEXT NOT NULL);
"""
_PAGE = 4096


class BufferFull(Exception):
    """The buffer has reached its size, or its disk is full; the event was not taken."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event not yet acknowledged: its place in the buffer, and the CloudEvent as it is sent."""

    seq: int
    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """An event the receiver refused for good. `reason` and `detail` are its words; `body` is the CloudEvent as sent."""

    id: str
    body: bytes
    reason: str
    detail: str
    at: datetime


class Buffer:
    """One process's hold on a buffer file; of one thread at a time (it locks).

    Args:
        path: the file; made, with its folder, if it is not there.
        most_bytes: size of the file behind which `add` raises BufferFull.
        durable: fsync at each add. Without it an event outlives its process, and a power cut takes the last instants.
    """

    def __init__(self, path: Path, *, most_bytes: int, durable: bool) -> None:
        self.path, self._most, self._durable = path, most_bytes, durable
        self._lock = threading.RLock()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite gives its side files the same mode
        self._sends: int | None = None
        self._connection = self._connect()
        self._open = True
        self._connection.executescript(_SCHEMA)
        _guard_forks(self)

    def add(self, events: Iterable[tuple[str, bytes]]) -> int:
        """Keeps events (id, CloudEvent), all or none; returns the place of the last one. Raises BufferFull."""
        try:
            with self._transaction() as connection:
                last = 0
                for id_, body in events:
                    last = connection.execute("INSERT INTO outbox (id, body) VALUES (?, ?)", (id_, body)).lastrowid or last
                return last
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise BufferFull(f"{self.path.name}: the buffer is full ({self._most} bytes, or its disk): is the collector reachable?") from None
            raise

    def next(self, most: int, most_bytes: int) -> list[Waiting]:
        """The oldest events, at least one if there is any."""
        found: list[Waiting] = []
        size = 0
        with self._lock:
            for seq, id_, body in self._connection.execute("SELECT seq, id, body FROM outbox ORDER BY seq LIMIT ?", (most,)):
                size += len(body) + 1
                if found and size > most_bytes:
                    break
                found.append(Waiting(seq, id_, body))
        return found

    def settle(self, accepted: Sequence[Waiting], rejected: Sequence[tuple[Waiting, str, str]]) -> None:
        """What the receiver answered: accepted ones go, rejected ones (with reason and detail) are kept apart."""
        at = datetime.now(UTC).isoformat()
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO rejected (seq, id, body, reason, detail, at) VALUES (?, ?, ?, ?, ?, ?)",
                [(one.seq, one.id, one.body, reason, detail, at) for one, reason, detail in rejected],
            )
            connection.executemany("DELETE FROM outbox WHERE seq = ?", [(one.seq,) for one in (*accepted, *(one for one, _, _ in rejected))])

    def span(self) -> tuple[int, int] | None:
        """Places of the oldest and the newest event not acknowledged; None if there is none."""
        with self._lock:
            first, last = self._connection.execute("SELECT min(seq), max(seq) FROM outbox").fetchone()
        return None if first is None else (int(first), int(last))

    def counts(self) -> tuple[int, int]:
        """How many wait, how many were rejected."""
        with self._lock:
            row = self._connection.execute("SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM rejected)").fetchone()
        return int(row[0]), int(row[1])

    def rejected(self) -> list[RejectedEvent]:
        """All rejected events, oldest first."""
        with self._lock:
            rows = self._connection.execute("SELECT id, body, reason, detail, at FROM rejected ORDER BY seq").fetchall()
        return [RejectedEvent(id_, body, reason, detail, datetime.fromisoformat(at)) for id_, body, reason, detail, at in rows]

    def forget_rejected(self) -> int:
        """Deletes all rejected events; how many."""
        with self._transaction() as connection:
            return connection.execute("DELETE FROM rejected").rowcount

    def may_send(self) -> bool:
        """Whether this process is the one that sends from the file; the next one is when it ends or closes."""
        with self._lock:
            if self._sends is None:
                descriptor = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os.close(descriptor)
                    return False
                self._sends = descriptor
            return True

    def close(self) -> None:
        """Lets go of the file; what waits stays in it."""
        with self._lock:
            self._open = False
            self._connection.close()
            self._leave_sending()

    def before_fork(self) -> None:
        """SQLite forbids to carry a connection into a child, even to close it there: there is none while a process forks."""
        self._lock.acquire()
        if self._open:
            self._connection.close()

    def after_fork(self, child: bool) -> None:
        """Both sides go on with a connection of their own; the parent goes on sending."""
        lock = self._lock
        if child:
            self._lock = threading.RLock()
            self._leave_sending()
        if self._open:
            self._connection = self._connect()
        if not child:
            lock.release()

    def _leave_sending(self) -> None:
        if self._sends is not None:
            os.close(self._sends)
            self._sends = None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA journal_size_limit = {1 << 20}")
        connection.execute(f"PRAGMA max_page_count = {max(self._most // _PAGE, 16)}")
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def _guard_forks(buffer: Buffer) -> None:
    """Hooks cannot be taken back; they hold the buffer weakly, and do nothing once it is gone."""
    found = weakref.ref(buffer)

    def call(action: Callable[[Buffer], None]) -> Callable[[], None]:
        def hook() -> None:
            alive = found()
            if alive is not None:
                action(alive)

        return hook

    os.register_at_fork(before=call(Buffer.before_fork), after_in_parent=call(lambda b: b.after_fork(False)), after_in_child=call(lambda b: b.after_fork(True)))
