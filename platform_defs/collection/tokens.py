"""Who may send: the clients' tokens, kept as hashes in one file (`clients.json`, 0600: client -> sha256 of its token, hex)."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from pathlib import Path

from platform_defs.collection.disk import Disk

CLIENT_FORM = "1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
_CLIENT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_LOOK_EVERY = 1.0  # seconds; a look at each request cost 0.2 ms under load, as it lets go of the interpreter
_Stamp = tuple[int, int, int]


class Tokens:
    """The clients of a file; a changed file is seen within a second, a new token at once.

    A token has 256 random bits, so a plain hash keeps it; comparing goes through all clients and stops at none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self._looked_at = float("-inf")
        self._hashes: dict[str, bytes] = {}

    def client_of(self, authorization: str | None) -> str | None:
        """The client of an `Authorization: Bearer <token>` header; None if there is none."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        given = _hash(token.strip()).encode()
        return self._find(given, _LOOK_EVERY) or self._find(given, 0.0)

    def _find(self, given: bytes, age: float) -> str | None:
        found = None
        for client, kept in self._current(age).items():
            if hmac.compare_digest(given, kept):
                found = client
        return found

    def _current(self, age: float) -> dict[str, bytes]:
        """The clients as the file had them `age` seconds ago or later."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked_at < age:
                return self._hashes
            self._looked_at = now
            try:
                stat = self._path.stat()
            except FileNotFoundError:
                self._hashes, self._stamp = {}, None
                return self._hashes
            stamp = stat.st_mtime_ns, stat.st_size, stat.st_ino
            if stamp != self._stamp:
                self._hashes = {client: kept.encode() for client, kept in _read(self._path).items()}
                self._stamp = stamp
            return self._hashes


def add_client(path: Path, client: str, disk: Disk | None = None) -> str:
    """Makes a token for a client (a new one if it has one: the old one is void) and returns it; only its hash is kept.

    Raises:
        ValueError: the name is none; it says which are.
    """
    if not may_be_client(client):
        raise ValueError(f"{client!r} cannot be a client's name: write {CLIENT_FORM}")
    token = secrets.token_urlsafe(32)
    _write(path, {**_read(path), client: _hash(token)}, disk or Disk())
    return token


def remove_client(path: Path, client: str, disk: Disk | None = None) -> bool:
    """Voids a client's token; False if it had none."""
    hashes = _read(path)
    found = hashes.pop(client, None) is not None
    if found:
        _write(path, hashes, disk or Disk())
    return found


def may_be_client(name: str) -> bool:
    """Whether a client can have that name (`CLIENT_FORM` in words)."""
    return _CLIENT.fullmatch(name) is not None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _read(path: Path) -> dict[str, str]:
    try:
        return {str(client): str(kept) for client, kept in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}


def _write(path: Path, hashes: dict[str, str], disk: Disk) -> None:
    disk.put(path, [(json.dumps(hashes, indent=2, sort_keys=True) + "\n").encode()])
