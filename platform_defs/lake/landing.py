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

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from platform_defs.lake.files import files_of


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


def segments_folder(event: str) -> str:
    """Where the segments of an event type or source lie, a folder a partition, relative to the landing root."""
    return f"segments/{event}"


def segment_path(event: str, hour: str, receiver: str, seal: int) -> str:
    """Path of a segment below the landing root; a function of its identity, so that a repeated seal changes nothing."""
    return f"{segments_folder(event)}/{hour}/{receiver}-{seal:012d}.jsonl.gz"


def manifest_path(receiver: str, seal: int) -> str:
    """Path of a manifest below the landing root."""
    return f"manifests/{receiver}/{seal:012d}.json"


class LandingStore:
    """The landing as its readers see it: where a segment lies, whether it is still there, what the manifests list."""

    def __init__(self, root: str) -> None:
        """`root`: the landing's folder."""
        self.root = root.rstrip("/")

    def path(self, relative: str) -> str:
        """Where a segment or manifest lies, from its path below the root. Raises ValueError if that leads out of the landing."""
        if relative.startswith("/") or ".." in relative.split("/"):
            raise ValueError("a segment's path leads out of the landing: the manifest that lists it is not ours")
        return f"{self.root}/{relative}"

    def missing(self, relatives: Iterable[str]) -> list[str]:
        """Those of the paths that are not there (any more), in the order given."""
        return [relative for relative in relatives if not Path(self.path(relative)).is_file()]

    def receivers(self) -> list[str]:
        """Who has manifests: receivers, and each source's partitions."""
        return files_of(self.root).names(f"{self.root}/manifests")

    def manifests(self, receiver: str | None = None) -> Iterator[SealManifest]:
        """All manifests, or one receiver's, by receiver and seal. Raises ValueError for one that cannot be understood, naming the file."""
        files = files_of(self.root)
        for each in self.receivers() if receiver is None else [receiver]:
            for name in files.names(f"{self.root}/manifests/{each}"):
                if not name.endswith(".json") or name.startswith("."):
                    continue
                path = f"{self.root}/manifests/{each}/{name}"
                try:
                    yield SealManifest.model_validate_json(files.read(path))
                except ValidationError as error:
                    raise ValueError(f"{path} is no manifest ({error.error_count()} errors): restore it, or move it away to go on without it") from None

    def remove(self, relative: str) -> bool:
        """Removes a segment, manifest or folder below the root; whether there was one."""
        return files_of(self.root).remove(self.path(relative))
