"""One seal on disk: segments by event type and hour, the failed log, the manifest last. Where batches come from, and who is told, is the caller's matter."""

from __future__ import annotations

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from platform_defs.collection.disk import Disk
from platform_defs.collection.failed import failed_line, failed_path
from platform_defs.collection.record import Batch
from platform_defs.lake.landing import Account, SealManifest, Segment, manifest_path, segment_path

# zlib's level on event lines, one core: 1 makes 7.7:1 at 160 MB/s, 6 makes 8.6:1 at 63 MB/s; the sealer shares its cores with the receiver.
_LEVEL = 1
_WRITERS = 8  # phones that were offline send hundreds of hours: each is a file to sync, and a file system syncs several at a time for the price of one


@dataclass(frozen=True)
class SealWriter:
    """Writes the seals of one receiver below a landing root. Every file's name follows from receiver and number: a repeated write changes nothing."""

    landing: Path
    receiver: str
    disk: Disk

    def manifest(self, number: int) -> Path:
        """Where the manifest of that seal lies: once it is there, the seal is whole."""
        return self.landing / manifest_path(self.receiver, number)

    def write(self, number: int, batches: Sequence[Batch], clock: Callable[[], datetime], sealed_until: datetime) -> SealManifest:
        """Writes a whole seal, the manifest last. Raises OSError as the system says it.

        `clock`: asked for `sealed_at` once the segments are there: an hour built before that instant was built without them.
        """
        parts: dict[tuple[str, str], list[bytes | memoryview]] = defaultdict(list)
        rows: dict[tuple[str, str], int] = defaultdict(int)
        failed: dict[str, list[bytes]] = defaultdict(list)
        for batch in batches:
            for group in batch.groups:
                parts[group.event, group.hour].append(group.lines)
                rows[group.event, group.hour] += group.rows
            for one in batch.rejected:
                failed[batch.at[:10]].append(failed_line(batch.at, batch.client, one))
        with ThreadPoolExecutor(_WRITERS) as writers:
            segments = list(writers.map(lambda place: self._segment(place[0], place[1], number, rows[place], parts[place]), sorted(parts)))
        for day, lines in sorted(failed.items()):
            self.disk.put(self.landing / failed_path(day, self.receiver, number), lines)
        manifest = SealManifest(
            receiver=self.receiver,
            seal=number,
            sealed_at=clock(),
            sealed_until=sealed_until,
            segments=tuple(segments),
            accounts=tuple(accounts_of(batches)),
        )
        self.disk.put(self.manifest(number), [manifest.model_dump_json().encode() + b"\n"])
        return manifest

    def _segment(self, event: str, hour: str, number: int, rows: int, lines: Iterable[bytes | memoryview]) -> Segment:
        path = segment_path(event, hour, self.receiver, number)
        packed = list(_gzip(lines))
        digest = hashlib.sha256()
        for chunk in packed:
            digest.update(chunk)
        self.disk.put(self.landing / path, packed)
        return Segment(event=event, hour=hour, path=path, rows=rows, size=sum(map(len, packed)), sha256=digest.hexdigest())


def accounts_of(batches: Iterable[Batch]) -> Iterator[Account]:
    """Per client and type: received = accepted + rejected."""
    accepted: dict[tuple[str, str | None], int] = defaultdict(int)
    reasons: dict[tuple[str, str | None], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for batch in batches:
        for group in batch.groups:
            accepted[batch.client, group.event] += group.rows
        for one in batch.rejected:
            reasons[batch.client, one.event][one.reason] += 1
    for client, event in sorted({*accepted, *reasons}, key=lambda pair: (pair[0], pair[1] or "")):
        refused = dict(sorted(reasons[client, event].items()))
        good, bad = accepted[client, event], sum(refused.values())
        yield Account(client=client, event=event, received=good + bad, accepted=good, rejected=bad, reasons=refused)


def _gzip(lines: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """One gzip member without name and time: the same lines give the same bytes."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
    for piece in lines:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
