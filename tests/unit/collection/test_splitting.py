"""Cutting arrays: what a JSON parser sees as elements, byte for byte, and nothing from what is no array."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_defs.collection.splitting import Splitter

SPLITTER = Splitter(32)
SPACE = st.text(alphabet=" \t\r\n", max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(st.tuples(VALUES, st.booleans(), SPACE, SPACE), max_size=8), SPACE, SPACE)
def test_elements_are_cut_as_they_were_written(elements: list[tuple[object, bool, str, str]], before: str, after: str) -> None:
    written = [json.dumps(value, ensure_ascii=escaped) for value, escaped, _, _ in elements]
    padded = [left + text + right for text, (_, _, left, right) in zip(written, elements, strict=True)]
    slices = SPLITTER.split(f"{before}[{','.join(padded) or before}]{after}".encode())
    assert slices is not None
    assert [one.body.decode() for one in slices] == written
    assert not any(one.deep for one in slices)


@given(st.binary(max_size=60) | st.text(alphabet='[]{},:"\\ a1\n', max_size=60).map(str.encode))
def test_any_bytes_are_cut_or_refused(body: bytes) -> None:
    slices = SPLITTER.split(body)
    try:
        value = json.loads(body)
    except ValueError:
        return
    if isinstance(value, list):
        assert slices is not None
        assert [json.loads(one.body) for one in slices] == value
    else:
        assert slices is None


@pytest.mark.parametrize("body", [b"", b"[", b"]", b"[1", b"[1,", b"[1,]", b"[,1]", b'["a]', b"[{]", b"[1] 2", b"[1]]", b"{}", b"1", b'[{"a":"x}, {"b":"y"}]'])
def test_what_is_no_array_is_refused(body: bytes) -> None:
    assert SPLITTER.split(body) is None


def test_a_deep_element_is_marked_and_hurts_no_neighbour() -> None:
    deep = b"[" * 33 + b'"]"' + b"]" * 33
    slices = SPLITTER.split(b'[{"a":1}, ' + deep + b' ,"[",' + b"[" * 100_000 + b"]" * 100_000 + b"]")
    assert slices is not None
    assert [(one.body[:8], one.deep) for one in slices] == [(b'{"a":1}', False), (b"[" * 8, True), (b'"["', False), (b"[" * 8, True)]
    assert slices[1].body == deep


def test_the_limit_is_the_last_depth_taken() -> None:
    slices = SPLITTER.split(b"[" + b"[" * 32 + b"]" * 32 + b"]")
    assert slices is not None
    assert not slices[0].deep
