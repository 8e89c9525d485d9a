"""From what a source's function yields to lines of landing: files unpacked and read row by row, rows spelled as the contract spells them.

A row that keeps its contract is written in the one spelling; any other is written as it came, so that intake finds it bad and quarantines it with its
rule. Which partition is pulled when, and what is kept, is in sources.

How text becomes values (CSV has no types): an empty cell is null where the field may be null, is left out where it has a default, and else stays the
empty text. A whole number is read for an integer, a number for a float, true/false (any case) or 1/0 for a boolean; text, UUID, datetime and Decimal
are taken as they stand; list, dict and Record are JSON in the cell. What cannot be read so stays text and is refused as such. Columns the contract does
not know are refused like any unknown field.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from platform_defs.contracts.contract import Contract, WireField
from platform_defs.contracts.event import Record
from platform_defs.contracts.sources import RawFile, Readable
from platform_defs.contracts.wire import model_of

CLIENT = "source"
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_PARQUET_ROWS = 10_000


class Spelling:
    """Writes rows of one contract as landing lines."""

    def __init__(self, contract: Contract) -> None:
        self._model: type[BaseModel] = model_of(contract)
        self._fields = {field.name: field for field in contract.fields}

    def lines(self, rows: Iterable[bytes], at: str, received_at: str) -> Iterator[bytes]:
        """The lines of these rows (JSON texts), each with its line feed. `at`: start of the partition; `received_at`: the pull; RFC 3339."""
        for number, row in enumerate(rows, 1):
            try:
                row = self._model.model_validate_json(row).model_dump_json().encode()
            except ValidationError:
                row = row.replace(b"\n", b" ")
            head = to_json({"client": CLIENT, "id": str(number), "time": at, "received_at": received_at})
            yield b'%b,"data":%b}\n' % (head[:-1], row)

    def rows_of(self, file: RawFile, spool: Callable[[], BinaryIO]) -> Iterator[bytes]:
        """The rows of a file as JSON texts. `spool` opens an empty private file: Parquet is read from its end."""
        stream: Any = _Stream(file.read())
        if file.name.endswith(".gz"):
            stream = gzip.GzipFile(fileobj=stream)
        match file.format:
            case "csv":
                yield from self._csv(stream)
            case "jsonl":
                yield from (line for line in (raw.strip() for raw in io.BufferedReader(stream)) if line)
            case "parquet":
                with spool() as whole:
                    while piece := stream.read(1 << 20):
                        whole.write(piece)
                    for batch in pq.ParquetFile(whole).iter_batches(_PARQUET_ROWS):
                        yield from map(row_text, batch.to_pylist())

    def _csv(self, stream: Any) -> Iterator[bytes]:
        # What is no UTF-8 becomes lone surrogates, which no contract allows: the row is refused, not the file.
        text = io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text)
        header = next(reader, [])
        for cells in reader:
            if cells:
                yield self._csv_row(header, cells)

    def _csv_row(self, header: list[str], cells: list[str]) -> bytes:
        row: dict[str, Any] = {}
        for name, cell in zip(header, cells, strict=False):
            field = self._fields.get(name)
            value = cell if field is None else _value(cell, field)
            if value is not _ABSENT:
                row[name] = value
        if len(cells) > len(header):
            row["<cells beyond the header>"] = None
        return json.dumps(row).encode()


def row_text(row: Mapping[str, Any] | BaseModel) -> bytes:
    """A row of Python values (a Record, or a mapping) as JSON. Infinity and NaN are spelled so that they are refused."""
    return row.model_dump_json().encode() if isinstance(row, Record) else to_json(row, inf_nan_mode="constants")


_ABSENT: Any = object()


def _value(cell: str, field: WireField) -> Any:
    kind = field.type.kind
    if cell == "":
        return None if field.nullable else "" if field.required else _ABSENT
    if kind == "integer" and _INTEGER.fullmatch(cell) and len(cell) < 1000:
        return int(cell)
    if kind == "number" and _NUMBER.fullmatch(cell):
        return float(cell)
    if kind == "boolean":
        return _BOOLEANS.get(cell.lower(), cell)
    if kind in ("list", "map", "record"):
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    return cell


class _Stream(io.RawIOBase):
    """What a source opened, as a file."""

    def __init__(self, source: Readable) -> None:
        super().__init__()
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._source.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
