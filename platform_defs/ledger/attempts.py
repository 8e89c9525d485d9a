"""History: attempts (one row per endpoint and run, arrays over its keys) and transitions, in tables by day that are dropped after 30."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, text, update

from platform_defs.contracts.partitions import Cadence, index_of, key_at
from platform_defs.ledger import schema
from platform_defs.ledger.outcomes import Outcome, RunInfo
from platform_defs.ledger.store import Store, day_of_instant

KEEP_DAYS = 30
_T = schema.attempts
_ARRAYS = ("partitions", "outcomes", "reasons", "kinds", "inputs", "milliseconds", "rows_in", "bytes_in", "rows_out", "bytes_out")


@dataclass(frozen=True)
class Attempt:
    """One partition's part of one run of one endpoint; times are the run's, `seconds` the partition's own."""

    endpoint: str
    partition: str
    run_id: str
    trigger: str
    caused_by: str | None
    request_id: int | None
    started_at: datetime
    ended_at: datetime
    outcome: str
    reason: str | None
    kind: str | None
    inputs: bytes | None
    seconds: float
    rows_in: int | None
    bytes_in: int | None
    rows_out: int | None
    bytes_out: int | None


@dataclass(frozen=True)
class Transition:
    """A partition came into or out of overdue, refused, failed, stuck or paused."""

    at: datetime
    was: str
    became: str
    reason: str
    run_id: str | None


class Attempts:
    """What was tried, when, by which run, and what came of it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, connection: Connection, placed: Sequence[tuple[int, int, Outcome]], run: RunInfo, run_number: int) -> None:
        """Adds what a run tells; a run that tells more of an endpoint later is one row, and a partition told twice counts once."""
        day = day_of_instant(run.ended_at)
        for endpoint in sorted({endpoint for endpoint, _, _ in placed}):
            told = {index: _entry(index, outcome) for each, index, outcome in placed if each == endpoint}
            where = (_T.c.day == day) & (_T.c.endpoint_id == endpoint) & (_T.c.run == run_number)
            row = connection.execute(select(_T).where(where).with_for_update()).mappings().one_or_none()
            outcomes = [outcome for each, _, outcome in placed if each == endpoint]
            checks = {"checks_passed": sum(o.checks_passed for o in outcomes), "checks_failed": sum(o.checks_failed for o in outcomes)}
            if row is not None:
                before = {entry[0]: entry for entry in zip(*(row[name] for name in _ARRAYS), strict=True)}
                new = told.keys() - before.keys()
                told = before | told
                checks = {name: row[name] + sum(getattr(o, name) for o in outcomes if index_of(o.partition) in new) for name in checks}
            entries = [told[index] for index in sorted(told)]
            arrays = {name: [entry[position] for entry in entries] for position, name in enumerate(_ARRAYS)}
            if row is not None:
                connection.execute(update(_T).where(where).values(ended_at=run.ended_at, **arrays, **checks))
                continue
            head = {
                "day": day,
                "endpoint_id": endpoint,
                "run": run_number,
                "trigger": run.trigger,
                "caused_by": run.caused_by,
                "request_id": run.request_id,
                "started_at": run.started_at,
                "ended_at": run.ended_at,
            }
            connection.execute(insert(_T).values(**head, **arrays, **checks))

    def of(self, endpoint: str, cadence: Cadence, partition: str | None = None, limit: int = 100) -> list[Attempt]:
        """The newest attempts of an endpoint, or of one of its partitions; newest first."""
        number = self._store.endpoint_id(endpoint, cadence)
        query = (
            "SELECT a.*, r.run_id FROM attempts a JOIN runs r ON r.id = a.run WHERE a.endpoint_id = :id "
            "AND (CAST(:partition AS int) IS NULL OR :partition = ANY(a.partitions)) ORDER BY a.day DESC, a.ended_at DESC LIMIT :limit"
        )
        values: dict[str, Any] = {"id": number, "limit": limit, "partition": index_of(partition) if partition else None}
        with self._store.engine.connect() as connection:
            rows = connection.execute(text(query), values).all()
        found = [_attempt(endpoint, cadence, row, position) for row in rows for position in range(len(row.partitions))]
        return [attempt for attempt in found if partition is None or attempt.partition == partition][:limit]

    def median_seconds(self, endpoints: Iterable[tuple[str, Cadence]]) -> dict[str, float]:
        """Median seconds a published partition took in the last 30 days, by endpoint; endpoints without any are absent."""
        ids = {number: key for (key, _), number in self._store.endpoint_ids(endpoints).items()}
        query = text(
            "SELECT endpoint_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) / 1000.0 AS seconds FROM attempts, "
            "unnest(milliseconds, outcomes) AS each (ms, outcome) WHERE endpoint_id = ANY(:ids) AND outcome = 'published' GROUP BY endpoint_id"
        )
        with self._store.engine.connect() as connection:
            return {ids[row.endpoint_id]: float(row.seconds) for row in connection.execute(query, {"ids": list(ids)})}

    def run_times(self, endpoints: Iterable[tuple[str, Cadence]]) -> dict[str, list[tuple[int, float]]]:
        """What runs of the last 30 days took, by endpoint: (partitions published, seconds from its begin to its end) of each run that published some.

        At most the newest 100 runs of an endpoint; endpoints without any are absent.
        """
        ids = {number: key for (key, _), number in self._store.endpoint_ids(endpoints).items()}
        query = text(
            "SELECT endpoint_id, published, seconds FROM (SELECT endpoint_id, cardinality(array_positions(outcomes, 'published')) AS published, "
            "extract(epoch FROM ended_at - started_at) AS seconds, row_number() OVER (PARTITION BY endpoint_id ORDER BY ended_at DESC) AS age "
            "FROM attempts WHERE endpoint_id = ANY(:ids) AND 'published' = ANY(outcomes)) AS each WHERE age <= 100 ORDER BY endpoint_id, age"
        )
        found: dict[str, list[tuple[int, float]]] = {}
        with self._store.engine.connect() as connection:
            for row in connection.execute(query, {"ids": list(ids)}):
                found.setdefault(ids[row.endpoint_id], []).append((row.published, float(row.seconds)))
        return found

    def forget(self, today: datetime) -> list[str]:
        """Drops the tables of days more than 30 days ago; their names."""
        with self._store.transaction() as connection:
            names = self._store.days_before(connection, day_of_instant(today - timedelta(days=KEEP_DAYS)))
            for name in names:
                connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
        self._store.forget_days(names)
        return names


class Transitions:
    """When partitions went into trouble and out of it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, connection: Connection, endpoint: int, index: int | None, transition: Transition) -> None:
        """Adds one within a transaction whose day's table exists (`Store.ensure_days`)."""
        values = {
            "day": day_of_instant(transition.at),
            "at": transition.at,
            "endpoint": endpoint,
            "partition": index,
            "was": transition.was,
            "became": transition.became,
            "reason": transition.reason,
            "run": transition.run_id,
        }
        statement = (
            "INSERT INTO transitions (day, at, endpoint_id, partition, was, became, reason, run_id) "
            "VALUES (:day, :at, :endpoint, :partition, :was, :became, :reason, :run)"
        )
        connection.execute(text(statement), values)

    def note(self, endpoint: str, cadence: Cadence, partition: str | None, transition: Transition) -> None:
        """Adds one by itself: for what no run tells (overdue, paused)."""
        number = self._store.endpoint_id(endpoint, cadence)
        self._store.ensure_days([day_of_instant(transition.at)])
        with self._store.transaction() as connection:
            self.add(connection, number, None if partition is None else index_of(partition), transition)

    def add_all(self, connection: Connection, at: datetime, was: str, became: str, reasons: Mapping[tuple[int, int], str]) -> None:
        """Adds the same for many (endpoint, partition) numbers, each with its reason, in one statement; otherwise as `add`."""
        statement = text(
            "INSERT INTO transitions (day, at, endpoint_id, partition, was, became, reason) SELECT :day, :at, e, p, :was, :became, reason "
            "FROM unnest(CAST(:endpoints AS int[]), CAST(:partitions AS int[]), CAST(:reasons AS text[])) AS w (e, p, reason)"
        )
        if reasons:
            places = {"endpoints": [each for each, _ in reasons], "partitions": [each for _, each in reasons], "reasons": list(reasons.values())}
            connection.execute(statement, places | {"day": day_of_instant(at), "at": at, "was": was, "became": became})

    def of(self, endpoint: str, cadence: Cadence, partition: str | None = None) -> list[tuple[str | None, Transition]]:
        """Transitions (partition, transition) of an endpoint or of one of its partitions, oldest first."""
        number = self._store.endpoint_id(endpoint, cadence)
        query = text("SELECT * FROM transitions WHERE endpoint_id = :id AND (CAST(:partition AS int) IS NULL OR partition = :partition) ORDER BY at, day")
        values = {"id": number, "partition": None if partition is None else index_of(partition)}
        with self._store.engine.connect() as connection:
            rows = connection.execute(query, values).all()
        return [(None if r.partition is None else key_at(cadence, r.partition), Transition(r.at, r.was, r.became, r.reason, r.run_id)) for r in rows]


def _entry(index: int, o: Outcome) -> tuple[Any, ...]:
    rows_out = o.published.rows if o.published and o.rows_out is None else o.rows_out
    return (index, o.state, o.reason, o.kind, o.tried_inputs, round(o.seconds * 1000), o.rows_in, o.bytes_in, rows_out, o.bytes_out)


def _attempt(endpoint: str, cadence: Cadence, row: Any, position: int) -> Attempt:
    inputs = row.inputs[position]
    return Attempt(
        endpoint=endpoint,
        partition=key_at(cadence, row.partitions[position]),
        run_id=row.run_id,
        trigger=row.trigger,
        caused_by=row.caused_by,
        request_id=row.request_id,
        started_at=row.started_at,
        ended_at=row.ended_at,
        outcome=row.outcomes[position],
        reason=row.reasons[position],
        kind=row.kinds[position],
        inputs=None if inputs is None else bytes(inputs),
        seconds=row.milliseconds[position] / 1000,
        rows_in=row.rows_in[position],
        bytes_in=row.bytes_in[position],
        rows_out=row.rows_out[position],
        bytes_out=row.bytes_out[position],
    )
