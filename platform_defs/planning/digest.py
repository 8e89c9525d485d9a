"""Digests of what a partition is built from: 16 bytes, equal exactly when the same content is read. What is read is decided in inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

DIGEST_BYTES = 16


def inputs_digest(contents: Iterable[tuple[str, str, bytes]]) -> bytes:
    """Digest over (endpoint, partition, content hash); neither order nor repetition counts."""
    return _digest(b"\0".join([endpoint.encode(), partition.encode(), content]) for endpoint, partition, content in contents)


def segments_digest(segments: Iterable[tuple[str, str]]) -> bytes:
    """Digest over (segment path, sha256 in hex) of an event hour; neither order nor repetition counts."""
    return _digest(b"\0".join([path.encode(), sha256.encode()]) for path, sha256 in segments)


def _digest(items: Iterable[bytes]) -> bytes:
    total = hashlib.sha256()
    for item in sorted(set(items)):
        total.update(len(item).to_bytes(4, "big"))  # without lengths ("ab", "c") and ("a", "bc") would be equal
        total.update(item)
    return total.digest()[:DIGEST_BYTES]
