"""What Spark is given instead of people: files of pseudonyms and ciphertexts, computed here from keys that stay in this process.

A `PrivateFolder` holds them for one run (0700, below the landing root: the one place that both the intake's client and its server may read, and nobody
else) and is deleted afterwards. Rows are joined by `identity.plain_name`, so that no raw id is in a file. The one key that Spark needs by itself,
that of event ids, is a one-row file there: a column, never a literal of a plan.
"""

from __future__ import annotations

import hmac
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from platform_defs.privacy.encryption import FieldCipher
from platform_defs.privacy.identity import NAME_BYTES, message, pads, plain_name
from platform_defs.privacy.vault import Person, Vault

_CHUNK = 100_000
_FOLDER = "private"
PADS_DDL = "_inner BINARY, _outer BINARY"
PEOPLE_DDL = "_name BINARY, _pseudonym BINARY, _erased_at TIMESTAMP"
CIPHERTEXTS_DDL = "_name BINARY, _ciphertext BINARY"
_PADS = pa.schema([("_inner", pa.binary()), ("_outer", pa.binary())])
_PEOPLE = pa.schema([("_name", pa.binary()), ("_pseudonym", pa.binary()), ("_erased_at", pa.timestamp("us", tz="UTC"))])
_CIPHERTEXTS = pa.schema([("_name", pa.binary()), ("_ciphertext", pa.binary())])


def pseudonym(person: Person, purpose: str) -> bytes:
    """Who the person is for one purpose: 16 bytes. Pseudonyms of two purposes do not join."""
    return hmac.digest(person.key, message("pseudonym", purpose, str(person.generation)), "sha256")[:NAME_BYTES]


class PrivateFolder:
    """The folder of one run's private files: made 0700 on entering, deleted on leaving.

    Args:
        landing_root: root of the landing, a local path.
        run_id: names the folder; entering again after a crash empties it.
    """

    def __init__(self, landing_root: str, run_id: str) -> None:
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


def sweep(landing_root: str, older_than_seconds: float = 86_400.0) -> int:
    """Deletes what runs that were killed left behind, once nothing in it was touched for that long; how many folders."""
    swept = 0
    parent = Path(landing_root) / _FOLDER
    for folder in parent.iterdir() if parent.is_dir() else ():
        newest = max((entry.stat().st_mtime for entry in (folder, *folder.iterdir())), default=0.0)
        if time.time() - newest > older_than_seconds:
            shutil.rmtree(folder, ignore_errors=True)
            swept += 1
    return swept


def write_pads(folder: PrivateFolder, name: str, key: bytes) -> str:
    """Writes a key's HMAC pads as a one-row file for `identity.keyed_name_column`; returns its path."""
    inner, outer = pads(key)
    return _write(folder.file(name), _PADS, [[(inner, outer)]])


def write_people(folder: PrivateFolder, name: str, vault: Vault, purpose: str, identities: Iterable[tuple[str, str]]) -> str:
    """Writes one row per distinct (kind, id): `PEOPLE_DDL`, named `plain_name(kind, id)`; returns the file's path.

    People seen for the first time get their key on the way.
    """

    def rows() -> Iterator[list[tuple[Any, ...]]]:
        for chunk in _chunks(identities):
            people = vault.people(chunk)
            yield [
                (plain_name(kind, identifier), pseudonym(person, purpose), person.erased_at) for (kind, identifier), person in zip(chunk, people, strict=True)
            ]

    return _write(folder.file(name), _PEOPLE, rows())


def write_ciphertexts(folder: PrivateFolder, name: str, vault: Vault, field: str, values: Iterable[tuple[str, str, str, Any]]) -> str:
    """Writes one row per distinct (kind, id, text, value) of a reversible field: `CIPHERTEXTS_DDL`, named `plain_name(kind, id, text)`.

    `text` is how Spark spells the value when it looks the row up; `value` is what gets encrypted. Returns the file's path.
    """

    def rows() -> Iterator[list[tuple[Any, ...]]]:
        for chunk in _chunks(values):
            people = vault.people([(kind, identifier) for kind, identifier, _, _ in chunk])
            yield [
                (plain_name(kind, identifier, text), FieldCipher(person.key, field).encrypt(value))
                for (kind, identifier, text, value), person in zip(chunk, people, strict=True)
            ]

    return _write(folder.file(name), _CIPHERTEXTS, rows())


def _chunks(items: Iterable[Any]) -> Iterator[Sequence[Any]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


def _write(path: str, schema: pa.Schema, chunks: Iterable[list[tuple[Any, ...]]]) -> str:
    # No statistics: minimum and maximum in a footer are values.
    with pq.ParquetWriter(path, schema, write_statistics=False, use_dictionary=False) as writer:
        for rows in chunks:
            columns = list(zip(*rows, strict=True)) or [()] * len(schema)
            writer.write_table(pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema))
    return path
