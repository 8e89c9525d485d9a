"""Keyed names: unambiguous, keyed, stable."""

from __future__ import annotations

import hashlib
import hmac

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_defs.privacy.identity import event_id, event_ids, keyed_name, keyed_names, lookup_of, lookups_of, mac, message, pads, plain_name

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=4)
KEY = bytes(range(32))


@given(TEXTS, TEXTS)
def test_other_parts_give_another_message(one: list[str], other: list[str]) -> None:
    assert (message(*one) == message(*other)) == (one == other)


def test_parts_cannot_be_shifted_into_each_other() -> None:
    assert event_id(KEY, "web", "a/b", "1") != event_id(KEY, "weba", "/b", "1")
    assert message("1:a,", "") != message("", "1:a,")


def test_an_event_id_is_the_hmac_of_its_identity_and_never_changes() -> None:
    assert event_id(KEY, "web", "listening/track_played", "01") == hmac.new(KEY, b"3:web,22:listening/track_played,2:01,", hashlib.sha256).digest()[:16]
    assert event_id(KEY, "web", "listening/track_played", "01") != event_id(KEY[::-1], "web", "listening/track_played", "01")


def test_kinds_do_not_meet() -> None:
    assert lookup_of(KEY, "person", "7") != lookup_of(KEY, "device", "7")


@given(st.binary(max_size=64), TEXTS)
def test_the_pads_are_those_of_hmac(key: bytes, parts: list[str]) -> None:
    inner, outer = pads(key)
    digest = hashlib.sha256(outer + hashlib.sha256(inner + message(*parts)).digest()).digest()
    assert digest[:16] == keyed_name(key, *parts)


@given(st.binary(max_size=64), st.lists(st.binary(max_size=200), max_size=5))
def test_names_of_many_are_hmac_of_each(key: bytes, texts: list[bytes]) -> None:
    assert keyed_names(key, texts) == [hmac.digest(key, each, "sha256")[:16] for each in texts]


def test_what_is_derived_of_a_person_never_changes() -> None:
    # By another implementation of RFC 7693: OpenSSL's, whose MAC is keyed as ours.
    assert mac(KEY, b"abc", 16).hex() == "1a64be47e4729d951c302ee543f97cf3"
    assert mac(KEY, b"abc", 32).hex() == "d63a32d3e44738d7907f964316c241adaba0abfeabc32349677578a15a203f7f"
    assert mac(KEY[::-1], b"abc", 32) != mac(KEY, b"abc", 32)


@pytest.mark.parametrize("key", [b"", KEY[:16], KEY * 2])
def test_nothing_is_derived_of_another_key_than_a_persons(key: bytes) -> None:
    with pytest.raises(ValueError, match=f"a key of {len(key)} bytes"):
        mac(key, b"abc", 16)


IDS = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=8))


@given(st.lists(st.tuples(IDS, IDS), max_size=6))
def test_ids_of_many_events_and_people_are_those_of_each(identities: list[tuple[str | None, str | None]]) -> None:
    clients, identifiers = (pa.array([pair[place] for pair in identities], pa.string()) for place in (0, 1))
    wanted = [None if None in pair else event_id(KEY, str(pair[0]), "a/é", str(pair[1])) for pair in identities]
    assert event_ids(KEY, "a/é", clients, identifiers) == wanted
    named = [pair[1] for pair in identities if pair[1] is not None]
    assert lookups_of(KEY, "person", named) == [lookup_of(KEY, "person", each) for each in named]


def test_too_long_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 64"):
        pads(bytes(65))


def test_a_plain_name_needs_no_key() -> None:
    assert plain_name("person", "7") == hashlib.sha256(b"6:person,1:7,").digest()[:16]
