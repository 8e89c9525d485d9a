"""From the write-ahead log to seals, and from there to the ledger: what is sealed when, and who has been told. How a seal is written is in `seals`.

File n of the log becomes seal n, whatever happens on the way: every step writes the same bytes under the same name, the manifest comes last on disk,
and the log's file goes only after that. Landing's form is in `lake.landing`.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from platform_defs.collection.disk import Disk
from platform_defs.collection.record import decode
from platform_defs.collection.seals import SealWriter
from platform_defs.collection.wal import LogUnavailable, WriteAheadLog
from platform_defs.lake.landing import SealManifest

_LOG = logging.getLogger(__name__)
_SEALED = re.compile(r"(\d{12})\.sealed")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SealLedger(Protocol):
    """What the sealer tells the ledger; satisfied by `Ledger.landing`. All are idempotent and raise whatever the driver raises."""

    def record_seal(self, manifest: SealManifest) -> object:
        """Makes a seal's segments known."""

    def beat(self, receiver: str, sealed_until: datetime, at: datetime) -> object:
        """The receiver lives; every event it acknowledged before `sealed_until` is in a recorded segment."""

    def deregister(self, receiver: str) -> object:
        """The receiver has ended in order and holds nothing back: nobody waits for it."""


class Sealer:
    """Seals what the log has closed, in order.

    Args:
        log: of this receiver. receiver: its id. spool: where the log's files are.
        landing: root folder. ledger: who is told.
        clock: aware, UTC.
    """

    def __init__(
        self,
        log: WriteAheadLog,
        receiver: str,
        spool: Path,
        landing: Path,
        ledger: SealLedger,
        *,
        disk: Disk | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._log, self._receiver, self._spool, self._landing, self._ledger = log, receiver, spool, landing, ledger
        self._disk = disk or Disk()
        self._seals = SealWriter(landing, receiver, self._disk)
        self._clock = clock or (lambda: datetime.now(UTC))
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.problem: str | None = None

    def seal_once(self) -> bool:
        """Seals all that was received so far and tells the ledger; whether the ledger knows all of it now.

        Postgres away: segments and manifests are made all the same and recorded by a later call. A full disk leaves the log as it is.
        """
        with self._lock:
            try:
                sealed_until = self._log.rotate()
            except LogUnavailable:
                sealed_until = self._log.sealed_until  # no file is open: all that was acknowledged is in closed ones
            for number in self._log.closed():
                self._seal(number)
            recorded = self._record_all()
            if recorded:
                recorded = self._tell(lambda: self._ledger.beat(self._receiver, sealed_until, self._clock()))
            return recorded

    def unrecorded(self) -> list[int]:
        """Seals the ledger has not been told of yet, ascending."""
        return sorted(int(match.group(1)) for path in self._spool.iterdir() if (match := _SEALED.fullmatch(path.name)))

    def start(self, every: float) -> None:
        """Seals every so many seconds, and as soon as the log says it is full."""
        self._thread = threading.Thread(target=self._run, args=(every,), name="sealer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after its current seal."""
        self._stop.set()
        self._log.full.set()
        if self._thread is not None:
            self._thread.join()

    def leave(self) -> bool:
        """Seals the rest and deregisters; False if that could not be recorded (the receiver then counts as missing until it is back)."""
        return self.seal_once() and self._tell(lambda: self._ledger.deregister(self._receiver))

    def _run(self, every: float) -> None:
        while not self._stop.is_set():
            self._log.full.wait(every)
            if self._stop.is_set():
                return
            self._log.full.clear()
            try:
                if self.seal_once():
                    self.problem = None
            except OSError as error:
                self._report(f"cannot seal: {type(error).__name__} {error.strerror}: mend the disk of {self._landing.name} or the spool")
            except Exception as error:  # noqa: BLE001 - sealing must outlive what nobody foresaw; a text may hold a value, the type does not
                self._report(f"cannot seal: {type(error).__name__}; the log keeps everything")

    def _seal(self, number: int) -> None:
        """Makes seal `number` from the log's file of that number; a repeated call finds its way from wherever the last one stopped."""
        if not self._seals.manifest(number).exists():
            found = self._log.read(number)
            if found.damaged:
                aside = self._spool / f"damaged-{number:012d}.log"
                self._disk.put(aside, [self._log.path(number).read_bytes()])
                self._report(f"{self._log.path(number).name}: {found.damaged} bytes are damaged; the rest is sealed, the file is kept as {aside.name}")
            if not found.payloads:
                self._disk.remove(self._log.path(number))
                return
            self._seals.write(number, [decode(payload) for payload in found.payloads], self._clock, self._sealed_until(number))
        # From here on the manifest is what must not be forgotten: the mark stays until the ledger has it.
        self._disk.put(self._spool / f"{number:012d}.sealed", [])
        self._disk.remove(self._log.path(number))
        self._disk.sync_folder(self._spool)

    def _sealed_until(self, number: int) -> datetime:
        """When the next file was opened. If its first frame is damaged: when this one was, which claims less."""
        later = [other for other in self._log.numbers() if other > number]
        if not later:
            return self._log.sealed_until
        return self._log.read(later[0]).opened_at or self._log.read(number).opened_at or _EPOCH

    def _record_all(self) -> bool:
        """Records in order, so that a `sealed_until` never runs ahead of a segment; stops at the first that fails."""
        for number in self.unrecorded():
            manifest = SealManifest.model_validate_json(self._seals.manifest(number).read_bytes())
            if not self._tell(lambda manifest=manifest: self._ledger.record_seal(manifest)):  # type: ignore[misc]
                return False
            self._disk.remove(self._spool / f"{number:012d}.sealed")
        return True

    def _tell(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever the ledger's driver raises; its text may name a host, not an event
            self._report(f"the ledger takes nothing now ({type(error).__name__}): sealing goes on, recording is caught up")
            return False
        return True

    def _report(self, words: str) -> None:
        if words != self.problem:
            _LOG.warning("%s", words)
        self.problem = words
