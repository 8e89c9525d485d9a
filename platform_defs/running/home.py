"""The home of one installation: its folders with their modes, the lock that lets one Backline run in it, free ports and tokens.

What runs in it is the supervisor's matter; where its parts are is `resources.settings.Settings`.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PRIVATE = 0o700
# Folders of a home and who may look in; `None` leaves the mode to the umask (tables are shared by file mode later, by access rules).
_FOLDERS: dict[str, int | None] = {
    "dagster": PRIVATE,
    "lake": None,
    "landing": PRIVATE,
    "logs": PRIVATE,
    "run": PRIVATE,
    "spool": PRIVATE,
    "vault": PRIVATE,
}
# A unix socket's path may have 107 bytes on Linux and 103 on macOS.
_SOCKET_PATH_BYTES = 107 if sys.platform.startswith("linux") else 103
_PROBE_SECONDS = 1.0
_PORTS_TRIED = 20
_LONGEST_SOCKET_NAME = 32  # `code-<domain>.sock`


class HomeUnusable(RuntimeError):
    """The home's folder cannot be made or written."""


class AlreadyRunning(RuntimeError):
    """Another Backline holds this home."""


@dataclass(frozen=True)
class Holder:
    """Who holds a home's lock.

    Attributes:
        pid: of the supervisor.
        mark: what all its processes carry in their environment (see keeper).
        since: when it took the lock; aware, UTC.
    """

    pid: int
    mark: str
    since: datetime


class Home:
    """The folders below BACKLINE_HOME. Making the object touches nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def run(self) -> Path:
        """Addresses, tokens, the lock (0700)."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """Logs of processes and runs (0700)."""
        return self.root / "logs"

    def prepare(self) -> None:
        """Makes the folders with their modes; harmless if they are there. Raises HomeUnusable if that is not allowed or the path is too long for sockets."""
        longest = _SOCKET_PATH_BYTES - _LONGEST_SOCKET_NAME - len("/run/")
        if len(os.fsencode(self.root)) > longest:
            raise HomeUnusable(f"{self.root} is too long a path: sockets below it would not open. Set BACKLINE_HOME to a folder of at most {longest} bytes.")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for name, mode in _FOLDERS.items():
                folder = self.root / name
                folder.mkdir(exist_ok=True)
                if mode is not None and folder.stat().st_mode & 0o777 != mode:
                    folder.chmod(mode)
            with tempfile.TemporaryFile(dir=self.run) as probe:
                probe.write(b"writable")
        except OSError as error:
            raise HomeUnusable(
                f"Backline keeps its state in {self.root}, which cannot be written: {error.strerror}. Set BACKLINE_HOME to a folder that can be."
            ) from error

    def lock(self) -> HomeLock:
        """The lock of this home, not yet taken."""
        return HomeLock(self.run / "lock")


class HomeLock:
    """The right to run Backline in a home. Held by the kernel for the process, so a killed holder leaves no lock behind."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    def take(self) -> Holder | None:
        """Takes the lock; returns the earlier holder if it ended without giving the lock back, so that its remains can be cleared.

        Raises AlreadyRunning if somebody holds it.
        """
        file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(file)
            file.close()
            who = f" (process {holder.pid}, since {holder.since:%Y-%m-%d %H:%M:%S} UTC)" if holder else ""
            raise AlreadyRunning(
                f"Backline already runs in {self._path.parents[1]}{who}. ./backline status shows what it does, ./backline down stops it; "
                "for a second one beside it set BACKLINE_HOME to another folder."
            ) from None
        self._file = file
        return _read(file)

    def sign(self, mark: str) -> None:
        """Says who holds the lock. Called once the earlier holder's remains are gone: until then its mark must stay readable."""
        self._write(json.dumps({"pid": os.getpid(), "mark": mark, "since": datetime.now(UTC).isoformat()}))

    def release(self, *, clean: bool = True) -> None:
        """Gives the lock back; harmless if it is not held. `clean` False leaves the holder's mark for the next one to clear up after."""
        if self._file is None:
            return
        if clean:
            self._write("")
        self._file.close()
        self._file = None

    def holder(self) -> Holder | None:
        """Who holds the lock now; None if nobody does."""
        try:
            with self._path.open("r+", encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return _read(file)
        except FileNotFoundError:
            return None
        return None

    def _write(self, text: str) -> None:
        # In place: a renamed file would be another lock.
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()


class Port:
    """A TCP port of the loopback for a server that is still to start. Until it is closed neither the system nor another Backline gives it away.

    Attributes:
        number: of the port.
    """

    def __init__(self, wanted: int) -> None:
        """`wanted` 0: any. Raises OSError if somebody listens there, or holds it."""
        self._bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._name = socket.socket(socket.AF_UNIX)
        try:
            # As servers do: a port whose last connections linger counts as free, and who listens there later may.
            self._bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._bound.bind(("127.0.0.1", wanted))
            self.number = int(self._bound.getsockname()[1])
            if sys.platform == "linux":  # another Backline could bind it in the same way; a name without a file has one owner, and ends with it
                self._name.bind(f"\0backline-port-{self.number}")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Gives it back; who listens there goes on."""
        self._bound.close()
        self._name.close()


def free_port(wanted: int | None = None) -> Port:
    """A port nobody listens on and nobody holds: the wanted one if it is free, else any."""
    for port in (wanted, *[0] * _PORTS_TRIED):
        if port is not None:
            with suppress(OSError):
                return Port(port)
    raise OSError("no free TCP port on 127.0.0.1")


def accepts(address: tuple[str, int] | str) -> bool:
    """Whether somebody takes connections at a TCP address or at a unix socket's path."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        return probe.connect_ex(address) == 0


def new_token() -> str:
    """A secret of 256 bits in URL-safe letters."""
    return secrets.token_urlsafe(32)


def wait_until(ready: Callable[[], bool], seconds: float, pause: float = 0.05) -> bool:
    """Asks `ready` until it says yes or the time is over; whether it said yes."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
    return True


def _read(file: Any) -> Holder | None:
    file.seek(0)
    try:
        value = json.loads(file.read())
        return Holder(pid=int(value["pid"]), mark=str(value["mark"]), since=datetime.fromisoformat(value["since"]))
    except (ValueError, KeyError, TypeError):
        return None
