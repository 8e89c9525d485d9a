"""What Spark is given instead of people: files of pseudonyms and ciphertexts, from keys that it never sees (see deriving).

A `PrivateFolder` holds them for one run (0700, below the landing root: the one place that both the intake's client and its server may read, and nobody
else) and is deleted afterwards: its files name people as the lines beside them do. The one key that Spark needs by itself, that of event ids, is a one-row
file there: a column, never a literal of a plan.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from platform_defs.contracts.contract import WireField
from platform_defs.privacy.deriving import ERASED_AT, INSTANT, PSEUDONYM, Wanted
from platform_defs.privacy.identity import pads
from platform_defs.privacy.workers import Deriver

_CHUNK = 100_000
_FOLDER = "private"
PADS_DDL = "_inner BINARY, _outer BINARY"
_PADS = pa.schema([("_inner", pa.binary()), ("_outer", pa.binary())])
_PERSON = [("_of0", pa.string()), (PSEUDONYM, pa.binary()), (ERASED_AT, INSTANT)]


class PrivateFolder:
    """The folder of one run's private files: made 0700 on entering, deleted on leaving.

    Args:
        landing_root: root of the landing, a local path.
        run_id: names the folder, the run's id or `<run>.<domain>.<name>`; entering again after a crash empties it.
    """

    def __init__(self, landing_root: str, run_id: str) -> None:
        self.root = landing_root
        self._parent = Path(landing_root) / _FOLDER
        self.path = self._parent / run_id

    def __enter__(self) -> PrivateFolder:
        shutil.rmtree(self.path, ignore_errors=True)
        self._parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.mkdir(mode=0o700)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def file(self, name: str) -> str:
        """Path of a file in the folder, made empty and 0600 if it is not there, so that no later writer opens it to others."""
        path = self.path / name
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        return str(path)


def folders(landing_root: str) -> dict[str, str]:
    """The private folders there are, each with its run."""
    parent = Path(landing_root) / _FOLDER
    return {str(folder): folder.name.rsplit(".", 2)[0] for folder in sorted(parent.iterdir())} if parent.is_dir() else {}


def sweep(landing_root: str) -> int:
    """Deletes what killed runs left behind, while no run lives; how many folders."""
    left = folders(landing_root)
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)


def write_pads(folder: PrivateFolder, name: str, key: bytes) -> str:
    """Writes a key's HMAC pads as a one-row file for `identity.keyed_name_column`; returns its path."""
    inner, outer = pads(key)
    path = folder.file(name)
    pq.write_table(pa.table([[inner], [outer]], schema=_PADS), path, write_statistics=False, use_dictionary=False)
    return path


def people_ddl(values: int) -> str:
    """The columns of `write_people`, for a person with that many reversible fields."""
    own = [f"_of{place} STRING, _c{place} BINARY" for place in range(1, values + 1)]
    return ", ".join([f"_of0 STRING, {PSEUDONYM} BINARY, {ERASED_AT} TIMESTAMP", *own])


def write_people(path: str, deriver: Deriver, purpose: str, person: WireField, values: Sequence[WireField], named: pa.Table) -> str:
    """Writes, for each row of texts, the person's pseudonym and the values' ciphertexts beside them (`people_ddl`); returns the path.

    People seen for the first time get their key on the way.

    Args:
        path: an empty private file.
        person: the field that names a person; `values`: the reversible fields that are theirs.
        named: a column of texts for each of these fields, as the lines spell them, in this order; null only where a value is.
    """
    own = [(f"_of{place}", f"_c{place}") for place in range(1, len(values) + 1)]
    schema = pa.schema([*_PERSON, *(pair for of, c in own for pair in ((of, pa.string()), (c, pa.binary())))])
    wanted = Wanted.of(person, values, purpose)

    def theirs(batch: pa.RecordBatch) -> pa.Table:
        name, erased_at, *sealed = deriver.derived(wanted, pa.Table.from_batches([batch])).columns
        given = [pair for text, ciphertext in zip(batch.columns[1:], sealed, strict=True) for pair in (text, ciphertext)]
        return pa.table([batch.column(0), name, erased_at, *given], schema=schema)

    # Two at a time: while one is written, the other is derived. No statistics: minimum and maximum in a footer are values.
    with pq.ParquetWriter(path, schema, write_statistics=False, use_dictionary=False) as writer, ThreadPoolExecutor(2) as pool:
        for table in pool.map(theirs, named.to_batches(max_chunksize=_CHUNK)):
            writer.write_table(table)
    return path
