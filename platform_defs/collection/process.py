"""The collector as a process: receiver and sealer together, on one spool, until it is told to stop."""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from platform_defs.collection.disk import Disk
from platform_defs.collection.receiver import ReceiverConfig, create_app
from platform_defs.collection.registry import Registry, RegistryView
from platform_defs.collection.sealer import Sealer, SealLedger
from platform_defs.collection.tokens import Tokens
from platform_defs.collection.validation import Limits
from platform_defs.collection.wal import LogUnavailable, WriteAheadLog, spool_key

_LOG = logging.getLogger(__name__)


class SpoolInUse(Exception):
    """Another collector has this spool."""


@dataclass(frozen=True)
class CollectorConfig:
    """One collector.

    Attributes:
        landing: root folder of segments, manifests and failed events.
        spool: folder of the write-ahead log; belongs to one collector at a time and stays with it: the receiver's id is in it.
        clients: `clients.json` (see `tokens`).
        registry: all contracts, cheap when unchanged: `Ledger.registry.current`.
        ledger: `Ledger.landing`.
        host, port: where to listen; port 0 takes a free one.
        seal_every: seconds. seal_bytes: of log, whichever comes first.
        on_ready: called with the port once requests are taken.
    """

    landing: Path
    spool: Path
    clients: Path
    registry: Registry
    ledger: SealLedger
    host: str = "127.0.0.1"
    port: int = 0
    seal_every: float = 10.0
    seal_bytes: int = 64 << 20
    look_every: float = 2.0
    limits: Limits = field(default_factory=Limits)
    in_flight_bytes: int = 64 << 20
    on_ready: Callable[[int], None] | None = None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    disk: Disk = field(default_factory=Disk)


class Collector:
    """Receiver and sealer without the HTTP server: `start`, serve `app`, `stop`. Also what tests drive.

    Raises:
        SpoolInUse: from the constructor.
        LogUnavailable: from the constructor: the spool's disk takes nothing.
    """

    def __init__(self, config: CollectorConfig) -> None:
        self._config = config
        disk = config.disk
        disk.make_folder(config.spool)
        disk.make_folder(config.landing)
        self._held = _hold(config.spool)
        self.receiver, key = spool_key(config.spool, disk)
        first = 1 + _last_seal(config.landing, config.spool, self.receiver)
        self.log = WriteAheadLog(config.spool, key=key, first=first, rotate_bytes=config.seal_bytes, disk=disk, clock=config.clock)
        self.sealer = Sealer(self.log, self.receiver, config.spool, config.landing, config.ledger, disk=disk, clock=config.clock)
        self.registry = RegistryView(config.registry, config.spool / "contracts.json", limits=config.limits, every=config.look_every, disk=disk)
        self.tokens = Tokens(config.clients)

    @property
    def app(self) -> Starlette:
        """The HTTP side."""
        return create_app(
            ReceiverConfig(
                log=self.log,
                registry=self.registry,
                tokens=self.tokens,
                limits=self._config.limits,
                health=self._health,
                in_flight_bytes=self._config.in_flight_bytes,
            )
        )

    def start(self) -> None:
        """Reads the contracts, seals and records what an earlier process left, makes itself known to the ledger, and seals from now on."""
        self.registry.start()
        try:
            self.sealer.seal_once()
        except OSError as error:
            _LOG.error("what an earlier process left cannot be sealed now (%s); it is tried again", type(error).__name__)
        self.sealer.start(self._config.seal_every)

    def stop(self) -> bool:
        """Seals all, deregisters, lets go of the spool. False if something stays to be sealed or recorded by the next start."""
        self.registry.stop()
        self.sealer.stop()
        try:
            return self.sealer.leave()
        except (OSError, LogUnavailable) as error:
            _LOG.error("not all is sealed (%s): the next start of the collector does it", type(error).__name__)
            return False
        finally:
            self.log.close()
            os.close(self._held)

    def _health(self) -> Mapping[str, Any]:
        return {
            "receiver": self.receiver,
            "sealed_until": self.log.sealed_until.isoformat(),
            "unrecorded_seals": len(self.sealer.unrecorded()),
            "log": self.log.problem,
            "sealer": self.sealer.problem,
        }


def server_config(app: Starlette) -> uvicorn.Config:
    """How the app is served."""
    return uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=10)


def run_collector(config: CollectorConfig) -> None:
    """Serves until SIGINT or SIGTERM; then requests under way are answered, all is sealed and the receiver deregisters.

    Raises:
        SpoolInUse: another collector has the spool.
        OSError: the address cannot be listened on.
    """
    with socket.create_server((config.host, config.port), backlog=1024) as listening:
        collector = Collector(config)
        server = _Server(
            server_config(collector.app),
            lambda: config.on_ready(listening.getsockname()[1]) if config.on_ready else None,
        )
        collector.start()
        try:
            # Batches live for milliseconds and hold no cycles: looking for garbage less often takes 4.6 us an event to 4.3.
            gc.freeze()
            gc.set_threshold(50_000, 20, 100)
            server.run(sockets=[listening])
        finally:
            collector.stop()
            for number, handler in server.handlers.items():
                signal.signal(number, handler)


class _Server(uvicorn.Server):
    """uvicorn that says when it takes requests."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self.handlers: dict[int, Any] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals end the serving and nothing else: uvicorn would raise them again behind it, and SIGTERM would kill us before the last seal."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        stopping: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)
        for number in stopping:
            self.handlers[number] = signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number in stopping:
                signal.signal(number, signal.SIG_IGN)  # the last seal takes a second; a second Ctrl-C must not cut it


def _hold(spool: Path) -> int:
    """A lock on the spool that ends with the process, however it ends."""
    descriptor = os.open(spool / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise SpoolInUse(f"{spool}: another collector runs on this spool: stop it, or give this one its own") from None
    return descriptor


def _last_seal(landing: Path, spool: Path, receiver: str) -> int:
    """The highest seal number this receiver used, as far as disk knows."""
    folders = (landing / "manifests" / receiver, r"(\d{12})\.json"), (spool, r"(?:wal-)?(\d{12})\.(?:log|sealed)")
    found = [match for folder, form in folders if folder.is_dir() for path in folder.iterdir() if (match := re.fullmatch(form, path.name))]
    return max((int(match.group(1)) for match in found), default=0)
