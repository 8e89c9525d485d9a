"""Leases: who builds a partition now, with a fence, a number that only grows. What runs end with is told by others (`end_run`).

A killed client's write goes on in the Spark server: it committed 13 s after a kill -9. So a lease that is taken over says which runs must be
interrupted before anything is done under the new fence, and goes on saying so to the next one until somebody confirms it (`stopped`): a taker that is
killed before it interrupted its predecessor must not lose that knowledge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from platform_defs.contracts.partitions import index_of, key_at
from platform_defs.ledger.store import Store, by_cadence


class FenceLost(RuntimeError):
    """Somebody else holds the partitions now: whatever this run still does must not be published."""


class _LookAgain(Exception):
    """What was held a moment ago is free."""


class RunEnded(RuntimeError):
    """A run that was declared ended asks for a lease."""


@dataclass(frozen=True)
class Fence:
    """The right to build some partitions of one endpoint, until somebody takes it over.

    Attributes:
        interrupt: runs whose work in the engine must be interrupted (then `stopped`) before anything is computed under this fence.
    """

    number: int
    endpoint: str
    partitions: tuple[str, ...]
    run_id: str
    interrupt: tuple[str, ...] = ()


@dataclass(frozen=True)
class Held:
    """Refused: these partitions are held by these runs. `void`: all of those runs have ended, so the leases may be taken over."""

    endpoint: str
    by: Mapping[str, str]
    void: bool

    @property
    def words(self) -> str:
        """Who holds what, in one line."""
        runs: dict[str, list[str]] = {}
        for partition, run in self.by.items():
            runs.setdefault(run, []).append(partition)
        parts = [f"{min(keys)}{f' and {len(keys) - 1} more' if len(keys) > 1 else ''} by run {run}" for run, keys in runs.items()]
        return f"{self.endpoint}: held: {'; '.join(parts)}"


class Leases:
    """Leases per partition. A lease is all or nothing over the partitions asked for, and is taken in key order, so that two never wait in a ring."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def acquire(self, endpoint: str, partitions: Iterable[str], run_id: str, session_id: str = "") -> Fence | Held:
        """Takes the leases of all these partitions, or says who holds one. Never takes from anybody: see `take_over`.

        A run that holds them already gets a new fence; the old one is lost. Raises RunEnded, UnknownEndpoint.
        """
        return self._take(endpoint, partitions, run_id, session_id, force=False, over=False)

    def take_over(self, endpoint: str, partitions: Iterable[str], run_id: str, session_id: str = "", *, force: bool = False) -> Fence | Held:
        """As `acquire`, but takes the leases of runs that have ended; with `force` of any run.

        From then on the old holder's fence is lost. What it still does in the engine is not: interrupt the runs in `Fence.interrupt`, wait until
        nothing of theirs runs, call `stopped`, and only then look at the table's head and compute.
        """
        return self._take(endpoint, partitions, run_id, session_id, force=force, over=True)

    def stopped(self, fence: Fence) -> None:
        """Says that nothing of the runs in `fence.interrupt` runs any more."""
        with self._store.transaction() as connection:
            connection.execute(text("UPDATE leases SET former = '{}' WHERE fence = :fence"), {"fence": fence.number})

    def holds(self, fence: Fence) -> bool:
        """Whether the fence still holds for all of its partitions: asked right before a commit."""
        with self._store.engine.connect() as connection:
            return holds(connection, self._store, fence)

    def release(self, fence: Fence) -> None:
        """Gives the leases back; what somebody else holds by now is left alone.

        A lease whose predecessor was never confirmed stopped stays, void once this run has ended: the next holder must interrupt it.
        """
        with self._store.transaction() as connection:
            connection.execute(text("DELETE FROM leases WHERE fence = :fence AND former = '{}'"), {"fence": fence.number})

    def end_run(self, run_id: str) -> None:
        """Says that a run has ended, however: its leases are void, and it gets no new ones. Harmless to repeat."""
        with self._store.transaction() as connection:
            number = self._store.run_number(connection, run_id)
            # The lock waits for a lease the run is taking this very moment (see _take).
            connection.execute(text("SELECT 1 FROM runs WHERE id = :run FOR UPDATE"), {"run": number})
            connection.execute(text("UPDATE runs SET ended_at = coalesce(ended_at, :at) WHERE id = :run"), {"run": number, "at": self._store.clock()})

    def of_run(self, run_id: str) -> dict[str, list[str]]:
        """The partitions a run holds, by endpoint."""
        query = text(
            "SELECT e.key, e.cadence, l.partition FROM leases l JOIN runs r ON r.id = l.run JOIN endpoints e ON e.id = l.endpoint_id "
            "WHERE r.run_id = :run ORDER BY e.key, l.partition"
        )
        found: dict[str, list[str]] = {}
        with self._store.engine.connect() as connection:
            for row in connection.execute(query, {"run": run_id}):
                found.setdefault(row.key, []).append(key_at(row.cadence, row.partition))
        return found

    def holders(self) -> list[str]:
        """Runs that hold leases and were not declared ended: whoever knows runs (Dagster) may know better."""
        query = text("SELECT DISTINCT r.run_id FROM leases l JOIN runs r ON r.id = l.run WHERE r.ended_at IS NULL ORDER BY 1")
        with self._store.engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def abandoned(self) -> list[tuple[str, datetime]]:
        """Runs that hold leases though they have ended, with the instant they ended: somebody should take over or sweep them."""
        query = text("SELECT DISTINCT r.run_id, r.ended_at FROM leases l JOIN runs r ON r.id = l.run WHERE r.ended_at IS NOT NULL ORDER BY 2, 1")
        with self._store.engine.connect() as connection:
            return [(row.run_id, row.ended_at) for row in connection.execute(query)]

    def _take(self, endpoint: str, partitions: Iterable[str], run_id: str, session_id: str, *, force: bool, over: bool) -> Fence | Held:
        keys = sorted(set(partitions))
        while True:
            try:
                return self._try(endpoint, keys, run_id, session_id, force=force, over=over)
            except _LookAgain:
                continue

    def _try(self, endpoint: str, keys: Sequence[str], run_id: str, session_id: str, *, force: bool, over: bool) -> Fence | Held:
        if not keys:
            raise ValueError(f"{endpoint}: a lease of no partition was asked for")
        cadence = by_cadence(keys)
        number = self._store.endpoint_id(endpoint, cadence)
        wanted = [index_of(key) for key in keys]
        with self._store.transaction() as connection:
            self._store.run_number(connection, run_id)
        with self._store.transaction() as connection:
            # FOR SHARE: `end_run` waits for us, or we see that it has spoken. Otherwise a run could take a lease after its own end.
            run = connection.execute(text("SELECT id, ended_at FROM runs WHERE run_id = :run FOR SHARE"), {"run": run_id}).one()
            if run.ended_at is not None:
                raise RunEnded(f"run {run_id} was declared ended at {run.ended_at:%Y-%m-%d %H:%M:%S}: start a new run for {endpoint} {keys[0]}")
            now = self._store.clock()
            claimed = {"endpoint": number, "wanted": wanted, "run": run.id, "session": session_id, "at": now}
            # Fence 0 marks rows that were free; a row somebody is inserting this moment is waited for.
            connection.execute(
                text(
                    "INSERT INTO leases (endpoint_id, partition, fence, run, session_id, former, acquired_at) "
                    "SELECT :endpoint, w, 0, :run, :session, '{}', :at FROM unnest(CAST(:wanted AS int[])) AS w ORDER BY w ON CONFLICT DO NOTHING"
                ),
                claimed,
            )
            rows = _locked(connection, number, wanted)
            if len(rows) < len(wanted):  # released between the two statements
                raise _LookAgain
            others = [row for row in rows if row.run != run.id]
            refused = [row for row in others if not (over and (force or row.ended_at is not None))]
            if refused:
                connection.rollback()  # also what was free: all or nothing
                by = {key_at(cadence, row.partition): row.run_id for row in others}
                return Held(endpoint, by, all(row.ended_at is not None for row in others))
            former = sorted({name for row in rows for name in row.former} | {row.run_id for row in others})
            fence = int(connection.execute(text("SELECT nextval('fence')")).scalar_one())
            connection.execute(
                text(
                    "UPDATE leases SET fence = :fence, run = :run, session_id = :session, former = CAST(:former AS text[]), acquired_at = :at "
                    "WHERE endpoint_id = :endpoint AND partition = ANY(:wanted)"
                ),
                claimed | {"fence": fence, "former": former},
            )
            return Fence(fence, endpoint, tuple(keys), run_id, tuple(former))


def _locked(connection: Connection, endpoint: int, wanted: Sequence[int]) -> Sequence[Row[Any]]:
    return connection.execute(
        text(
            "SELECT l.partition, l.fence, l.run, l.former, r.run_id, r.ended_at FROM leases l JOIN runs r ON r.id = l.run "
            "WHERE l.endpoint_id = :endpoint AND l.partition = ANY(:wanted) ORDER BY l.partition FOR UPDATE OF l"
        ),
        {"endpoint": endpoint, "wanted": list(wanted)},
    ).all()


def holds(connection: Connection, store: Store, fence: Fence, *, lock: bool = False) -> bool:
    """Whether the fence holds; with `lock` nobody can take it over before the transaction ends."""
    number = store.endpoint_id(fence.endpoint, by_cadence(fence.partitions))
    query = "SELECT partition FROM leases WHERE endpoint_id = :endpoint AND partition = ANY(:wanted) AND fence = :fence ORDER BY partition"
    values = {"endpoint": number, "wanted": [index_of(key) for key in fence.partitions], "fence": fence.number}
    return len(connection.execute(text(query + (" FOR SHARE" if lock else "")), values).all()) == len(fence.partitions)
