"""The key-encryption key (KEK): the one secret outside the vault's database, and the only way to open what is in it.

A KEK wraps 32-byte keys and says which KEK it is, so that a vault opened with the wrong one is refused by name. Two forms: a 0600 JSON file, or a
key in a cloud's key service. Which keys it wraps is the vault's matter.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from platform_defs.privacy.identity import KEY_BYTES

_NONCE_BYTES = 12


class KeyProblem(RuntimeError):
    """A key that is missing, readable by others, damaged, or not the one that wrapped what it is asked to open."""


class KeyEncryptionKey(Protocol):
    """What the vault asks of its KEK."""

    @property
    def key_id(self) -> str:
        """Which KEK this is; no secret."""

    def elsewhere(self) -> Callable[[], KeyEncryptionKey]:
        """What makes this KEK in another process. It can be pickled, and may hold the secret: for a pipe between the two, for nothing that is kept."""

    def wrap(self, key: bytes, purpose: str) -> bytes:
        """The key under this KEK; `purpose` must be said again to open it."""

    def unwrap(self, wrapped: bytes, purpose: str) -> bytes:
        """The key; raises KeyProblem if this KEK or this purpose did not wrap it."""


class FileKek:
    """A KEK in a JSON file that only its owner may read: `{"key_id": ..., "key": base64}`."""

    def __init__(self, key_id: str, key: bytes) -> None:
        self._key_id, self._key = key_id, key
        self._cipher = AESGCM(key)

    @classmethod
    def load(cls, path: Path) -> FileKek:
        """Reads the file; raises KeyProblem if it is missing, damaged, or readable by group or others."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            raise KeyProblem(f"{path} is missing: without it the vault stays closed. Restore it from where you keep it safe") from None
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(descriptor).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise KeyProblem(f"{path} may be read by others: run `chmod 600 {path}`")
            try:
                held = json.loads(file.read())
                key = base64.b64decode(held["key"], validate=True)
                key_id = str(held["key_id"])
            except (ValueError, KeyError, TypeError):
                raise KeyProblem(f"{path} is damaged: it must be JSON with `key_id` and `key` in base64. Restore it from where you keep it safe") from None
        if len(key) != KEY_BYTES:
            raise KeyProblem(f"{path} is damaged: its key has {len(key)} bytes instead of {KEY_BYTES}. Restore it from where you keep it safe")
        return cls(key_id, key)

    @classmethod
    def load_or_create(cls, path: Path) -> FileKek:
        """Reads the file, or makes it with a new key if there is none. Of several that make it at once, one wins and all read its file."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            content = json.dumps({"key_id": f"file:{secrets.token_hex(8)}", "key": base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()})
            draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                # A link, not a rename: it fails if another process was first, and the file appears whole.
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink(missing_ok=True)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return cls.load(path)

    @property
    def key_id(self) -> str:
        """Made with the key."""
        return self._key_id

    def elsewhere(self) -> Callable[[], FileKek]:
        """Holds the key."""
        return partial(FileKek, self._key_id, self._key)

    def wrap(self, key: bytes, purpose: str) -> bytes:
        """AES-256-GCM with a random nonce; the purpose is authenticated."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, key, purpose.encode())

    def unwrap(self, wrapped: bytes, purpose: str) -> bytes:
        """The key; raises KeyProblem."""
        try:
            return self._cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], purpose.encode())
        except (InvalidTag, ValueError):
            raise KeyProblem(f"the key-encryption key {self._key_id} did not wrap the vault's {purpose}: give the one that did") from None


class KmsKek:
    """A KEK that never leaves a key service (AWS KMS through boto3, or what speaks like it).

    Args:
        key: id, alias or ARN of the KMS key.
        connect: makes a boto3 `kms` client; a function of a module or a partial of one, where the vault is to be opened in other processes too.
    """

    def __init__(self, key: str, connect: Callable[[], Any]) -> None:
        self._key, self._connect = key, connect

    @property
    def key_id(self) -> str:
        """The name of the KMS key."""
        return f"kms:{self._key}"

    @cached_property
    def _client(self) -> Any:
        return self._connect()

    def elsewhere(self) -> Callable[[], KmsKek]:
        """Connects anew there."""
        return partial(KmsKek, self._key, self._connect)

    def wrap(self, key: bytes, purpose: str) -> bytes:
        """KMS Encrypt; the purpose is its encryption context, so it shows in the key's audit log."""
        return bytes(self._client.encrypt(KeyId=self._key, Plaintext=key, EncryptionContext={"backline": purpose})["CiphertextBlob"])

    def unwrap(self, wrapped: bytes, purpose: str) -> bytes:
        """KMS Decrypt; raises KeyProblem if the service refuses."""
        from botocore.exceptions import ClientError

        try:
            return bytes(self._client.decrypt(KeyId=self._key, CiphertextBlob=wrapped, EncryptionContext={"backline": purpose})["Plaintext"])
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            raise KeyProblem(f"the key service did not open the vault's {purpose} with {self._key} ({code}): check the key and who may use it") from None
