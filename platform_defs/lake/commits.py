"""Files become a table's rows: moved into its folder, named in one commit. Without Spark: what was inspected is what is published, not a copy of it.

Whoever commits keeps the others out (`ledger.turns`): Spark's log store for local folders writes over what another process commits meanwhile (of 400 commits
5 were lost), and deltalake does not see that two commits fill one empty partition. A commit that finds another one before it all the same is refused.

Of each file the log gets its rows, and least and greatest value of the measured columns, read from the end of the file itself.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from platform_defs.lake import delta_log
from platform_defs.lake.files import files_of

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_ERRNO = re.compile(r"\(os error (\d+)\)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class NotOfTable(ValueError):
    """A file holds what its table or its partition must not have; the message names both and the column."""


class NotCommitted(RuntimeError):
    """The storage did not take the commit; the message says of which table and why. Nothing of it is visible."""


class Disturbed(NotCommitted):
    """Others committed to the table meanwhile: look again."""


@dataclass(frozen=True)
class DataFile:
    """A file in a table's folder. `path`: below it. `statistics`: as Delta spells them, JSON."""

    path: str
    key: str
    rows: int
    size: int
    statistics: str


def bring(path: str, column: str, staged: Mapping[str, Sequence[str]], measured: Sequence[str], filled: Sequence[str]) -> list[DataFile]:
    """Moves staged files into the table's folder, where nobody sees them before they are committed; those without a row stay where they are.

    They are on the disk before it returns: what a commit and a ledger say is there outlasts a power cut.

    Args:
        staged: Parquet files by partition. measured: columns whose least and greatest value may stand in the log. filled: columns without nulls.

    Raises:
        NotOfTable: a file that says which partition its rows are of holds others, or has a null where none may be.
        OSError: a file could not be moved, or the disk does not take it. After either nothing was.
    """
    import pyarrow.parquet as pq

    read = [(key, source, pq.read_metadata(source)) for key, sources in staged.items() for source in sources]
    read = [each for each in read if each[2].num_rows]
    for key, source, footer in read:
        _judge(source, footer, column, key, filled)
    told = [
        (source, DataFile(f"{column}={key}/part-{uuid.uuid4().hex}.parquet", key, footer.num_rows, os.path.getsize(source), _statistics(footer, measured)))
        for key, source, footer in read
    ]
    files = files_of(path)
    folders = [f"{path}/{column}={key}" for key in dict.fromkeys(key for key, _, _ in read)]
    for folder in folders:
        files.make_folder(folder)
    try:
        for source, each in told:
            files.move(source, f"{path}/{each.path}")
        files.settle([*(f"{path}/{each.path}" for _, each in told), *folders])
    except BaseException:
        take_back(path, [each for _, each in told])
        raise
    return [each for _, each in told]


def take_back(path: str, brought: Iterable[DataFile]) -> None:
    """Removes files that were brought and are in no commit."""
    files = files_of(path)
    for each in brought:
        files.remove(f"{path}/{each.path}")


def drop(path: str, column: str, before: str, said: str) -> bool:
    """Leaves nothing of the partitions before this one, in one commit that is on the disk; whether there was one. Raises as `replace`."""
    from deltalake import DeltaTable

    with _told(path):
        held = {each[column] for each in DeltaTable(path).partitions()}
    keys = sorted(key for key in held if key < before)
    if not keys or not replace(path, column, keys, (), said):
        return False
    delta_log.settle(path)
    return True


def replace(path: str, column: str, keys: Sequence[str], brought: Sequence[DataFile], said: str) -> bool:
    """Makes these files all that the partitions hold, in one commit; whether there was one: nothing in place of nothing needs none.

    It may still be lost with the power: see `delta_log.settle`.

    Called while nobody else commits to the table.

    Args:
        said: what the commit says of who made it.

    Raises:
        Disturbed: somebody committed to the table all the same. OSError: the disk takes nothing. NotCommitted: any other trouble.
    """
    from deltalake import CommitProperties, DeltaTable
    from deltalake.transaction import AddAction, RemoveAction

    now = int(time.time() * 1000)
    adds: list[AddAction | RemoveAction] = [AddAction(each.path, each.size, {column: each.key}, now, True, each.statistics) for each in brought]
    which: list[tuple[str, str, Any]] = [(column, "in", list(keys))]
    with _told(path):
        table = DeltaTable(path)
        if not adds and not table.file_uris(partition_filters=which):
            return False
        # Without a second try: it would not see that somebody filled the same partition meanwhile.
        properties = CommitProperties(custom_metadata={"userMetadata": said}, max_commit_retries=0)
        table.create_write_transaction(adds, "overwrite", table.schema(), [column], which, commit_properties=properties)
    return True


@contextmanager
def _told(path: str) -> Iterator[None]:
    """The library's errors in ours."""
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        yield
    except (DeltaError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        words = f"{path}: {_COLOURS.sub('', str(error))}"
        if isinstance(error, CommitFailedError):
            raise Disturbed(words) from error
        number = _ERRNO.search(str(error))
        if number is not None:  # it has no errno of its own
            raise OSError(int(number.group(1)), os.strerror(int(number.group(1))), path) from error
        raise NotCommitted(words) from error


def _judge(source: str, footer: pq.FileMetaData, column: str, key: str, filled: Sequence[str]) -> None:
    """Belts: the inspection has seen every row. What the end of the file does not tell is not judged."""
    for place in range(footer.row_group(0).num_columns):
        name = footer.row_group(0).column(place).path_in_schema
        if name != column and name not in filled:
            continue
        for group in range(footer.num_row_groups):
            found = footer.row_group(group).column(place).statistics
            if found is not None and found.has_null_count and found.null_count and name in (*filled, column):
                raise NotOfTable(f"{source}: {found.null_count} rows of {key} have no {name}, which the table demands")
            if name == column and found is not None and found.has_min_max and not _text(found.min) == key == _text(found.max):
                raise NotOfTable(f"{source}: it was staged for {column} {key} and holds rows of {_text(found.min)} to {_text(found.max)}")


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _statistics(footer: pq.FileMetaData, measured: Sequence[str]) -> str:
    """A file's statistics as Delta spells them. A column is left out where a part of the file does not tell."""
    told: dict[str, dict[str, Any]] = {"minValues": {}, "maxValues": {}, "nullCount": {}}
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    for place in range(footer.row_group(0).num_columns):
        name = footer.row_group(0).column(place).path_in_schema
        if name not in measured:
            continue
        found = [group.column(place).statistics for group in groups]
        if any(each is None or not each.has_null_count for each in found):
            continue
        told["nullCount"][name] = sum(each.null_count for each in found)
        # A part of nothing but nulls has neither.
        valued = [each for each, group in zip(found, groups, strict=True) if each.null_count < group.num_rows]
        if valued and all(each.has_min_max for each in valued):
            with suppress(OverflowError, ValueError):  # an instant before the year 1 or after 9999: no bounds
                least, most = _spelled([each.min for each in valued], up=False), _spelled([each.max for each in valued], up=True)
                if least is not None and most is not None:
                    told["minValues"][name], told["maxValues"][name] = least, most
    return json.dumps({"numRecords": footer.num_rows, **{name: values for name, values in told.items() if values}}, separators=(",", ":"))


def _spelled(bounds: list[Any], *, up: bool) -> int | float | str | None:
    """The bound of these as Delta writes it; None for what is not measured.

    Instants stand there in milliseconds: outwards, or rows at the bound would be passed over. Of numbers one of which is none (NaN) there is no bound: Spark
    holds it for the greatest. (What is written without Spark has none: events and rows of sources cannot.)
    """
    if any(isinstance(bound, float) and not math.isfinite(bound) for bound in bounds):
        return None
    match max(bounds) if up else min(bounds):
        case bool():
            return None
        case int() | float() as number:
            return number
        case datetime() as instant:
            at = instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
            rest = timedelta(microseconds=at.microsecond % 1000)
            at += timedelta(milliseconds=1) - rest if up and rest else -rest
            return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case date() as day:
            return day.isoformat()
    return None  # decimals: as JSON they would have to be rounded
