"""Partitions in trouble: refused, failed, stuck, or waiting for their source. A row each while it lasts, and a transition in and out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from platform_defs.contracts.partitions import index_of, key_at, key_of
from platform_defs.ledger.attempts import Transition, Transitions
from platform_defs.ledger.outcomes import Outcome, RunInfo
from platform_defs.ledger.store import Store
from platform_defs.planning.facts import Trouble, TroubleName
from platform_defs.planning.retry import next_try

_NOTED = ("refused", "failed", "stuck")  # `waiting` is everyday life


class Troubles:
    """What went wrong and was not mended since."""

    def __init__(self, store: Store, transitions: Transitions) -> None:
        self._store = store
        self._transitions = transitions

    def all(self) -> dict[tuple[str, str], Trouble]:
        """Every partition in trouble, by (endpoint, partition): of endpoints in force."""
        query = text(
            "SELECT e.key, e.cadence, x.*, r.run_id FROM exceptions x JOIN endpoints e ON e.id = x.endpoint_id JOIN runs r ON r.id = x.run "
            "WHERE e.digest IS NOT NULL ORDER BY e.key, x.partition"
        )
        with self._store.engine.connect() as connection:
            return {(row.key, key_at(row.cadence, row.partition)): trouble(row) for row in connection.execute(query)}

    def to_try_again(self, domain: str, now: datetime, before: datetime, paused: Collection[str] = ()) -> set[tuple[str, str]]:
        """Failed partitions of a domain whose next try has come, of those that begin before an instant; a thousand, those that waited longest first.

        `paused`: endpoints that are left out.
        """
        query = text(
            "SELECT e.key, e.cadence, x.partition FROM exceptions x JOIN endpoints e ON e.id = x.endpoint_id "
            "WHERE x.state = 'failed' AND x.next_try <= :now AND x.partition <= CASE e.cadence WHEN 'hourly' THEN :hour ELSE :day END "
            "AND e.digest IS NOT NULL AND starts_with(e.key, :domain) AND e.key <> ALL(:paused) ORDER BY x.next_try LIMIT 1000"
        )
        last = before - timedelta(microseconds=1)
        numbers = {"hour": index_of(key_of("hourly", last)), "day": index_of(key_of("daily", last)), "paused": list(paused)}
        with self._store.engine.connect() as connection:
            return {(row.key, key_at(row.cadence, row.partition)) for row in connection.execute(query, {"now": now, "domain": f"{domain}/"} | numbers)}

    def update(self, connection: Connection, placed: Sequence[tuple[int, int, Outcome]], run: RunInfo, run_number: int, *, history: bool) -> None:
        """Opens, changes and closes troubles by what a run tells. `placed`: (endpoint number, partition number, outcome), in that order."""
        values = {"endpoints": [endpoint for endpoint, _, _ in placed], "partitions": [index for _, index, _ in placed]}
        query = text(
            "SELECT x.* FROM exceptions x JOIN unnest(CAST(:endpoints AS int[]), CAST(:partitions AS int[])) AS w (e, p) "
            "ON x.endpoint_id = w.e AND x.partition = w.p"
        )
        open_now = {(row.endpoint_id, row.partition): row for row in connection.execute(query, values)}
        for endpoint, index, outcome in placed:
            old = open_now.get((endpoint, index))
            was = old.state if old is not None else "current"
            became = self._become(connection, endpoint, index, outcome, old, run, run_number)
            if history and became != was and (was in _NOTED or became in _NOTED):
                self._transitions.add(connection, endpoint, index, Transition(run.ended_at, was, became, outcome.reason or "", run.run_id))

    def _become(self, connection: Connection, endpoint: int, index: int, outcome: Outcome, old: Any, run: RunInfo, run_number: int) -> str:
        if outcome.state in ("published", "skipped"):
            if old is not None:
                connection.execute(text("DELETE FROM exceptions WHERE endpoint_id = :e AND partition = :p"), {"e": endpoint, "p": index})
            return "current"
        if outcome.state == "waiting" and outcome.retry_at is None:
            return old.state if old is not None else "current"  # the planner sees for itself what is missing
        tries, state, again = self._judge(outcome, old, run)
        connection.execute(
            text(
                "INSERT INTO exceptions (endpoint_id, partition, state, reason, kind, tries, at, next_try, inputs, code, run, began) "
                "VALUES (:e, :p, :state, :reason, :kind, :tries, :at, :again, :inputs, :code, :run, :began) ON CONFLICT (endpoint_id, partition) DO UPDATE SET "
                "state = excluded.state, reason = excluded.reason, kind = excluded.kind, tries = excluded.tries, at = excluded.at, "
                "next_try = excluded.next_try, inputs = excluded.inputs, code = excluded.code, run = excluded.run, began = excluded.began"
            ),
            {
                "e": endpoint,
                "p": index,
                "state": state,
                "reason": outcome.reason or outcome.state,
                "kind": outcome.kind,
                "tries": tries,
                "at": run.ended_at,
                "began": run.started_at,
                "again": again,
                "inputs": outcome.tried_inputs,
                "code": outcome.tried_code,
                "run": run_number,
            },
        )
        return state

    @staticmethod
    def _judge(outcome: Outcome, old: Any, run: RunInfo) -> tuple[int, TroubleName, datetime | None]:
        """Tries in a row, state, next try. A run that tells twice counts once; another input or code begins a new count."""
        if outcome.state == "waiting":
            return 0, "waiting", outcome.retry_at
        if outcome.state == "refused":
            return 1, "refused", None
        same = old is not None and old.state in ("failed", "stuck") and old.code == outcome.tried_code
        same = same and (None if old.inputs is None else bytes(old.inputs)) == outcome.tried_inputs
        told_before = same and old.at == run.ended_at
        tries = (old.tries if told_before else old.tries + 1) if same else 1
        again = None if outcome.lasting else next_try(tries, run.ended_at)
        return tries, "failed" if again else "stuck", again


def trouble(row: Any) -> Trouble:
    """A row of `exceptions` joined with its run."""
    inputs = None if row.inputs is None else bytes(row.inputs)
    return Trouble(row.state, row.reason, row.tries, row.at, row.next_try, inputs, row.code, row.run_id, row.kind, row.began)
