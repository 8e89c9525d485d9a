"""Reversible fields: what goes in comes out, equal in gives equal out, and nothing opens for another person, field or change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_defs.privacy.encryption import FieldCipher, Undecipherable

ADA, BOB = bytes(range(32)), bytes(range(1, 33))
EMAIL, PHONE = FieldCipher("email"), FieldCipher("phone")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_a_value_comes_back_and_equal_values_are_equal_bytes(value: object) -> None:
    stored = EMAIL.encrypt(ADA, value)
    assert EMAIL.decrypt(ADA, stored) == value
    assert FieldCipher("email").encrypt(ADA, value) == stored


def test_another_person_or_field_gives_other_bytes_and_opens_nothing() -> None:
    stored = EMAIL.encrypt(ADA, "ada@example.org")
    for cipher, person in ((EMAIL, BOB), (PHONE, ADA)):
        assert cipher.encrypt(person, "ada@example.org")[1:13] != stored[1:13]
        assert cipher.encrypt(person, "ada@example.org")[13:] != stored[13:]
        with pytest.raises(Undecipherable, match="does not open"):
            cipher.decrypt(person, stored)


@given(st.integers(min_value=0), st.integers(1, 255))
def test_any_changed_byte_is_noticed(place: int, change: int) -> None:
    stored = bytearray(EMAIL.encrypt(ADA, "ada@example.org"))
    stored[place % len(stored)] ^= change
    with pytest.raises(Undecipherable):
        EMAIL.decrypt(ADA, bytes(stored))


@pytest.mark.parametrize("stored", [b"", b"\x02", b"\x01" + bytes(60)])
def test_what_was_never_encrypted_is_named(stored: bytes) -> None:
    with pytest.raises(Undecipherable, match="not an encrypted field"):
        EMAIL.decrypt(ADA, stored)


def test_the_value_is_not_in_the_bytes() -> None:
    assert b"ada" not in EMAIL.encrypt(ADA, "ada@example.org")


def test_two_values_have_two_nonces() -> None:
    assert len({EMAIL.encrypt(ADA, f"user{i}@example.org")[1:13] for i in range(2000)}) == 2000
