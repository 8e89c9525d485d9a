"""Reversible personal fields: AES-256-GCM under a key of the person and the field, with a nonce derived from the value.

Equal value, person and field give equal bytes, so that a rebuild changes nothing; destroying the person's key makes all of it unreadable. Pure.
A stored value is: one byte of format, 12 of nonce, the ciphertext, 16 of tag. The plaintext is the value's JSON.
"""

from __future__ import annotations

import json
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from platform_defs.privacy.identity import KEY_BYTES, mac, message

_FORMAT = b"\x02"  # 1 derived by HMAC, with a key of its own for nonces
_NONCE_BYTES = 12
_TAG_BYTES = 16
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)  # `json.dumps` makes one a call


class Undecipherable(ValueError):
    """Bytes that this person's key and this field's name do not open."""


class FieldCipher:
    """Encrypts and opens the values of one field, of anybody whose key is given.

    The field's name is part of what keys are derived with: a value copied into another field, or to another person, does not open there. With a person's key
    itself nothing is encrypted, and messages it is used with for one end (here, and where pseudonyms are made) are none for another.
    """

    def __init__(self, field: str) -> None:
        self._sealing, self._naming = message("field", field), message("nonce", field)

    def encrypt(self, person_key: bytes, value: Any) -> bytes:
        """The stored form of a JSON value. Deterministic."""
        plain = _ENCODER.encode(value).encode()
        # Derived from the plaintext: two values share a nonce only if its 96 bits collide.
        nonce = mac(person_key, self._naming + plain, _NONCE_BYTES)
        return _FORMAT + nonce + AESGCM(mac(person_key, self._sealing, KEY_BYTES)).encrypt(nonce, plain, _FORMAT)

    def decrypt(self, person_key: bytes, stored: bytes) -> Any:
        """The JSON value; raises Undecipherable if the bytes were made for another person or field, or were changed."""
        if len(stored) < len(_FORMAT) + _NONCE_BYTES + _TAG_BYTES or stored[:1] != _FORMAT:
            raise Undecipherable("not an encrypted field: its length or its first byte is not of the known format")
        try:
            plain = AESGCM(mac(person_key, self._sealing, KEY_BYTES)).decrypt(stored[1 : 1 + _NONCE_BYTES], stored[1 + _NONCE_BYTES :], _FORMAT)
        except InvalidTag:
            raise Undecipherable("this person's key does not open it: made for another person or field, or changed since") from None
        return json.loads(plain)
