"""The landing's form on disk: segments of JSON lines, manifests that list them. Who writes and when is the sealer's matter (collection);
who reads is the intake's (execution).

Layout below the landing root (0700, files 0600):
    segments/<domain>/<type>/<hour>/<receiver>-<seal:012d>.jsonl.gz
    manifests/<receiver>/<seal:012d>.json
    failed/<day>/<receiver>-<n>.jsonl          the failed log: bytes as they came, base64, with a typed reason
A line of a segment, canonical JSON in this key order, one event each, UTF-8:
    {"client":"web","id":"<event id>","time":"2026-10-01T03:12:45.123456Z","received_at":"2026-10-01T03:12:46.000001Z","data":{...fields...}}
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class Stored(BaseModel):
    """Base of what is kept as JSON: frozen, closed, value-free in its errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Segment(Stored):
    """One immutable file of events of one type and one event hour.

    Attributes:
        event: key of the event type (or source), `listening/track_played`.
        hour: partition key of the event time (a day key for a daily source).
        path: relative to the landing root.
        rows: lines. size: bytes on disk. sha256: of the file, hex.
        generation: 1, higher after an erasure rewrote it.
    """

    event: str
    hour: str
    path: str
    rows: int
    size: int
    sha256: str
    generation: int = 1


class Account(Stored):
    """What one client sent of one type within one seal: received = accepted + rejected. `event` None: of no known type."""

    client: str
    event: str | None
    received: int
    accepted: int
    rejected: int
    reasons: dict[str, int] = {}


class SealManifest(Stored):
    """One seal of one receiver. `sealed_until`: every event this receiver accepted before that instant is in a segment by now."""

    receiver: str
    seal: int
    sealed_at: datetime
    sealed_until: datetime
    segments: tuple[Segment, ...]
    accounts: tuple[Account, ...]


def segment_path(event: str, hour: str, receiver: str, seal: int) -> str:
    """Path of a segment below the landing root; a function of its identity, so that a repeated seal changes nothing."""
    return f"segments/{event}/{hour}/{receiver}-{seal:012d}.jsonl.gz"


def manifest_path(receiver: str, seal: int) -> str:
    """Path of a manifest below the landing root."""
    return f"manifests/{receiver}/{seal:012d}.json"
