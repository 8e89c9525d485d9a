"""What a run computed and did not publish yet: a private folder per run and endpoint, gone when the run has ended."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from platform_defs.contracts.contract import Contract
from platform_defs.lake.columns import NEVER_TWICE, staged_ddl
from platform_defs.lake.files import files_of
from platform_defs.lake.layout import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameWriter, SparkSession

# A file is inspected and published by as many tasks as it has groups of rows: with Parquet's 128 MB, an hour of a million rows by one, whatever the cores.
_ROW_GROUP_BYTES = 1 << 20
# Of files that readers will read for months: large enough to be packed well, small enough for several tasks an hour of a million rows.
_KEPT_GROUP_BYTES = 8 << 20


@contextmanager
def staging_folder(lake: Lake, run_id: str, key: str) -> Iterator[str]:
    """A folder (0700) for what this run computes for this endpoint: empty at the start, removed at the end, whatever happened."""
    folder, files = lake.staging(run_id, key), files_of(lake.root)
    files.remove(folder)  # an earlier try of the same run
    files.make_folder(folder)
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):  # a task that was interrupted may write for a moment more: `sweep` takes the rest, the publish stands
            files.remove(folder)


def read_staged(session: SparkSession, contract: Contract, paths: Sequence[str], *, failed: bool = False, origin: bool = False) -> DataFrame:
    """The staged rows of these folders, by the contract's schema and not the files', the partition as STRING.

    `failed`: with the rules a row broke. `origin`: with the segment and line it came from. Columns a file lacks are null. Raises ValueError for no path.
    """
    if not paths:
        raise ValueError(f"{contract.key}: nothing staged to read; ask for the folders of at least one partition")
    return session.read.schema(staged_ddl(contract, failed=failed, origin=origin)).parquet(*paths)


def staged_writer(frame: DataFrame) -> DataFrameWriter:
    """How Spark writes rows that are read once or twice and then deleted. It replaces what lies there, unless told another mode."""
    # A dictionary is worth its work where files are kept: looking every value up was an eighth of an intake's processor time.
    return frame.write.mode("overwrite").option("parquet.block.size", _ROW_GROUP_BYTES).option("parquet.enable.dictionary", "false")


def kept_writer(frame: DataFrame) -> DataFrameWriter:
    """How Spark writes rows whose files may become a table's own. It replaces what lies there."""
    return frame.write.mode("overwrite").option("parquet.block.size", _KEPT_GROUP_BYTES)


def staged_files(folder: str) -> list[str]:
    """The Parquet files of a folder; none if there is none."""
    return [f"{folder}/{file}" for file in files_of(folder).names(folder) if file.endswith(".parquet") and not file.startswith((".", "_"))]


def write_parted(frame: DataFrame, column: str, keys: Sequence[str], base: str) -> dict[str, list[str]]:
    """Writes the rows of these partitions to files that may become a table's own; the files by partition, for those that have rows."""
    if len(keys) == 1:
        folders = {keys[0]: f"{base}/{column}={keys[0]}"}
        kept_writer(frame.drop(column)).parquet(folders[keys[0]])
    else:
        folders = {key: f"{base}/{column}={key}" for key in keys}
        kept_writer(frame).partitionBy(column).parquet(base)
    return {key: found for key, folder in folders.items() if (found := staged_files(folder))}


def write_frame(folder: str, frame: pa.Table) -> None:
    """Writes rows that were computed without Spark as the one file of a folder that is not there yet: 0700, the file 0600."""
    Path(folder).mkdir(parents=True, mode=0o700)
    descriptor = os.open(f"{folder}/part-0.parquet", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    rows = max(1, len(frame) * _KEPT_GROUP_BYTES // max(1, frame.nbytes))
    looked_up = [leaf for field in frame.schema if field.name not in NEVER_TWICE for leaf in _leaves(field.name, field.type)]
    with os.fdopen(descriptor, "wb") as file:
        pq.write_table(frame, file, row_group_size=rows, use_dictionary=looked_up)


def _leaves(name: str, kind: pa.DataType) -> Iterator[str]:
    """The parts of a column, as Parquet names them."""
    if pa.types.is_list(kind):
        yield from _leaves(f"{name}.list.element", kind.value_type)
    elif pa.types.is_map(kind):
        yield from (*_leaves(f"{name}.key_value.key", kind.key_type), *_leaves(f"{name}.key_value.value", kind.item_type))
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{name}.{field.name}", field.type)
    else:
        yield name


def folders(lake: Lake) -> dict[str, str]:
    """The staging folders there are, each with its run."""
    return {f"{lake.staging_root}/{name}": name.rpartition("-")[0] for name in files_of(lake.root).names(lake.staging_root)}


def sweep(lake: Lake, live_runs: Collection[str]) -> list[str]:
    """Removes the staging of runs that are not among the live ones (their process was killed); which runs those were."""
    dead = {folder: run for folder, run in folders(lake).items() if run not in live_runs}
    for folder in dead:
        files_of(lake.root).remove(folder)
    return sorted(set(dead.values()))
