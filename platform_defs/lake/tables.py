"""Tables of the lake: made and changed to fit their contract, read at a pinned version, published in one commit.

What is staged and whether it may be published is decided in execution; how files become rows is in commits, what the table's log says is read in delta_log.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import PartitionKeyError, partition_column, window_of
from platform_defs.lake import delta_log
from platform_defs.lake.columns import TableColumn, lanes_of, measured_columns, name, staged_ddl, table_columns, text
from platform_defs.lake.commits import Disturbed, NotCommitted, bring, replace, take_back
from platform_defs.lake.files import files_of
from platform_defs.lake.layout import Lake, Lane

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import DataType

_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
_LAYOUT = "backline.layout"
_TRIES = 8


class TableError(RuntimeError):
    """A table that cannot be made to fit its contract, or read or written as asked; the message names it and says what to do."""


@dataclass(frozen=True)
class Commit:
    """What a publish did.

    Attributes:
        version: the version that holds the partitions as published.
        changed: whether there was a commit; nothing published over nothing makes none.
        rows, size: rows and bytes of its files.
        tries: 1, more where others committed to the table meanwhile.
    """

    version: int
    changed: bool
    rows: int
    size: int
    tries: int


def ensure_table(session: SparkSession, lake: Lake, contract: Contract) -> list[str]:
    """Makes the endpoint's tables (quarantine and late lane too) or changes them to fit; answers what was done, in words.

    Outside partition runs and under the caller's lock. Columns are added, descriptions and statistics follow the contract, NOT NULL is let go where the
    contract lets go; a NOT NULL that the contract adds is left to the inspection, as are all checks: Delta would read the whole table to add them. A
    column that left the contract stays, null from now on. Raises TableError, having changed nothing, where a column's type or the partitioning differs.
    """
    done = []
    for lane in lanes_of(contract):
        path = lake.lane(contract.key, lane)
        layout, before = _layout(contract, lane), delta_log.newest(path)
        if before is None:
            with _signed(session, delta_log.signature(apply=layout)):
                session.sql(_create_ddl(contract, lane, path, layout)).collect()
            files_of(path).settle([path, str(Path(path).parent)])
            delta_log.settle(path)
            done.append(f"{contract.table}: made {'its table' if lane == 'table' else 'its ' + lane + ' rows'}")
        elif session.sql(f"SHOW TBLPROPERTIES delta.{name(path)} ({text(_LAYOUT)})").collect()[0]["value"] != layout:
            changes = _changes(session, contract, lane, path)
            with _signed(session, delta_log.signature(apply=layout)):
                for statement in [*changes, _properties_ddl(contract, path, layout)]:  # the layout last: a crash before it means all of it again
                    session.sql(statement).collect()
            delta_log.settle(path, before)
            done.append(f"{contract.table}: changed {'its table' if lane == 'table' else 'its ' + lane + ' rows'} ({len(changes)} statements)")
    return done


def head_version(path: str) -> int | None:
    """The table's newest version, without a Spark job; None if there is no table."""
    return delta_log.newest(path)


def read_table(session: SparkSession, path: str, version: int, keys: Sequence[str], column: str) -> DataFrame:
    """The rows of these partitions at exactly this version. `column`: `hour` or `day`. No keys: no rows, with the table's columns."""
    from pyspark.sql import functions as F

    _check_keys(keys, column, path)
    frame = session.read.format("delta").option("versionAsOf", version).load(path)
    return frame.where(F.col(column).isin(list(keys)) if keys else F.lit(False))


def empty_table(session: SparkSession, contract: Contract) -> DataFrame:
    """A frame of the endpoint's columns and its partition column, without rows: what a partition before its start reads as."""
    return session.createDataFrame([], staged_ddl(contract))


def publish(
    lake: Lake,
    contract: Contract,
    lane: Lane,
    staged: Mapping[str, Sequence[str]],
    keys: Sequence[str],
    run_id: str,
    fence: int,
    before_commit: Callable[[], None] | None = None,
    turn: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Commit:
    """Replaces these partitions by the rows of staged files in one commit, or not at all; readers see all of it or nothing.

    The files become the table's own: they are moved, not copied. They have columns of the table (those they lack are null there) and each holds rows of one
    partition only.

    Args:
        staged: Parquet files by partition; of those of `keys` that have none nothing is left.
        before_commit: called before each try and may raise to stop: the place to read the fence again. Tried again when others committed meanwhile.
        turn: held around each try: keeps everybody else from the table (`ledger.turns`).

    Raises:
        NoTable, PartitionKeyError, NotOfTable, NotCommitted (Disturbed time and again), OSError, what `before_commit` raises: nothing was published; after an
        OSError it may be there, and be gone after a power cut.
    """
    path, column = lake.lane(contract.key, lane), partition_column(contract.cadence)
    _check_keys(keys, column, path)
    if not keys:
        raise PartitionKeyError(f"{contract.key}: a publish of no partition; name at least one")
    if not staged.keys() <= set(keys):
        raise PartitionKeyError(f"{contract.key}: files are staged for {sorted(staged.keys() - set(keys))}, which are not published")
    before = delta_log.newest(path)
    if before is None:
        raise delta_log.NoTable(f"{contract.table} has no table at {path}: run `backline apply`")
    said = delta_log.signature(run=run_id, fence=fence, keys=sorted(keys))
    filled = [each.name for each in table_columns(contract, lane) if not each.nullable]
    brought = bring(path, column, staged, measured_columns(contract), filled)
    tried = committed = False
    try:
        for tries in range(1, _TRIES + 1):
            with turn():
                if before_commit is not None:
                    before_commit()
                tried = True
                try:
                    committed = replace(path, column, keys, brought, said)
                except Exception as error:
                    committed = _committed(path, before, said) is not None  # then what failed came after
                    if not committed and (tries == _TRIES or not isinstance(error, Disturbed)):
                        raise
                    if not committed:
                        continue
            version = _committed(path, before, said) if committed else delta_log.newest(path)
            if version is None:
                raise NotCommitted(f"{path}: the commit of run {run_id} is not in the table's log any more; did something else than Backline write to it?")
            if committed:
                delta_log.settle(path, version - 1)  # else nobody may say that it is published, though it can be seen
            return Commit(version, committed, sum(each.rows for each in brought), sum(each.size for each in brought), tries)
        raise AssertionError("unreachable")
    finally:
        # Whoever is cancelled in the middle of a commit may have made it: what a commit names stays, and where nobody can tell, too.
        if not committed and not (tried and _committed(path, before, said) is not None):
            take_back(path, brought)


def _committed(path: str, before: int, said: str) -> int | None:
    """The version later than `before` whose commit carries our signature."""
    signature = json.loads(said)
    return next((entry.version for entry in reversed(delta_log.entries(path, before)) if entry.signature == signature), None)


def _check_keys(keys: Sequence[str], column: str, path: str) -> None:
    for key in keys:
        if partition_column(window_of(key).cadence) != column:
            raise PartitionKeyError(f"{key} is no {column}: the table at {path} is partitioned by {column}")


@contextmanager
def _signed(session: SparkSession, said: str) -> Iterator[None]:
    """Statements inside commit with this signature. SQL has no other place for it than a setting of the session."""
    session.conf.set(_USER_METADATA, said)
    try:
        yield
    finally:
        session.conf.unset(_USER_METADATA)


def _layout(contract: Contract, lane: Lane) -> str:
    """Digest of all that `ensure_table` keeps in step: equal digest, nothing to do."""
    said = [contract.description, measured_columns(contract), [(c.name, c.type, c.nullable, c.comment) for c in table_columns(contract, lane)]]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def _properties(contract: Contract, layout: str) -> dict[str, str]:
    measured = measured_columns(contract)
    statistics = {"delta.dataSkippingStatsColumns": ",".join(map(name, measured))} if measured else {"delta.dataSkippingNumIndexedCols": "0"}
    return {"delta.checkpointInterval": "100", **statistics, _LAYOUT: layout}


def _create_ddl(contract: Contract, lane: Lane, path: str, layout: str) -> str:
    columns = ", ".join(f"{name(c.name)} {c.type}{'' if c.nullable else ' NOT NULL'} COMMENT {text(c.comment)}" for c in table_columns(contract, lane))
    properties = ", ".join(f"{text(key)} = {text(value)}" for key, value in _properties(contract, layout).items())
    partitioned = f"USING DELTA PARTITIONED BY ({partition_column(contract.cadence)})"
    return f"CREATE TABLE delta.{name(path)} ({columns}) {partitioned} COMMENT {text(contract.description)} TBLPROPERTIES ({properties})"


def _properties_ddl(contract: Contract, path: str, layout: str) -> str:
    properties = ", ".join(f"{text(key)} = {text(value)}" for key, value in _properties(contract, layout).items())
    return f"ALTER TABLE delta.{name(path)} SET TBLPROPERTIES ({properties})"


def _changes(session: SparkSession, contract: Contract, lane: Lane, path: str) -> list[str]:
    """Statements that make an existing table fit. Raises TableError where none can."""
    wanted = {column.name: column for column in table_columns(contract, lane)}
    types = {f.name: f.dataType for f in session.createDataFrame([], ", ".join(f"{name(c.name)} {c.type}" for c in wanted.values())).schema.fields}
    existing = {f.name: f for f in session.read.format("delta").load(path).schema.fields}
    partition = partition_column(contract.cadence)
    if partition not in existing:
        raise TableError(f"{contract.table} is not partitioned by {partition}: a cadence cannot be changed; give the endpoint a new name")
    table = f"ALTER TABLE delta.{name(path)}"
    added: list[str] = []
    statements: list[str] = []
    for column in wanted.values():
        there = existing.get(column.name)
        if there is None:
            added.append(_added(column))
            continue
        added += _inside(there.dataType, types[column.name], [column.name], contract)
        if column.nullable and not there.nullable:
            statements.append(f"{table} ALTER COLUMN {name(column.name)} DROP NOT NULL")
        if (there.metadata.get("comment") or "") != column.comment:
            statements.append(f"{table} ALTER COLUMN {name(column.name)} COMMENT {text(column.comment)}")
    statements += [f"{table} ALTER COLUMN {name(left)} DROP NOT NULL" for left, there in existing.items() if left not in wanted and not there.nullable]
    if added:
        statements.insert(0, f"{table} ADD COLUMNS ({', '.join(added)})")
    return [*statements, f"COMMENT ON TABLE delta.{name(path)} IS {text(contract.description)}"]


def _added(column: TableColumn) -> str:
    # nullable whatever the contract says: older partitions have no value for it
    return f"{name(column.name)} {column.type} COMMENT {text(column.comment)}"


def _inside(there: DataType, wanted: DataType, place: list[str], contract: Contract) -> list[str]:
    """Fields to add inside a column of records; TableError if the types differ otherwise."""
    from pyspark.sql.types import ArrayType, StructType

    if isinstance(there, ArrayType) and isinstance(wanted, ArrayType):
        return _inside(there.elementType, wanted.elementType, [*place, "element"], contract)
    if isinstance(there, StructType) and isinstance(wanted, StructType):
        known = {f.name: f.dataType for f in there.fields}
        added = []
        for field in wanted.fields:
            if field.name in known:
                added += _inside(known[field.name], field.dataType, [*place, field.name], contract)
            else:
                added.append(f"{'.'.join(map(name, [*place, field.name]))} {field.dataType.simpleString()}")
        return added
    if there.simpleString() != wanted.simpleString():
        raise TableError(
            f"{contract.table}.{'.'.join(place)} is {there.simpleString()} and its contract says {wanted.simpleString()}: "
            "a type cannot be changed; give the column or the endpoint a new name"
        )
    return []
