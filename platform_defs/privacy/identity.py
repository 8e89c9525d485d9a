"""Keyed names of things: what is looked up in the vault, what an event is called in a table, what is derived from a person's key. Over unambiguous messages;
pure.

Names are HMAC's: the same function exists for one thing, for many at once and as a Spark column expression, and tests hold them together. In Spark the key is
never a literal: it comes as two columns (HMAC's inner and outer pad) of a one-row file in the run's private folder. What is derived of people is computed
in Python alone, by BLAKE2b.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

if TYPE_CHECKING:
    from pyspark.sql import Column

KEY_BYTES = 32
NAME_BYTES = 16
_BLOCK = 64  # of SHA-256
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


def message(*parts: str) -> bytes:
    """The parts as netstrings (`3:web,2:id,`): two different lists of parts never give the same bytes, whatever the parts contain."""
    return b"".join([b"%d:%b," % (len(raw), raw) for raw in map(str.encode, parts)])


def mac(key: bytes, text: bytes, size: int) -> bytes:
    """Keyed BLAKE2b (RFC 7693), `size` bytes long: what is derived from a person's key. One call of 0.7 us, where HMAC's two and its pads take 1.3.

    Raises ValueError for a key of another size than people have: BLAKE2b without a key is a hash that anybody can compute.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key of {len(key)} bytes: a person's has {KEY_BYTES}")
    return hashlib.blake2b(text, key=key, digest_size=size).digest()


def keyed_names(key: bytes, messages: Iterable[bytes]) -> list[bytes]:
    """First 16 bytes of HMAC-SHA256 of each: 0.9 us a name, since the key is worked in once."""
    names, begun = list[bytes](), HMAC(key, SHA256())
    for each in messages:
        named = begun.copy()
        named.update(each)
        names.append(named.finalize()[:NAME_BYTES])
    return names


def keyed_name(key: bytes, *parts: str) -> bytes:
    """First 16 bytes of HMAC-SHA256 of the parts."""
    return hmac.digest(key, message(*parts), "sha256")[:NAME_BYTES]


def event_id(key: bytes, client: str, event: str, identifier: str) -> bytes:
    """The stored id of an event: 16 bytes, a keyed hash of its identity (client, type, id); the same in every run."""
    return keyed_name(key, client, event, identifier)


def event_ids(key: bytes, event: str, clients: Any, identifiers: Any) -> list[bytes | None]:
    """`event_id` of many: clients and identifiers are Arrow arrays of texts; None where either is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    framed = [piece for part in (clients, identifiers) for piece in (pc.binary_length(part).cast(pa.string()), ":", part, ",")]
    framed.insert(4, message(event).decode())
    messages = pc.binary_join_element_wise(*framed, "").to_pylist()
    names = iter(keyed_names(key, (text.encode() for text in messages if text is not None)))
    return [None if text is None else next(names) for text in messages]


def lookup_of(index_key: bytes, kind: str, identifier: str) -> bytes:
    """Where a person's row is in the vault: 16 bytes that tell nothing without the index key."""
    return keyed_name(index_key, kind, identifier)


def lookups_of(index_key: bytes, kind: str, identifiers: Iterable[str]) -> list[bytes]:
    """`lookup_of` of many."""
    framed = message(kind)
    return keyed_names(index_key, [b"%b%d:%b," % (framed, len(raw), raw) for raw in map(str.encode, identifiers)])


def plain_name(*parts: str) -> bytes:
    """An unkeyed name of the parts, 16 bytes: what tests' people are called. Never stored in a table."""
    return hashlib.sha256(message(*parts)).digest()[:NAME_BYTES]


def pads(key: bytes) -> tuple[bytes, bytes]:
    """HMAC's inner and outer pad blocks of a key of at most 64 bytes: all that `keyed_name_column` needs to know of it."""
    if len(key) > _BLOCK:
        raise ValueError(f"a key of {len(key)} bytes: HMAC pads keys of at most {_BLOCK}; use one of {KEY_BYTES}")
    padded = key.ljust(_BLOCK, b"\0")
    return padded.translate(_INNER), padded.translate(_OUTER)


def message_column(*parts: Column) -> Column:
    """`message` as a column expression (BINARY). The parts are STRING columns; null if any part is."""
    from pyspark.sql import functions as F

    framed = [piece for part in parts for piece in (F.octet_length(part).cast("string"), F.lit(":"), part, F.lit(","))]
    return F.encode(F.concat(*framed), "UTF-8")


def keyed_name_column(inner: Column, outer: Column, *parts: Column) -> Column:
    """`keyed_name` as a column expression; `inner` and `outer` are BINARY columns holding the key's `pads`."""
    from pyspark.sql import functions as F

    digest = F.unhex(F.sha2(F.concat(inner, message_column(*parts)), 256))
    return F.unhex(F.substring(F.sha2(F.concat(outer, digest), 256), 1, 2 * NAME_BYTES))
