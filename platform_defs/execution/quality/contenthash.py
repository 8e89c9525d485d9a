"""The content hash of a partition: equal for equal rows under any layout, file split and order, different after any change of one cell.

A row is hashed with xxhash64 over, per column in name order, (is it null, its canonical form), and that hash once more with another seed; the partition's
hash is the row count and the sums of both modulo 2^64. So rows that differ are told apart by 64 bits, and sums of rows by 128. (To hash every column with
both seeds cost a fifth of the inspection.) Only expressions and their folding belong here; the pass that evaluates them is in inspect.

Canonical form: doubles and floats rounded to 12 significant digits and a bit more (sums of doubles differ in the last ones by layout; a second
evaluation of the same rows must give the same hash), NaN one value, -0.0 equal to 0.0; maps as entries in key order; arrays and structs with a null
flag and, for arrays and maps, a size at every level, because xxhash64 passes over nulls in silence and refuses maps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

SIZE = 16
# Of a double's 53 bits 42 are kept: a change of its 12th digit always shows, and 11 bits are left to what the order of a sum changes.
_SPLIT = 2.0**11 + 1
# Above it, x * _SPLIT would be infinite.
_LARGEST = 1e300
_WORD = 1 << 64
_HALF = 1 << 32
_SEEDS = (1, 2)
_NAMES = tuple(f"h{seed}_{half}" for seed in _SEEDS for half in ("high", "low"))


def hash_aggregates(schema: T.StructType, counted: Column | None = None) -> list[Column]:
    """Aggregates whose values `fold` turns into the hash: the two sums, each as sums of its upper and lower 32 bits.

    A sum of 64-bit hashes would overflow (an error under ANSI); halves hold 2^31 rows, and cost less than a decimal sum.

    Args:
        schema: the columns to hash, without the partition column.
        counted: rows where it is not true are left out; all are counted when None.
    """
    aggregates: list[Column] = []
    first = row_hash(schema)
    for seed, row in zip(_SEEDS, (first, F.xxhash64(F.lit(_SEEDS[1]), first)), strict=True):
        for half, value in (("high", F.shiftrightunsigned(row, 32)), ("low", row.bitwiseAND(F.lit(_HALF - 1)))):
            aggregates.append(F.sum(value if counted is None else F.when(counted, value)).alias(f"h{seed}_{half}"))
    return aggregates


def row_hash(schema: T.StructType) -> Column:
    """The hash of one row over these columns, whatever their order: equal for equal rows. 64 bits: enough to tell a few copies apart."""
    parts: list[Column] = []
    for field in sorted(schema.fields, key=lambda field: field.name):
        parts.extend(_parts(F.col(f"`{field.name}`"), field.dataType))
    return F.xxhash64(F.lit(_SEEDS[0]), *parts)


def fold(columns: Sequence[str], rows: int, sums: Mapping[str, int | None]) -> bytes:
    """The 16-byte content hash from the row count and the values of `hash_aggregates` by their names; absent or null sums are 0 (no rows)."""
    digest = hashlib.blake2b(digest_size=SIZE)
    for name in sorted(columns):
        digest.update(len(name.encode()).to_bytes(4, "big") + name.encode())
    digest.update(rows.to_bytes(8, "big"))
    for seed in _SEEDS:
        high, low = (sums.get(f"h{seed}_{half}") or 0 for half in ("high", "low"))
        digest.update(((high * _HALF + low) % _WORD).to_bytes(8, "big"))
    return digest.digest()


def empty_content(columns: Sequence[str]) -> bytes:
    """The content hash of a partition without rows."""
    return fold(columns, 0, {})


def aggregate_names() -> tuple[str, ...]:
    """Names of the aggregates, as they appear in the grouped result."""
    return _NAMES


def _parts(value: Column, kind: T.DataType) -> list[Column]:
    """Null flag and canonical form of one value, as arguments of xxhash64."""
    return [value.isNull(), *_canonical(value, kind)]


def _canonical(value: Column, kind: T.DataType) -> list[Column]:
    if isinstance(kind, T.DoubleType | T.FloatType):
        return [_rounded(value.cast("double"))]
    if isinstance(kind, T.ArrayType):
        return [F.size(value), F.transform(value, _packed(kind.elementType))]
    if isinstance(kind, T.MapType):
        # Keys are unique and never null, so their order alone is an order of the entries; a value that is a map could not be compared.
        pack_key, pack_value = _packed(kind.keyType), _packed(kind.valueType)
        keys = F.array_sort(F.map_keys(value))
        return [F.size(value), F.transform(keys, lambda key: F.struct(pack_key(key), pack_value(F.element_at(value, key))))]
    if isinstance(kind, T.StructType):
        return [part for field in kind.fields for part in _parts(value.getField(field.name), field.dataType)]
    return [value]


def _packed(kind: T.DataType) -> Callable[[Column], Column]:
    """A function from a nested value to one struct of its parts."""

    def pack(value: Column) -> Column:
        return F.struct(*(part.alias(f"p{i}") for i, part in enumerate(_parts(value, kind))))

    return pack


def _rounded(value: Column) -> Column:
    """A double to 42 significant bits; NaN, infinities and what is near them as they are, no sign of zero.

    The split of Veltkamp and Dekker: of x * (2^11 + 1) the upper bits. Powers of ten made the whole hash four times as dear (1 M rows of
    four columns: 3.1 CPU s, so 0.75).
    """
    wide = value * F.lit(_SPLIT)
    return F.when(value == F.lit(0.0), F.lit(0.0)).when(F.abs(value) < F.lit(_LARGEST), wide - (wide - value)).otherwise(value)
