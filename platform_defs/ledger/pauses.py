"""Pauses: which domains and endpoints people left alone, since when and until when. Their record beside the lake is decisions' matter."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, text

from platform_defs.ledger.attempts import KEEP_DAYS, Transition, Transitions
from platform_defs.ledger.registry import Registry
from platform_defs.ledger.store import Lock, Store, day_of_instant
from platform_defs.planning.facts import Pause
from platform_defs.planning.pausing import pauses_of

_OPEN = "SELECT name, why, since, until FROM pauses WHERE ended_at IS NULL ORDER BY name"
_END = "UPDATE pauses SET ended_at = :at WHERE ended_at IS NULL AND name = :name AND (CAST(:until AS timestamptz) IS NULL OR until = :until)"
_ACTIVE = "active"


class Pauses:
    """Open pauses by name, and what was noted of them. A pause of a domain holds for endpoints it gets later, too."""

    def __init__(self, store: Store, registry: Registry, transitions: Transitions) -> None:
        self._store = store
        self._registry = registry
        self._transitions = transitions

    def open(self) -> list[Pause]:
        """All that hold now, by name."""
        now = self._store.clock()
        with self._store.engine.connect() as connection:
            return [pause for pause in open_pauses(connection) if pause.until is None or pause.until > now]

    def of(self, endpoints: Iterable[str]) -> dict[str, Pause]:
        """The pause that holds now for each of these endpoints that one holds for."""
        return pauses_of(self.open(), endpoints, self._store.clock())

    def set(self, pause: Pause) -> None:
        """Opens a pause; one of the same name that is open ends with its beginning. What it holds for is noted as having become paused."""
        self._change(pause.name, pause.since, pause.why, pause)

    def end(self, name: str, at: datetime, why: str) -> bool:
        """Ends the pause of that name; False if there is none open."""
        return self._change(name, at, why, None)

    def settle(self) -> list[Pause]:
        """Closes the pauses that ended by themselves, with a note for what they held for; which those are. Nobody waits for it: an expired pause holds
        nothing, closed or not."""
        now = self._store.clock()
        with self._store.engine.connect() as connection:
            over = [pause for pause in open_pauses(connection) if pause.until is not None and pause.until <= now]
        return [pause for pause in over if pause.until is not None and self._change(pause.name, pause.until, "its time was over", None, pause.until)]

    def _change(self, name: str, at: datetime, why: str, new: Pause | None, until: datetime | None = None) -> bool:
        """Ends the open pause of a name (with `until`: the one that lasts so long, for it may have been replaced meanwhile), and opens a new one."""
        endpoints = list(self._registry.current())
        noted = at >= self._store.clock() - timedelta(days=KEEP_DAYS)  # not what is restored from a record older than history is kept
        if noted:
            self._store.ensure_days([day_of_instant(at)])
        with self._store.transaction() as connection:
            self._store.lock(connection, Lock.PAUSES)
            # Judged an instant before: what ends by itself at `at` held until then.
            before = pauses_of(open_pauses(connection), endpoints, at - timedelta(microseconds=1))
            ended = connection.execute(text(_END), {"name": name, "at": at, "until": until}).rowcount
            if new is not None:
                statement = text("INSERT INTO pauses (name, why, since, until) VALUES (:name, :why, :since, :until)")
                connection.execute(statement, {"name": new.name, "why": new.why, "since": new.since, "until": new.until})
            after = pauses_of(open_pauses(connection), endpoints, at)
            if noted:
                self._note(connection, before.keys() - after.keys(), Transition(at, "paused", _ACTIVE, why, None))
                self._note(connection, after.keys() - before.keys(), Transition(at, _ACTIVE, "paused", why, None))
        return ended == 1

    def _note(self, connection: Connection, endpoints: Iterable[str], transition: Transition) -> None:
        contracts = self._registry.current()
        ids = self._store.endpoint_ids((key, contracts[key].cadence) for key in endpoints)
        for number in sorted(ids.values()):
            self._transitions.add(connection, number, None, transition)


def open_pauses(connection: Connection) -> list[Pause]:
    """Pauses nobody has ended, expired ones among them, by name."""
    return [_pause(row) for row in connection.execute(text(_OPEN))]


def _pause(row: Row[Any]) -> Pause:
    return Pause(row.name, row.why, row.since, row.until)
