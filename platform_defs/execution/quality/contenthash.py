"""The content hash of a partition: equal for equal rows under any layout, file split and order, different after any change of one cell.

A row is hashed with xxhash64 over, per column in name order, (is it null, its canonical form), twice with different seeds; the partition's hash is
the row count and both sums modulo 2^64. Only expressions and their folding belong here; the pass that evaluates them is in inspect.

Canonical form: doubles and floats rounded to 12 significant digits (sums of doubles differ in the last ones by layout; a second evaluation of the
same rows must give the same hash), NaN one value, -0.0 equal to 0.0; maps as entries in key order; arrays and structs with a null flag and, for
arrays and maps, a size at every level, because xxhash64 passes over nulls in silence and refuses maps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

SIZE = 16
_DIGITS = 12
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
    for seed in _SEEDS:
        row = row_hash(schema, seed)
        for half, value in (("high", F.shiftrightunsigned(row, 32)), ("low", row.bitwiseAND(F.lit(_HALF - 1)))):
            aggregates.append(F.sum(value if counted is None else F.when(counted, value)).alias(f"h{seed}_{half}"))
    return aggregates


def row_hash(schema: T.StructType, seed: int = _SEEDS[0]) -> Column:
    """The hash of one row over these columns, whatever their order: equal for equal rows. 64 bits: enough to tell a few copies apart."""
    parts: list[Column] = []
    for field in sorted(schema.fields, key=lambda field: field.name):
        parts.extend(_parts(F.col(f"`{field.name}`"), field.dataType))
    return F.xxhash64(F.lit(seed), *parts)


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
        return list(_rounded(value.cast("double")))
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


def _rounded(value: Column) -> tuple[Column, Column]:
    """(mantissa of 12 digits, decimal exponent) of a double; NaN, infinities and zero are their own."""
    size = F.abs(value)
    special = F.isnan(value) | (size == F.lit(float("inf"))) | (value == F.lit(0.0))
    exponent = F.floor(F.log10(size)).cast("int")
    shift = F.lit(_DIGITS - 1) - exponent
    # In two factors: 10^335, for the smallest doubles, is no double.
    half = F.floor(shift / F.lit(2)).cast("int")
    mantissa = F.rint(value * F.pow(F.lit(10.0), half) * F.pow(F.lit(10.0), shift - half))
    # 99.9999999999999 rounds up to a 13th digit: the same number as 100.
    over = F.abs(mantissa) >= F.lit(10.0**_DIGITS)
    return (
        F.when(special, F.when(value == F.lit(0.0), F.lit(0.0)).otherwise(value)).when(over, mantissa / F.lit(10.0)).otherwise(mantissa),
        F.when(special, F.lit(0)).when(over, exponent + F.lit(1)).otherwise(exponent),
    )
