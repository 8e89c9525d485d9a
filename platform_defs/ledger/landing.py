"""What landed: receivers and how far they sealed, segments by event and hour, accounts by client. When an hour closes is decided in planning."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from platform_defs.contracts.partitions import cadence_of, index_of, key_at
from platform_defs.lake.landing import Account, SealManifest, Segment
from platform_defs.ledger.store import Lock, Store, by_cadence, day_of_instant, indexes
from platform_defs.planning.facts import Receiver


@dataclass(frozen=True)
class SegmentRow:
    """One segment as the ledger knows it: what the manifest said, and when, by whom and in which seal it was sealed."""

    segment: Segment
    sealed_at: datetime
    receiver: str
    seal: int


@dataclass(frozen=True)
class LandedChange:
    """An event hour to which segments came (sums over all of its segments)."""

    event: str
    hour: str
    rows: int
    segments: int
    last_sealed_at: datetime


@dataclass(frozen=True)
class AccountTotal:
    """What one client sent of one type (`event` None: of no known type) in seals of one day: received = accepted + rejected."""

    day: str
    client: str
    event: str | None
    received: int
    accepted: int
    rejected: int
    reasons: Mapping[str, int]


class Landing:
    """The ledger's index of the landing. Its manifests are the truth; recording one again changes nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # receivers

    def beat(self, receiver: str, sealed_until: datetime | None, at: datetime) -> None:
        """A sign of life. `sealed_until`: all it accepted before that instant is sealed; never goes back. Makes a lost or gone receiver live again."""
        statement = text(
            "INSERT INTO receivers (id, sealed_until, beat_at, state) VALUES (:id, :until, :at, 'live') ON CONFLICT (id) DO UPDATE SET "
            "sealed_until = greatest(receivers.sealed_until, excluded.sealed_until), beat_at = greatest(receivers.beat_at, excluded.beat_at), "
            "state = 'live', why = NULL"
        )
        with self._store.transaction() as connection:
            connection.execute(statement, {"id": receiver, "until": sealed_until, "at": at})

    def deregister(self, receiver: str) -> None:
        """A clean shut-down: everything is sealed, hours close without it. Harmless if it is unknown."""
        self._set_state(receiver, "gone", None)

    def lose(self, receiver: str, why: str) -> None:
        """A person gives a receiver up: hours close without it; should its log turn up, its rows are late. Raises LookupError if it is unknown."""
        if not self._set_state(receiver, "lost", why):
            raise LookupError(f"no receiver {receiver!r}; known: {', '.join(r.id for r in self.receivers()) or 'none'}")

    def find(self, receiver: str) -> bool:
        """A person takes a lost receiver back: hours wait for it again, until it beats or their hold is over. False if it is not lost."""
        with self._store.transaction() as connection:
            statement = text("UPDATE receivers SET state = 'live', why = NULL WHERE id = :id AND state = 'lost'")
            return connection.execute(statement, {"id": receiver}).rowcount == 1

    def restore_lost(self, receiver: str, why: str, at: datetime) -> None:
        """Says again, from its record, that a receiver was given up at `at`; not if it beat since. One that is not known any more is known again, by
        its seals."""
        statement = text(
            "INSERT INTO receivers AS r (id, sealed_until, beat_at, state, why) SELECT :id, max(sealed_until), coalesce(max(sealed_at), :at), 'lost', :why "
            "FROM seals WHERE receiver = :id AND sealed_at <= :at ON CONFLICT (id) DO UPDATE SET state = 'lost', why = excluded.why WHERE r.beat_at <= :at"
        )
        with self._store.transaction() as connection:
            connection.execute(statement, {"id": receiver, "why": why, "at": at})

    def receivers(self) -> list[Receiver]:
        """All receivers that ever beat, by id."""
        with self._store.engine.connect() as connection:
            return receivers(connection)

    def _set_state(self, receiver: str, state: str, why: str | None) -> bool:
        with self._store.transaction() as connection:
            done = connection.execute(text("UPDATE receivers SET state = :s, why = :w WHERE id = :id"), {"s": state, "w": why, "id": receiver})
            return done.rowcount == 1

    # seals

    def record_seal(self, manifest: SealManifest) -> bool:
        """Records one seal in one transaction; False if it was recorded before (then nothing changes).

        It moves `sealed_until` of a receiver that beats; it makes none live (a source's or an import's seal must not hold hours open).
        """
        pairs = {(segment.event, cadence_of(segment.hour)) for segment in manifest.segments}
        ids = self._store.endpoint_ids(pairs, create=True)
        with self._store.transaction() as connection:
            new = connection.execute(
                text(
                    "INSERT INTO seals (receiver, seal, sealed_at, sealed_until, balanced) VALUES (:receiver, :seal, :at, :until, :balanced) "
                    "ON CONFLICT DO NOTHING RETURNING seal"
                ),
                {
                    "receiver": manifest.receiver,
                    "seal": manifest.seal,
                    "at": manifest.sealed_at,
                    "until": manifest.sealed_until,
                    "balanced": all(a.received == a.accepted + a.rejected for a in manifest.accounts),
                },
            ).one_or_none()
            if new is None:
                return False
            rows = [
                {
                    "endpoint": ids[segment.event, cadence_of(segment.hour)],
                    "partition": index_of(segment.hour),
                    "path": segment.path,
                    "receiver": manifest.receiver,
                    "seal": manifest.seal,
                    "rows": segment.rows,
                    "size": segment.size,
                    "sha256": bytes.fromhex(segment.sha256),
                    "generation": segment.generation,
                    "at": manifest.sealed_at,
                }
                for segment in manifest.segments
            ]
            if rows:
                connection.execute(
                    text(
                        "INSERT INTO segments (endpoint_id, partition, path, receiver, seal, rows, size, sha256, generation, sealed_at) "
                        "VALUES (:endpoint, :partition, :path, :receiver, :seal, :rows, :size, :sha256, :generation, :at)"
                    ),
                    rows,
                )
            self._add_accounts(connection, day_of_instant(manifest.sealed_at), manifest.accounts)
            connection.execute(
                text("UPDATE receivers SET sealed_until = greatest(sealed_until, :until) WHERE id = :id"),
                {"until": manifest.sealed_until, "id": manifest.receiver},
            )
            if rows:
                self._add_landed(connection, rows, manifest.sealed_at)
            return True

    def _add_accounts(self, connection: Connection, day: int, accounts: Sequence[Account]) -> None:
        for account in sorted(accounts, key=lambda a: (a.client, a.event or "")):  # in order: two seals at once do not wait for each other in a ring
            connection.execute(
                text(
                    "INSERT INTO account_days AS d (day, client, event, received, accepted, rejected, reasons) "
                    "VALUES (:day, :client, :event, :received, :accepted, :rejected, CAST(:reasons AS jsonb)) "
                    "ON CONFLICT (day, client, event) DO UPDATE SET received = d.received + excluded.received, accepted = d.accepted + excluded.accepted, "
                    "rejected = d.rejected + excluded.rejected, reasons = (SELECT coalesce(jsonb_object_agg(k, n), '{}') FROM (SELECT k, sum(v::bigint) AS n "
                    "FROM (SELECT * FROM jsonb_each_text(d.reasons) UNION ALL SELECT * FROM jsonb_each_text(excluded.reasons)) AS both_of (k, v) "
                    "GROUP BY k) AS sums)"
                ),
                {
                    "day": day,
                    "client": account.client,
                    "event": account.event or "",
                    "received": account.received,
                    "accepted": account.accepted,
                    "rejected": account.rejected,
                    "reasons": json.dumps(account.reasons),
                },
            )

    def _add_landed(self, connection: Connection, rows: Sequence[Mapping[str, Any]], at: datetime) -> None:
        sums: dict[tuple[int, int], list[int]] = {}
        for row in rows:
            entry = sums.setdefault((row["endpoint"], row["partition"]), [0, 0])
            entry[0] += 1
            entry[1] += row["rows"]
        change = self._store.next_change(connection, Lock.LANDING_ORDER, "landing_change")
        connection.execute(
            text(
                "INSERT INTO landed_partitions AS l (endpoint_id, partition, segments, rows, last_sealed_at, change) "
                "VALUES (:endpoint, :partition, :segments, :rows, :at, :change) ON CONFLICT (endpoint_id, partition) DO UPDATE SET "
                "segments = l.segments + excluded.segments, rows = l.rows + excluded.rows, "
                "last_sealed_at = greatest(l.last_sealed_at, excluded.last_sealed_at), change = excluded.change"
            ),
            [
                {"endpoint": endpoint, "partition": partition, "segments": segments, "rows": count, "at": at, "change": change}
                for (endpoint, partition), (segments, count) in sorted(sums.items())
            ],
        )

    # reading

    def segments(self, event: str, hours: Iterable[str]) -> dict[str, tuple[SegmentRow, ...]]:
        """The segments of an event type (or source) by partition, each key asked for answered, in path order.

        A source's seal replaces the earlier ones of its partition: of a source, only the newest seal's segments are answered.
        """
        keys = list(hours)
        if not keys:
            return {}
        endpoint = self._store.endpoint_ids([(event, by_cadence(keys))], create=True)[event, by_cadence(keys)]
        query = text(
            "SELECT s.*, e.kind FROM segments s JOIN endpoints e ON e.id = s.endpoint_id "
            'WHERE s.endpoint_id = :endpoint AND s.partition = ANY(:partitions) ORDER BY s.partition, s.path COLLATE "C"'
        )
        by_index = indexes(keys)
        found: dict[str, list[SegmentRow]] = {key: [] for key in keys}
        source = False
        with self._store.engine.connect() as connection:
            for row in connection.execute(query, {"endpoint": endpoint, "partitions": sorted(by_index)}):
                source = row.kind == "source"
                hour = by_index[row.partition]
                segment = Segment(
                    event=event, hour=hour, path=row.path, rows=row.rows, size=row.size, sha256=bytes(row.sha256).hex(), generation=row.generation
                )
                found[hour].append(SegmentRow(segment, row.sealed_at, row.receiver, row.seal))
        return {key: tuple(_newest_seal(rows) if source else rows) for key, rows in found.items()}

    def expired(self, event: str, hours: Iterable[str]) -> set[str]:
        """Of these hours, those of which a segment no longer exists: they must not be rebuilt from landing."""
        keys = list(hours)
        if not keys:
            return set()
        endpoint = self._store.endpoint_ids([(event, by_cadence(keys))], create=True)[event, by_cadence(keys)]
        query = text("SELECT partition FROM landed_partitions WHERE endpoint_id = :endpoint AND partition = ANY(:partitions) AND expired > 0")
        by_index = indexes(keys)
        with self._store.engine.connect() as connection:
            return {by_index[row.partition] for row in connection.execute(query, {"endpoint": endpoint, "partitions": sorted(by_index)})}

    def expired_within(self, spans: Mapping[str, Iterable[tuple[int, int]]]) -> dict[str, tuple[tuple[int, int], ...]]:
        """Of these ranges of hours (by number) of event types, those of which a segment no longer exists, as ranges. Types without any are absent."""
        ids = self._store.endpoint_ids((event, "hourly") for event in spans)
        flat = [(ids[event, "hourly"], first, last) for event, ranges in spans.items() for first, last in ranges]
        query = text(
            "SELECT w.id, lower(r) AS first, upper(r) - 1 AS last FROM (SELECT w.id, range_agg(int4range(l.partition, l.partition + 1)) AS found "
            "FROM landed_partitions l JOIN unnest(CAST(:ids AS int[]), CAST(:lows AS int[]), CAST(:highs AS int[])) AS w (id, low, high) "
            "ON l.endpoint_id = w.id AND l.partition BETWEEN w.low AND w.high WHERE l.expired > 0 GROUP BY w.id) AS w, unnest(w.found) AS r ORDER BY 1, 2"
        )
        names = {number: event for (event, _), number in ids.items()}
        found: dict[str, tuple[tuple[int, int], ...]] = {}
        columns = {"ids": [each[0] for each in flat], "lows": [each[1] for each in flat], "highs": [each[2] for each in flat]}
        with self._store.engine.connect() as connection:
            for row in connection.execute(query, columns):
                found[names[row.id]] = (*found.get(names[row.id], ()), (row.first, row.last))
        return found

    def accounts(self, first_day: str, last_day: str) -> list[AccountTotal]:
        """Totals per client and event type by day of sealing, both days included."""
        query = text("SELECT * FROM account_days WHERE day BETWEEN :first AND :last ORDER BY day, client, event")
        with self._store.engine.connect() as connection:
            rows = connection.execute(query, {"first": index_of(first_day), "last": index_of(last_day)}).all()
        return [AccountTotal(key_at("daily", r.day), r.client, r.event or None, r.received, r.accepted, r.rejected, dict(r.reasons)) for r in rows]

    def unbalanced(self) -> list[tuple[str, int]]:
        """Seals (receiver, number) in which received is not accepted + rejected for some client: events were lost inside a receiver."""
        with self._store.engine.connect() as connection:
            rows = connection.execute(text("SELECT receiver, seal FROM seals WHERE NOT balanced ORDER BY receiver, seal")).all()
        return [(row.receiver, row.seal) for row in rows]

    def changed_since(self, cursor: int, limit: int = 10_000) -> tuple[list[LandedChange], int]:
        """Event hours to which segments came after the cursor, in order, and the next cursor (0 begins). Nothing is skipped, whatever commits when."""
        query = text(
            "SELECT e.key, e.cadence, l.partition, l.rows, l.segments, l.last_sealed_at, l.change FROM landed_partitions l "
            "JOIN endpoints e ON e.id = l.endpoint_id WHERE l.change > :cursor ORDER BY l.change FETCH FIRST :limit ROWS WITH TIES"
        )
        with self._store.engine.connect() as connection:
            rows = connection.execute(query, {"cursor": cursor, "limit": limit}).all()
        changes = [LandedChange(r.key, key_at(r.cadence, r.partition), r.rows, r.segments, r.last_sealed_at) for r in rows]
        return changes, rows[-1].change if rows else cursor

    # forgetting

    def expire(self, paths: Iterable[str]) -> int:
        """Says that these segments are gone from disk (landing retention); how many were known. Their sums stay."""
        statement = text(
            "WITH gone AS (DELETE FROM segments WHERE path = ANY(:paths) RETURNING endpoint_id, partition), "
            "counted AS (SELECT endpoint_id, partition, count(*) AS n FROM gone GROUP BY 1, 2 ORDER BY 1, 2), "
            "noted AS (UPDATE landed_partitions l SET expired = l.expired + c.n FROM counted c "
            "WHERE l.endpoint_id = c.endpoint_id AND l.partition = c.partition) SELECT count(*) FROM gone"
        )
        with self._store.transaction() as connection:
            return int(connection.execute(statement, {"paths": list(paths)}).scalar_one())


def receivers(connection: Connection) -> list[Receiver]:
    """All receivers, by id."""
    rows = connection.execute(text("SELECT id, sealed_until, beat_at, state, why FROM receivers ORDER BY id")).all()
    return [Receiver(row.id, row.sealed_until, row.beat_at, row.state, row.why) for row in rows]


def _newest_seal(rows: list[SegmentRow]) -> list[SegmentRow]:
    newest = max(((row.sealed_at, row.seal) for row in rows), default=None)
    return [row for row in rows if (row.sealed_at, row.seal) == newest]
