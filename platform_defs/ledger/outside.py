"""Partitions whose rows were changed past the platform: deleted by hand, written by somebody else, or committed by a run that died before it told anybody.

They are found in the tables' own logs, commit by commit since the last look, and by their folders, and noted as trouble of the kind `changed_outside`:
what that means for the planner is its own matter. Finding costs two listings a table and a look into some hundred folders; no Spark is asked.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import index_of, key_at, partition_column
from platform_defs.lake import delta_log
from platform_defs.lake.delta_log import Entry
from platform_defs.lake.files import files_of
from platform_defs.lake.layout import Lake
from platform_defs.ledger.attempts import Transition
from platform_defs.ledger.ledger import Ledger
from platform_defs.ledger.store import day_of_instant
from platform_defs.planning.facts import CHANGED_OUTSIDE, Published, TroubleName

# A table that is looked at for the first time: what is older was read, and read over, long ago.
_FIRST_LOOK = 500
# Folders of a table that a look opens: 12 µs each on a disk. By the clock the same would come each time, for tables take turns by it too.
_OPENED = 500


@dataclass(frozen=True)
class Changed:
    """A partition that is not what was published of it. `why`: what was found, in words."""

    endpoint: str
    partition: str
    published: Published
    why: str

    @property
    def reason(self) -> str:
        """What happened and, where nothing follows by itself, what to do."""
        words = f"changed outside: {self.why}"
        if self.published.origin == "built":
            return words
        name, key = self.endpoint, self.partition
        return (
            f"{words}. It was imported, so nothing builds it by itself: ./backline import {name} --from PATH --first {key} --last {key} brings it back, "
            f"./backline backfill {name} --from {key} --to {key} --force builds it instead"
        )


def note_changes(ledger: Ledger, lake: Lake, endpoints: Iterable[str]) -> list[Changed]:
    """Looks at these endpoints' tables and notes what was changed outside since they were last looked at; what was noted now.

    A partition in trouble already keeps the words it has. One that a run is building is left for the next look.
    """
    contracts = ledger.registry.current()
    wanted = [contracts[key] for key in endpoints if key in contracts]
    if not wanted:
        return []
    ids = {key: number for (key, _), number in ledger.store.endpoint_ids((each.key, each.cadence) for each in wanted).items()}
    with ledger.store.engine.connect() as connection:
        query = text("SELECT endpoint_id, version FROM lake_looks WHERE endpoint_id = ANY(:ids)")
        looked = {row.endpoint_id: row.version for row in connection.execute(query, {"ids": sorted(ids.values())})}
    found: list[Changed] = []
    seen: dict[int, int] = {}
    for contract in wanted:
        newest = delta_log.newest(lake.table(contract.key))
        if newest is None:
            continue
        before = looked.get(ids[contract.key], newest - _FIRST_LOOK)
        changed, upto = _look(ledger, lake, contract, before, newest)
        found += changed
        if upto != before:
            seen[ids[contract.key]] = upto
    noted = _note(ledger, found, ids)
    _remember(ledger, seen)
    return noted


def changed_outside(ledger: Ledger, domain: str) -> set[tuple[str, str]]:
    """The partitions of a domain, however old, that are noted as changed outside and were not tried since."""
    query = text(
        "SELECT e.key, e.cadence, x.partition FROM exceptions x JOIN endpoints e ON e.id = x.endpoint_id WHERE x.kind = :kind AND e.digest IS NOT NULL"
    )
    with ledger.store.engine.connect() as connection:
        rows = connection.execute(query, {"kind": CHANGED_OUTSIDE}).all()
    return {(row.key, key_at(row.cadence, row.partition)) for row in rows if row.key.startswith(f"{domain}/")}


def _look(ledger: Ledger, lake: Lake, contract: Contract, before: int, newest: int) -> tuple[list[Changed], int]:
    """What is changed of one table, and the version up to which its log is read now.

    First the log, then the leases, then what is recorded: what was committed, is held by nobody and is not recorded, never will be. The folders last: what
    is recorded had its files by then.
    """
    path = lake.table(contract.key)
    entries = delta_log.entries(path, before) if newest > before else []
    held = _held(ledger, contract)
    ranges = ledger.partitions.ranges(contract.key, contract.cadence)
    every = [key_at(contract.cadence, index) for first, last in ranges for index in range(index_of(first), index_of(last) + 1)]
    bare = _bare(lake, contract, every)
    touched = set(every) if any(entry.keys is None for entry in entries) else set().union(*(entry.keys or () for entry in entries))
    keys = sorted((touched & set(every)) | set(bare))
    published = ledger.partitions.published(contract.key, keys)
    found: dict[str, Changed] = {}
    for entry in entries:
        unrecorded = [key for key, version in published.items() if entry.may_touch(key) and version.version < entry.version]
        if held.intersection(unrecorded):
            return list(found.values()), entry.version - 1
        found |= {key: Changed(contract.key, key, published[key], _words(entry)) for key in unrecorded}
    for key in bare:
        version = published.get(key)
        if version is not None and version.rows and key not in held:
            found.setdefault(key, Changed(contract.key, key, version, f"its files are gone from {path}"))
    return list(found.values()), max(newest, before)


def _bare(lake: Lake, contract: Contract, keys: Sequence[str]) -> list[str]:
    """Those of these partitions that have no files in the table: no folder, or one that is empty. Of many folders some are opened, drawn by lot."""
    path, files = lake.table(contract.key), files_of(lake.root)
    folders = {key: f"{partition_column(contract.cadence)}={key}" for key in keys}
    there = set(files.names(path))
    opened = [folder for folder in folders.values() if folder in there]
    if len(opened) > _OPENED:
        opened = random.sample(opened, _OPENED)
    emptied = set(opened) - files.filled(path, opened)
    return [key for key, folder in folders.items() if folder not in there or folder in emptied]


def _words(entry: Entry) -> str:
    at = f"at {entry.at:%Y-%m-%d %H:%M}, table version {entry.version}"
    if entry.signature is not None:
        return f"run {entry.signature.get('run')} wrote it {at}, and ended before it was recorded"
    return f"{entry.operation or 'a commit'} {at}, not by the platform"


def _held(ledger: Ledger, contract: Contract) -> set[str]:
    """Partitions that a run which has not ended is at."""
    query = text("SELECT l.partition FROM leases l JOIN runs r ON r.id = l.run WHERE l.endpoint_id = :endpoint AND r.ended_at IS NULL")
    with ledger.store.engine.connect() as connection:
        rows = connection.execute(query, {"endpoint": ledger.store.endpoint_id(contract.key, contract.cadence)})
        return {key_at(contract.cadence, row.partition) for row in rows}


def _note(ledger: Ledger, found: Sequence[Changed], ids: Mapping[str, int]) -> list[Changed]:
    """Notes these as trouble: a built partition is tried at once, an imported one waits for a person. Those that were in trouble already are left out."""
    if not found:
        return []
    now = ledger.store.clock()
    ledger.store.ensure_days([day_of_instant(now)])
    noted = []
    with ledger.store.transaction() as connection:
        runs = ledger.store.run_numbers(connection, {each.published.run_id for each in found})
        for each in found:
            state: TroubleName = "failed" if each.published.origin == "built" else "stuck"
            new = connection.execute(text(_NOTE), _row(each, state, ids[each.endpoint], runs[each.published.run_id], now)).rowcount
            if new:
                transition = Transition(now, "current", state, each.reason, each.published.run_id)
                ledger.transitions.add(connection, ids[each.endpoint], index_of(each.partition), transition)
                noted.append(each)
    return noted


_NOTE = (
    "INSERT INTO exceptions (endpoint_id, partition, state, reason, kind, tries, at, next_try, inputs, code, run) "
    "VALUES (:endpoint, :partition, :state, :reason, :kind, 0, :at, :again, :inputs, :code, :run) ON CONFLICT DO NOTHING"
)


def _row(each: Changed, state: TroubleName, endpoint: int, run: int, now: datetime) -> Mapping[str, object]:
    return {
        "endpoint": endpoint,
        "partition": index_of(each.partition),
        "state": state,
        "reason": each.reason,
        "kind": CHANGED_OUTSIDE,
        "at": now,
        "again": now if state == "failed" else None,
        "inputs": each.published.inputs,
        "code": each.published.code,
        "run": run,
    }


def _remember(ledger: Ledger, seen: Mapping[int, int]) -> None:
    if not seen:
        return
    statement = text(
        "INSERT INTO lake_looks (endpoint_id, version) SELECT * FROM unnest(CAST(:ids AS int[]), CAST(:versions AS bigint[])) "
        "ON CONFLICT (endpoint_id) DO UPDATE SET version = excluded.version"
    )
    with ledger.store.transaction() as connection:
        connection.execute(statement, {"ids": list(seen), "versions": list(seen.values())})
