"""Reversible personal fields: AES-256-GCM under a key of the person and the field, with a nonce derived from the value.

Equal value, person and field give equal bytes, so that a rebuild changes nothing; destroying the person's key makes all of it unreadable. Pure.
A stored value is: one byte of format, 12 of nonce, the ciphertext, 16 of tag. The plaintext is the value's JSON.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from platform_defs.privacy.identity import keyed, message

_FORMAT = b"\x01"
_NONCE_BYTES = 12
_TAG_BYTES = 16
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)  # `json.dumps` makes one a call


class Undecipherable(ValueError):
    """Bytes that this person's key and this field's name do not open."""


@cache
def _labels(field: str) -> tuple[bytes, bytes]:
    """What the field's two keys are derived with: the same for all people."""
    return message("field", field), message("nonce", field)


class FieldCipher:
    """Encrypts and opens the values of one field of one person.

    The field's name is part of the key: a value copied into another field, or to another person, does not open there.
    """

    def __init__(self, person_key: bytes, field: str) -> None:
        seal, nonce = _labels(field)
        self._seal = AESGCM(keyed(person_key, seal))
        self._nonce_key = keyed(person_key, nonce)

    def encrypt(self, value: Any) -> bytes:
        """The stored form of a JSON value. Deterministic."""
        plain = _ENCODER.encode(value).encode()
        # Derived from the plaintext under its own key: two values share a nonce only if 96 bits of HMAC collide.
        nonce = keyed(self._nonce_key, plain)[:_NONCE_BYTES]
        return _FORMAT + nonce + self._seal.encrypt(nonce, plain, _FORMAT)

    def decrypt(self, stored: bytes) -> Any:
        """The JSON value; raises Undecipherable if the bytes were made for another person or field, or were changed."""
        if len(stored) < len(_FORMAT) + _NONCE_BYTES + _TAG_BYTES or stored[:1] != _FORMAT:
            raise Undecipherable("not an encrypted field: its length or its first byte is not of the known format")
        try:
            plain = self._seal.decrypt(stored[1 : 1 + _NONCE_BYTES], stored[1 + _NONCE_BYTES :], _FORMAT)
        except InvalidTag:
            raise Undecipherable("this person's key does not open it: made for another person or field, or changed since") from None
        return json.loads(plain)
