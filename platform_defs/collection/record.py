"""What one request left behind, as the bytes of one record of the write-ahead log: the accepted lines and the rejected originals.

Encoding and decoding belong here; framing, checksums and files are the log's matter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

Reason = Literal["malformed", "unknown_type", "schema", "too_large", "out_of_range"]

REASONS: dict[Reason, str] = {
    "malformed": "no JSON, or no CloudEvent",
    "unknown_type": "no contract has this type",
    "schema": "the data breaks its contract",
    "too_large": "over a size or nesting limit",
    "out_of_range": "the event's time is before the type's start, older than landing is kept, or in the future",
}


@dataclass(frozen=True, slots=True)
class Group:
    """Accepted events of one type and hour: `rows` lines of canonical JSON, each ended by a line feed."""

    event: str
    hour: str
    rows: int
    lines: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event (or a whole body) that was not accepted.

    Attributes:
        event: its type if a contract has it, else None: a type nobody declared is a value like any other.
        detail: error types and declared paths; never a value.
        body: the original bytes, None only for a body over the limit, which is not read.
        size: bytes, as far as known.
    """

    event: str | None
    reason: Reason
    detail: str
    body: bytes | memoryview | None
    size: int


@dataclass(frozen=True, slots=True)
class Batch:
    """One request of one client. `at`: when it was received, RFC 3339 with microseconds, UTC."""

    client: str
    at: str
    groups: tuple[Group, ...]
    rejected: tuple[Rejected, ...]


def encode(batch: Batch) -> bytes:
    """The record of a batch; `decode` is its inverse."""
    head = json.dumps(
        [
            batch.client,
            batch.at,
            [[g.event, g.hour, g.rows, len(g.lines)] for g in batch.groups],
            [[r.event, r.reason, r.detail, -1 if r.body is None else len(r.body), r.size] for r in batch.rejected],
        ],
        separators=(",", ":"),
    ).encode()
    bodies = [r.body for r in batch.rejected if r.body is not None]
    return b"".join([len(head).to_bytes(4, "big"), head, *(g.lines for g in batch.groups), *bodies])


def decode(payload: memoryview) -> Batch:
    """The batch of a record, without copying its lines."""
    position = 4 + int.from_bytes(payload[:4], "big")
    client, at, groups, refused = json.loads(bytes(payload[4:position]))
    kept_groups, kept_rejected = [], []
    for event, hour, rows, size in groups:
        kept_groups.append(Group(event, hour, rows, payload[position : position + size]))
        position += size
    for event, reason, detail, length, size in refused:
        body = None if length < 0 else payload[position : position + length]
        kept_rejected.append(Rejected(event, reason, detail, body, size))
        position += max(length, 0)
    return Batch(client, at, tuple(kept_groups), tuple(kept_rejected))
