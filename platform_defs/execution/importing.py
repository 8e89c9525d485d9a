"""An existing table published as partitions of an endpoint: which of them, and the compute step that reads them instead of the author's function.

Leases, inspection, publishing and records are building's, as for any build. What a partition was imported from is told by the content of its rows in the
old table: imported again with equal content it is skipped, however the files were laid out meanwhile. What does not come in leaves no trouble behind.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import grpc
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.durations import words
from platform_defs.contracts.partitions import PartitionKeyError, cadence_of, hours_of, keys_between, start_of, window_of
from platform_defs.execution.building import build
from platform_defs.execution.calling import compiled_of
from platform_defs.execution.existing import Existing, ImportRefused, Opened, opened
from platform_defs.execution.failures import Blame, kind_of
from platform_defs.execution.platform import Platform, Work
from platform_defs.execution.quality.contenthash import aggregate_names, fold, hash_aggregates
from platform_defs.execution.results import Failure, FailureKind, PartitionResult
from platform_defs.execution.steps import Planned, Read, Staged, StepRun, Waiting
from platform_defs.execution.withheld import said
from platform_defs.lake.engine import EngineError, Zone
from platform_defs.planning.digest import DIGEST_BYTES
from platform_defs.planning.ranges import existing as kept_keys

if TYPE_CHECKING:
    from platform_defs.contracts.loading import Declared

AT_A_TIME = 24
# As endpoints do: below this many rows one file is staged.
_ONE_FILE_ROWS = 2_000_000
_GONE = frozenset({FailureKind.ENGINE, FailureKind.INTERRUPTED})
_STOPS = _GONE | {FailureKind.DISK}


@dataclass(frozen=True)
class Extent:
    """Which partitions of a table are imported.

    Attributes:
        keys: in order. rows: of each in the table; those imported as empty have 0.
        notes: what is left out and why, a sentence each.
    """

    keys: tuple[str, ...]
    rows: Mapping[str, int]
    notes: tuple[str, ...] = ()


def extent(
    found: Mapping[str | None, int],
    existing: Existing,
    said_by: str,
    contract: Contract,
    now: datetime,
    *,
    first: str | None = None,
    last: str | None = None,
    empty: bool = False,
) -> Extent:
    """Chooses the partitions to import among those a table has.

    Args:
        found: rows by partition key, as the table's column `said_by` says it; None: rows of no partition.
        first, last: ends of what is wanted, both included; a day stands for its hours.
        empty: what has no row between the ends (of the table, where none are given) is imported too, as empty.

    Raises:
        ImportRefused: rows are of no partition, the ends are wrong, or nothing is left.
    """
    begin, end = _span(contract, first, last)
    wrong = sum(rows for key, rows in found.items() if key is None or not _is_key(key, contract))
    if wrong:
        what = "an hour" if contract.cadence == "hourly" else "a day"
        raise ImportRefused(f"{existing.path}: {_rows(wrong)} without {what} in {said_by}: mend them, or name another column with --partition COLUMN")
    there = {str(key): rows for key, rows in found.items() if (begin or "") <= str(key) <= (end or "~")}
    if not there and not (empty and begin and end):
        span = (f" from {begin}" if begin else "") + (f" to {end}" if end else "")
        raise ImportRefused(f"{existing.path} has no row{span}")
    between = keys_between(begin or min(there), end or max(there))
    oldest, newest = kept_keys(contract, now)
    notes = []
    wanted = between if empty else sorted(there)
    reasons = {
        f"before the start of {contract.key} ({contract.start})": [key for key in wanted if start_of(key) < start_of(contract.start)],
        f"past its retention ({words(contract.retention_seconds)})": [key for key in wanted if key < oldest and start_of(key) >= start_of(contract.start)],
        "not over yet": [key for key in wanted if key > newest],
    }
    for why, out in reasons.items():
        if out:
            notes.append(f"{_partitions(len(out))} left out: {why}: {out[0]}{f' to {out[-1]}' if len(out) > 1 else ''}")
    keys = tuple(key for key in wanted if oldest <= key <= newest)
    if not keys:
        raise ImportRefused("\n".join([f"nothing of {existing.path} can be imported", *notes]))
    holes = [] if empty else [key for key in between if key not in there and oldest <= key <= newest]
    if holes:
        notes.append(f"{_partitions(len(holes))} between have no row, and are left as they are (first {holes[0]}): --empty imports them as empty")
    return Extent(keys, {key: there.get(key, 0) for key in keys}, tuple(notes))


class Importer:
    """Imports one table into one endpoint, in a session of its own.

    Args:
        declared: the endpoint; its contract and schema judge the rows.
        run_id: names session, leases and records.
        replace: also partitions that a run has built.
    """

    def __init__(self, declared: Declared, contracts: Mapping[str, Contract], existing: Existing, platform: Platform, run_id: str, *, replace: bool) -> None:
        self._declared, self._contracts, self._existing, self._platform = declared, contracts, existing, platform
        self._run_id, self._replace = run_id, replace

    def look(self, first: str | None = None, last: str | None = None, *, empty: bool = False) -> Extent:
        """What would be imported; reads the partition column alone. Raises ImportRefused, EngineError."""
        with self._reading():
            table = self._open()
            counted = table.rows.groupBy(table.column).agg(F.count(F.lit(1)).alias("rows")).collect()
        found: dict[str | None, int] = {row[table.column]: row["rows"] for row in counted}
        contract, now = self._declared.contract, self._platform.clock()
        return extent(found, self._existing, table.said_by, contract, now, first=first, last=last, empty=empty)

    def run(self, chosen: Extent) -> Iterator[list[PartitionResult]]:
        """Imports the partitions, 24 at a time, and answers for them; ends early where Spark has gone. Raises ImportRefused, EngineError."""
        with self._reading():
            table = self._open()
        for at in range(0, len(chosen.keys), AT_A_TIME):
            work = Work(
                declared=self._declared,
                keys=chosen.keys[at : at + AT_A_TIME],
                run_id=self._run_id,
                trigger="command",
                contracts=self._contracts,
                requested_at=self._platform.clock(),
                force=self._replace,
                origin="imported",
            )
            with self._reading():
                results = build(work, self._platform, ImportStep(work, self._platform, self._existing, table))
            yield results
            if all(result.failure is not None and result.failure.kind in _STOPS for result in results):
                return

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Says what Spark raises over the table without its text, which may quote a row."""
        try:
            yield
        except (PySparkException, grpc.RpcError) as error:
            path, kind = self._existing.path, kind_of(error)
            if kind in _GONE:
                raise EngineError(f"Spark does not answer while {path} is read: {said(error)}") from None
            unread = isinstance(error, PySparkException) and (error.getCondition() or "").startswith("FAILED_READ_FILE")
            why = "a line has more or fewer cells than the header, or a file is cut off" if unread and self._existing.format == "csv" else said(error)
            raise ImportRefused(f"{path} cannot be read: {why}") from None

    def _open(self) -> Opened:
        session = self._platform.engines.engine("lake").session(self._run_id)
        return opened(self._existing, self._declared.contract, session)


@dataclass(frozen=True)
class _Seen:
    """What one partition of the table holds. `unread`: cells that are no value of their column, by column."""

    rows: int
    content: bytes
    unread: Mapping[str, int]


class ImportStep:
    """Reads partitions of an existing table."""

    zone: Zone = "lake"

    def __init__(self, work: Work, platform: Platform, existing: Existing, table: Opened) -> None:
        self._work, self._platform, self._existing, self._table = work, platform, existing, table
        self._contract = work.declared.contract
        self._blame = Blame(self._contract.key, f"import of {existing.path}", lambda error: (said(error), None))
        self._seen: dict[str, _Seen] = {}

    def plan(self, keys: Sequence[str]) -> Mapping[str, Planned | Waiting | Failure]:
        """What the table holds of each key, by one pass over them. Raises what Spark raises: then nothing was done."""
        new = [key for key in keys if key not in self._seen]
        if new:
            self._seen |= self._look(new)
        return {key: self._planned(key, self._seen[key]) for key in keys}

    def compute(self, planned: Sequence[Planned], run: StepRun) -> Mapping[str, Staged | Waiting | Failure]:
        """Stages all of them by one job; one by one if that fails, so that each fails by itself."""
        answers: dict[str, Staged | Waiting | Failure] = {each.key: self._unread(each.key) for each in planned if self._seen[each.key].unread}
        good = [each for each in planned if each.key not in answers]
        return answers | (self._staged(good, run) if good else {})

    def published(self, keys: Sequence[str], run: StepRun) -> Mapping[str, Mapping[str, str]]:
        """Nothing: an endpoint has no other lane."""
        return {}

    def close(self) -> None:
        """Nothing is kept."""

    def _look(self, keys: Sequence[str]) -> dict[str, _Seen]:
        table = self._table
        sums = dict(zip(aggregate_names(), hash_aggregates(table.schema), strict=True))
        counts = {flag: F.count_if(F.col(flag)) for flag in table.unread.values()}
        engine = self._platform.engines.engine(self.zone)
        with engine.tagged(engine.session(self._work.run_id), self._work.run_id, self._contract.key):
            asked = table.rows.where(F.col(table.column).isin(list(keys))).groupBy(table.column)
            rows = asked.agg(F.count(F.lit(1)).alias("rows"), *(value.alias(name) for name, value in (sums | counts).items())).collect()
        found = {row[table.column]: row.asDict() for row in rows}
        return {key: self._of(found.get(key, {})) for key in keys}

    def _of(self, numbers: Mapping[str, int]) -> _Seen:
        rows = numbers.get("rows", 0)
        unread = {name: count for name, flag in self._table.unread.items() if (count := numbers.get(flag, 0))}
        return _Seen(rows, fold(self._table.schema.names, rows, {name: numbers.get(name) for name in aggregate_names()}), unread)

    def _planned(self, key: str, seen: _Seen) -> Planned:
        digest = hashlib.blake2b(seen.content, digest_size=DIGEST_BYTES, person=b"import").digest()
        return Planned(key, digest, (Read(self._existing.path, (key,), self._existing.version),), rows_in=seen.rows)

    def _staged(self, planned: Sequence[Planned], run: StepRun) -> dict[str, Staged | Waiting | Failure]:
        began = time.monotonic()
        keys = [each.key for each in planned]
        path = run.frame_path(keys[0] if len(keys) == 1 else f"{keys[0]}..{keys[-1]}")
        engine = self._platform.engines.engine(self.zone)
        compiled = compiled_of(self._work.declared)
        failed = compiled.failed_column()
        try:
            with engine.tagged(run.session, run.run_id, self._contract.key, *keys[:1]):
                rows = self._table.rows.where(F.col(self._table.column).isin(keys))
                frame = rows.select(*self._table.schema.names, self._table.column, *([] if failed is None else [failed]))
                small = sum(each.rows_in or 0 for each in planned) < _ONE_FILE_ROWS
                (frame.coalesce(1) if small else frame).write.mode("overwrite").parquet(path)
        except Exception as error:  # noqa: BLE001 - whatever Spark says of the table's files: its text may quote a row
            if len(planned) == 1 or kind_of(error) in _STOPS:
                return {key: self._failure(key, error) for key in keys}
            return {key: answer for each in planned for key, answer in self._staged([each], run).items()}
        seconds = (time.monotonic() - began) / len(keys)
        return {key: Staged(key, path, seconds=seconds, has_failed=failed is not None) for key in keys}

    def _failure(self, key: str, error: BaseException) -> Failure:
        kind = kind_of(error)
        if kind is FailureKind.DISK:
            return self._blame.disk(key, error)
        if kind in _GONE:
            return self._blame.engine(key, error)
        why, action = f"its rows could not be read: {said(error)}", f"Mend {self._existing.path} and import it again; what came in stays"
        return Failure(FailureKind.RAISED, self._contract.key, self._blame.function, key, why, action)

    def _unread(self, key: str) -> Failure:
        types = {each.name: each.type for each in self._contract.columns}
        why = "; ".join(f"column {name}: {_cells(count)} no {types[name]}" for name, count in self._seen[key].unread.items())
        action = f"Mend them in {self._existing.path} and import it again; what came in stays"
        return Failure(FailureKind.WRONG_TYPES, self._contract.key, self._blame.function, key, why, action)


def _span(contract: Contract, first: str | None, last: str | None) -> tuple[str | None, str | None]:
    """The ends as keys of the endpoint."""
    ends: list[str | None] = []
    for option, key, side in (("--first", first, 0), ("--last", last, -1)):
        try:
            cadence = None if key is None else window_of(key).cadence
        except PartitionKeyError as error:
            raise ImportRefused(f"{option} {error}") from None
        if key is not None and cadence == "hourly" and contract.cadence == "daily":
            raise ImportRefused(f"{option} {key}: {contract.key} is daily: write the day, {key[:10]}")
        ends.append(hours_of(key)[side] if key is not None and contract.cadence == "hourly" else key)
    if ends[0] is not None and ends[1] is not None and ends[0] > ends[1]:
        raise ImportRefused(f"--first {first} is later than --last {last}: change their places")
    return ends[0], ends[1]


def _is_key(key: str, contract: Contract) -> bool:
    try:
        return cadence_of(key) == contract.cadence
    except PartitionKeyError:
        return False


def _partitions(number: int) -> str:
    return "1 partition" if number == 1 else f"{number:,} partitions"


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number:,} rows"


def _cells(number: int) -> str:
    return "1 cell is" if number == 1 else f"{number:,} cells are"
