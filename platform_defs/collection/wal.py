"""The receiver's write-ahead log: what is acknowledged is in it first, on the disk. What a record means is `record`'s matter; what becomes of a
closed file is the sealer's.

A file `wal-<n>.log` is a row of frames, each `marker (8) | length (4) | crc32 (4) | payload`. The marker is a keyed hash of the file's number, so that
no client can write a frame into its events, and reading goes on behind damage. The first frame says when the file was opened. The file with the
highest number is the one appended to; its number outlives everything, so that no seal number is given twice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import os
import queue
import re
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from platform_defs.collection.disk import Disk

_HEAD = 16
_NAME = re.compile(r"wal-(\d{12})\.log")
_LOG = logging.getLogger(__name__)


class LogUnavailable(Exception):
    """The log cannot take events now (disk full, write error); nothing of the request is acknowledged."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a log file holds. `opened_at`: None if that frame is damaged. `damaged`: bytes between readable frames; a torn end is none."""

    opened_at: datetime | None
    payloads: list[memoryview]
    damaged: int


def marker_of(key: bytes, number: int) -> bytes:
    """What every frame of file `number` starts with."""
    return hashlib.blake2b(number.to_bytes(8, "big"), key=key, digest_size=8).digest()


def frame(marker: bytes, payload: bytes) -> bytes:
    """One frame."""
    return b"".join((marker, len(payload).to_bytes(4, "big"), zlib.crc32(payload, zlib.crc32(marker)).to_bytes(4, "big"), payload))


def frames(data: memoryview, marker: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each whole payload; what is damaged is left out, an unfinished end is passed over."""
    seed, position, size = zlib.crc32(marker), 0, len(data)
    while position + _HEAD <= size:
        start = position + _HEAD
        end = start + int.from_bytes(data[position + 8 : position + 12], "big")
        whole = data[position : position + 8] == marker and end <= size
        if whole and zlib.crc32(data[start:end], seed) == int.from_bytes(data[position + 12 : start], "big"):
            yield start, end
            position = end
        else:
            position = _next(data, marker, position + 1)


def _next(data: memoryview, marker: bytes, position: int) -> int:
    """Where the marker occurs next, searched in pieces; the length if nowhere."""
    piece = 1 << 20
    while position < len(data):
        found = bytes(data[position : position + piece + 7]).find(marker)
        if found >= 0:
            return position + found
        position += piece
    return len(data)


def read(path: Path, marker: bytes) -> Read:
    """Everything whole in a log file; the payloads stay views of the mapped file."""
    if path.stat().st_size == 0:
        return Read(None, [], 0)
    with path.open("rb") as handle:
        data = memoryview(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))
    opened, payloads, damaged, behind = None, [], 0, 0
    for start, end in frames(data, marker):
        damaged += start - _HEAD - behind
        behind = end
        payload = data[start:end]
        if payload[0] == 0:
            opened = datetime.fromisoformat(json.loads(bytes(payload[1:]))["opened_at"])
        else:
            payloads.append(payload[1:])
    return Read(opened, payloads, damaged)


class Ticket:
    """A request on its way into the log. `received_at`: the instant its events carry, never before a `sealed_until` already given."""

    __slots__ = ("received_at",)

    def __init__(self, received_at: datetime) -> None:
        self.received_at = received_at


class WriteAheadLog:
    """Appends from any thread, one fsync for all that wait at the time.

    Args:
        spool: folder of the files, made 0700; one process at a time (see `process`).
        key: secret of this receiver, for the markers.
        first: number of the first file if the spool has none (behind every seal this receiver ever made).
        rotate_bytes: size of the file from which `full` is set.
        clock: aware, UTC.

    Attributes:
        full: set once the file has `rotate_bytes`.
        problem: why the last append was refused, in words; None once one was taken.
    """

    def __init__(
        self, spool: Path, *, key: bytes, first: int = 1, rotate_bytes: int = 64 << 20, disk: Disk | None = None, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._spool, self._key, self._disk = spool, key, disk or Disk()
        self._clock = clock or (lambda: datetime.now(UTC))
        self._rotate_bytes = rotate_bytes
        self._file = threading.Lock()  # of the descriptor and what is said about its file
        self._instants = threading.Lock()  # of _sealed_until and _tickets
        self._tickets: set[Ticket] = set()
        self._queue: queue.SimpleQueue[tuple[bytes, Future[None]] | None] = queue.SimpleQueue()
        self._stopped = False
        self.full = threading.Event()
        self.problem: str | None = None
        self._disk.make_folder(spool)
        numbers = self.numbers()
        self._number = max(numbers[-1] if numbers else 0, first - 1)
        last = read(self.path(numbers[-1]), self.marker(numbers[-1])).opened_at if numbers else None
        self._sealed_until = max(last, self._clock()) if last else self._clock()
        self._descriptor: int | None = None
        self._size = self._synced = 0
        self._records = 0
        self._open()
        self._writer = threading.Thread(target=self._run, name="wal", daemon=True)
        self._writer.start()

    def path(self, number: int) -> Path:
        """The file of that number."""
        return self._spool / f"wal-{number:012d}.log"

    def marker(self, number: int) -> bytes:
        """The marker of the file of that number."""
        return marker_of(self._key, number)

    def numbers(self) -> list[int]:
        """Of all files in the spool, ascending."""
        return sorted(int(match.group(1)) for name in os.listdir(self._spool) if (match := _NAME.fullmatch(name)))

    def closed(self) -> list[int]:
        """The files nothing is appended to any more, ascending."""
        with self._file:
            return [number for number in self.numbers() if number < self._number or self._descriptor is None]

    def read(self, number: int) -> Read:
        """What a closed file holds."""
        return read(self.path(number), self.marker(number))

    def begin(self) -> Ticket:
        """To be called before a request's events are stamped; `end` must follow."""
        with self._instants:
            ticket = Ticket(max(self._clock(), self._sealed_until))
            self._tickets.add(ticket)
            return ticket

    def end(self, ticket: Ticket) -> None:
        """The request is answered or given up."""
        with self._instants:
            self._tickets.discard(ticket)

    def append(self, payload: bytes) -> Future[None]:
        """Done once the payload is on the disk; fails with LogUnavailable if it is not."""
        future: Future[None] = Future()
        with self._instants:  # nothing is queued behind the end
            if self._stopped:
                future.set_exception(LogUnavailable("the collector is stopping"))
            else:
                self._queue.put((payload, future))
        return future

    @property
    def sealed_until(self) -> datetime:
        """The newest instant given: no event received before it is or will be in the open file."""
        with self._instants:
            return self._sealed_until

    def rotate(self) -> datetime:
        """Closes the file if it holds anything and opens the next one.

        Returns `sealed_until`: no event received before that instant is or will be in the open file. Raises LogUnavailable if no file can be opened.
        """
        with self._file:
            if self._descriptor is not None and self._records == 0:
                return self._advance()
            self._close()
            self._advance()
            self._open()
            return self._sealed_until

    def close(self) -> None:
        """Ends the writer after what waits in it; further appends fail."""
        with self._instants:
            if not self._stopped:
                self._stopped = True
                self._queue.put(None)
        self._writer.join()
        with self._file:
            self._close()

    def _advance(self) -> datetime:
        with self._instants:
            instant = min([self._clock(), *(ticket.received_at for ticket in self._tickets)])
            self._sealed_until = max(self._sealed_until, instant)
            return self._sealed_until

    def _open(self) -> None:
        """The next file, with its first frame durable."""
        number = max([self._number, *self.numbers()]) + 1
        path = self.path(number)
        head = frame(self.marker(number), b"\0" + json.dumps({"opened_at": self._sealed_until.isoformat()}).encode())
        descriptor = None
        try:
            descriptor = self._disk.open_new(path)
            self._disk.write(descriptor, head)
            self._disk.sync(descriptor)
            self._disk.sync_folder(self._spool)
        except OSError as error:
            if descriptor is not None:  # a full disk still has room for names: leave no empty file behind each try
                os.close(descriptor)
                path.unlink(missing_ok=True)
            raise self._unavailable(path, error) from error
        self._number = number
        self._descriptor, self._size, self._synced, self._records = descriptor, len(head), len(head), 0
        self.full.clear()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _run(self) -> None:
        stop = False
        while not stop:
            waiting = [self._queue.get()]
            while True:
                try:
                    waiting.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            stop = None in waiting
            self._commit([item for item in waiting if item is not None])

    def _commit(self, waiting: list[tuple[bytes, Future[None]]]) -> None:
        if not waiting:
            return
        try:
            with self._file:
                self._append([payload for payload, _ in waiting])
        except LogUnavailable as error:
            for _, future in waiting:
                future.set_exception(error)
            return
        for _, future in waiting:
            future.set_result(None)

    def _append(self, payloads: list[bytes]) -> None:
        if self._descriptor is None:
            self._open()
        assert self._descriptor is not None
        marker = self.marker(self._number)
        data = b"".join(frame(marker, b"\1" + payload) for payload in payloads)
        try:
            self._disk.write(self._descriptor, data)
            self._disk.sync(self._descriptor)
        except OSError as error:
            # After a failed fsync the kernel may have dropped the pages: this file is never appended to again. What was not acknowledged is cut
            # off as far as the disk lets us; left in, it would only meet its twin when the client sends it again.
            _LOG.error("%s", _words(self.path(self._number), error))
            try:
                self._disk.truncate(self._descriptor, self._synced)
            except OSError as again:
                _LOG.error("%s", _words(self.path(self._number), again))
            self._close()
            raise self._unavailable(self.path(self._number), error) from error
        self.problem = None
        self._size += len(data)
        self._synced = self._size
        self._records += len(payloads)
        if self._size >= self._rotate_bytes:
            self.full.set()

    def _unavailable(self, path: Path, error: OSError) -> LogUnavailable:
        self.problem = _words(path, error)
        return LogUnavailable(self.problem)


def _words(path: Path, error: OSError) -> str:
    return f"{path.name}: {type(error).__name__} {error.strerror}: events are refused with 503 until the spool's disk takes them again"


def spool_key(spool: Path, disk: Disk) -> tuple[str, bytes]:
    """Who this receiver is: its id and the key of its markers, made once and kept in the spool (`receiver.json`, 0600)."""
    path = spool / "receiver.json"
    if not path.exists():
        made = {"receiver": f"r-{time.time_ns() // 1_000_000_000:x}-{secrets.token_hex(3)}", "key": secrets.token_hex(32)}
        disk.put(path, [json.dumps(made).encode()])
    kept = json.loads(path.read_text())
    return str(kept["receiver"]), bytes.fromhex(kept["key"])
