"""A table from elsewhere, seen as partitions of an endpoint: which of its columns is which, what its types become, which row is of which partition.

Only reading and shaping belong here; which partitions are imported and how they are published is in importing. What is wrong with the table as a whole is
said all at once, before anything is imported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pyspark.errors import PySparkException
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from platform_defs.contracts.contract import Column as ContractColumn
from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import partition_column
from platform_defs.contracts.schema import ddl_of
from platform_defs.lake import delta_log
from platform_defs.lake.columns import name as quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TableFormat = Literal["parquet", "delta", "csv"]
_INFERENCE = "spark.sql.sources.partitionColumnTypeInference.enabled"
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://")
# What holds every value of the other type exactly.
_WIDENED: Mapping[str, frozenset[str]] = {
    "SMALLINT": frozenset({"TINYINT"}),
    "INT": frozenset({"TINYINT", "SMALLINT"}),
    "BIGINT": frozenset({"TINYINT", "SMALLINT", "INT"}),
    "DOUBLE": frozenset({"FLOAT", "TINYINT", "SMALLINT", "INT"}),
    "TIMESTAMP": frozenset({"TIMESTAMP_NTZ"}),
}
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_IN_CSV = re.compile(r"STRING|BOOLEAN|TINYINT|SMALLINT|INT|BIGINT|FLOAT|DOUBLE|DATE|TIMESTAMP|DECIMAL\(.*\)")
# 2026-10-01T03, 2026-10-01-03, 2026-10-01 03, 2026100103; and the same of days. Anything with minutes is read as an instant.
_HOUR = r"^(\d{4})-?(\d{2})-?(\d{2})[T _-]?(\d{2})$"
_DAY = r"^(\d{4})-?(\d{2})-?(\d{2})$"


class ImportRefused(ValueError):
    """A table that cannot be imported as it was asked for; the message names the path, the columns or partitions, and says what to do."""


@dataclass(frozen=True)
class Existing:
    """A table from elsewhere.

    Attributes:
        path: a folder or file, or an address that Spark understands. format: of its files.
        partition: the column that says which partition a row is of; None: the endpoint's own, `hour` or `day`.
        version: of a Delta table, the one to read.
    """

    path: str
    format: TableFormat
    partition: str | None = None
    version: int | None = None

    @classmethod
    def at(cls, path: str, form: TableFormat | None = None, partition: str | None = None) -> Existing:
        """The table at a path, a Delta table at its newest version. Raises ImportRefused: nothing is there, or its format cannot be told."""
        if _REMOTE.match(path):
            if form is None:
                raise ImportRefused(f"{path} is not on this machine: say its format with --from-format parquet, delta or csv")
            return cls(path, form, partition)
        local = Path(path).absolute()
        if not local.exists():
            raise ImportRefused(f"{path} does not exist")
        form = form or _format_of(local)
        version = delta_log.newest(str(local)) if form == "delta" else None
        if form == "delta" and version is None:
            raise ImportRefused(f"{path} is no Delta table: it has no _delta_log")
        return cls(str(local), form, partition, version)


@dataclass(frozen=True)
class Opened:
    """A table whose columns fit a contract.

    Attributes:
        rows: the contract's columns in its types, `column` with the partition's key (null where a row has none), and the flags of `unread`.
        schema: of the contract's columns.
        column: the platform's partition column. said_by: the table's column it comes from.
        unread: of a table of texts, column of the contract -> flag column: true where the text is no value of its type.
    """

    rows: DataFrame
    schema: T.StructType
    column: str
    said_by: str
    unread: Mapping[str, str]


def opened(existing: Existing, contract: Contract, session: SparkSession) -> Opened:
    """The table in the contract's form; looks at its schema, reads none of its rows.

    Raises ImportRefused with everything that does not fit; what Spark raises if it cannot be asked.
    """
    try:
        raw = _read(existing, session)
        schema = raw.schema
    except PySparkException as error:
        raise ImportRefused(f"{existing.path} cannot be read as {existing.format}: {error.getCondition() or type(error).__name__}") from None
    fields = {field.name: field.dataType for field in schema.fields}
    column = partition_column(contract.cadence)
    said_by = existing.partition or column
    problems = _misfits(existing, contract, fields, said_by)
    if problems:
        raise ImportRefused("\n".join(problems))
    values, unread, flags = list[Column](), list[Column](), dict[str, str]()
    for each in contract.columns:
        cell = F.col(quoted(each.name))
        value = cell
        if existing.format == "csv" and each.type != "STRING":
            value = cell.try_cast(each.type)
            flags[each.name] = f"_unread{len(flags)}"
            unread.append((cell.isNotNull() & (value.isNull() | _rounded(cell, value, each.type))).alias(flags[each.name]))
        elif _ddl(fields[each.name]) != _plain(each.type):
            value = cell.cast(each.type)
        values.append(value.alias(each.name))
    key = _key(F.col(quoted(said_by)), fields[said_by], contract).alias(column)
    rows = raw.select(*values, key, *unread)
    return Opened(rows, T.StructType(rows.schema.fields[: len(values)]), column, said_by, flags)


def _format_of(path: Path) -> TableFormat:
    if (path / "_delta_log").is_dir():
        return "delta"
    every = (each for each in path.rglob("*") if each.is_file()) if path.is_dir() else iter([path])
    kinds = {kind for each in every if each.name[0] not in "._" for kind in ("parquet", "csv") if kind in each.name.split(".")[1:]}
    if len(kinds) != 1:
        what = "files of both kinds" if kinds else "neither Parquet nor CSV files by their names, nor a _delta_log"
        raise ImportRefused(f"{path} has {what}: say its format with --from-format parquet, delta or csv")
    return "parquet" if "parquet" in kinds else "csv"


def _read(existing: Existing, session: SparkSession) -> DataFrame:
    reader = session.read
    if existing.format == "delta":
        return (reader if existing.version is None else reader.option("versionAsOf", existing.version)).format("delta").load(existing.path)
    session.conf.set(_INFERENCE, "false")  # a folder day=2026-10-01 says a key, not a DATE
    if existing.format == "csv":
        # Texts; a line with more or fewer cells than the header stops the read instead of losing a cell.
        return reader.option("header", True).option("enforceSchema", False).option("mode", "FAILFAST").option("columnPruning", False).csv(existing.path)
    merged = reader.option("mergeSchema", True).parquet(existing.path)
    return reader.schema(merged.schema).parquet(existing.path)  # every action would read all footers again


def _misfits(existing: Existing, contract: Contract, fields: Mapping[str, T.DataType], said_by: str) -> list[str]:
    """Why the table's columns do not fit, a sentence each."""
    wanted = {each.name: each for each in contract.columns}
    platform = partition_column(contract.cadence)
    problems = []
    for name in wanted:
        if name not in fields:
            near = get_close_matches(name, fields, 1)
            problems.append(f"{existing.path} has no column {name}, which {contract.key} has{f'; did it call it {near[0]}?' if near else ''}")
    for name in fields:
        if name not in wanted and name not in (said_by, platform):
            problems.append(f"{existing.path} has a column {name}, which {contract.key} has not: import a copy without it, or add it to the schema")
    for name, each in wanted.items():
        if name in fields and (why := _why_not(fields[name], each, existing.format)):
            problems.append(f"{existing.path}: {why}")
    if said_by not in fields:
        what = "hour" if contract.cadence == "hourly" else "day"
        have = ", ".join(fields)
        problems.append(f"{existing.path} has no column {said_by} that says the {what} of a row: name one with --partition COLUMN; it has {have}")
    elif (why := _says_no_partition(fields[said_by], said_by, contract)) is not None:
        problems.append(f"{existing.path}: {why}")
    return problems


def _why_not(got: T.DataType, column: ContractColumn, form: TableFormat) -> str | None:
    """Why a column of that type cannot become the contract's, in words."""
    wanted = _plain(column.type)
    if form == "csv":
        return None if _IN_CSV.fullmatch(wanted) else f"column {column.name} is {column.type}, which CSV cannot hold: import Parquet"
    have = _ddl(got)
    if have == wanted or have in _WIDENED.get(wanted, ()) or _holds(wanted, have):
        return None
    more = "; it holds pseudonyms, which only events and sources are given" if column.mark is not None else ""
    return f"column {column.name} is {have}, the contract has {column.type}: import a copy with that type{more}"


def _holds(wanted: str, have: str) -> bool:
    """Whether a decimal type holds every value of another."""
    big, small = _DECIMAL.fullmatch(wanted), _DECIMAL.fullmatch(have)
    if big is None or small is None:
        return False
    (digits, places), (fewer, less) = map(int, big.groups()), map(int, small.groups())
    return places >= less and digits - places >= fewer - less


def _says_no_partition(kind: T.DataType, name: str, contract: Contract) -> str | None:
    if isinstance(kind, T.StringType | T.TimestampType | T.TimestampNTZType | T.IntegerType | T.LongType):
        return None
    if isinstance(kind, T.DateType):
        return None if contract.cadence == "daily" else f"column {name} holds days, and {contract.key} is hourly: name a column that says the hour"
    return f"column {name} is {_ddl(kind)}, which says no partition: name a text (2026-10-01T03), a date or a time with --partition COLUMN"


def _key(said: Column, kind: T.DataType, contract: Contract) -> Column:
    """The partition's key from the column that says it; null where it says none."""
    hourly = contract.cadence == "hourly"
    form = "yyyy-MM-dd'T'HH" if hourly else "yyyy-MM-dd"
    if isinstance(kind, T.DateType | T.TimestampType | T.TimestampNTZType):
        return F.date_format(said, form)
    text = said.cast("string")
    parts = [F.regexp_extract(text, _HOUR if hourly else _DAY, group) for group in range(1, 5 if hourly else 4)]
    spelled = F.concat_ws("-", *parts[:3])
    spelled = F.concat(spelled, F.lit("T"), parts[3]) if hourly else spelled
    return F.when(text.rlike(_HOUR if hourly else _DAY), spelled).when(text.contains(":"), F.date_format(text.try_cast("timestamp"), form))


def _rounded(cell: Column, value: Column, kind: str) -> Column:
    """Whether a decimal lost digits when its text was read."""
    if not kind.upper().startswith("DECIMAL"):
        return F.lit(False)
    return F.coalesce(cell.try_cast("DECIMAL(38,18)") != value, F.lit(False))


def _ddl(kind: T.DataType) -> str:
    try:
        return _plain(ddl_of(kind))
    except ValueError:
        return _plain(kind.simpleString().upper())


def _plain(ddl: str) -> str:
    return ddl.replace(", ", ",").replace(": ", ":")
