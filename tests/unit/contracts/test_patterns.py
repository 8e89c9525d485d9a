"""Plain patterns: what is inside, what is outside, and that Pydantic's engine and Python's mean the same by them."""

from __future__ import annotations

import re
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from platform_defs.contracts.patterns import PatternError, example_text, java_pattern, parse

_CHARS = st.sampled_from(["a", "b", "z", "0", "_", r"\.", r"\-", "é", "\\\\", "@", " "])
_CLASSES = st.sampled_from(["[a-c]", "[^a-c]", "[a-zA-Z0-9_]", r"[\-a]", "[a-]", "[é-ü]", r"[\]x]", "[ &~]"])
_TIMES = st.sampled_from(["", "", "", "?", "*", "+", "{2}", "{0,2}", "{1,}"])
_ATOMS = st.builds(lambda item, times: item + times, _CHARS | _CLASSES, _TIMES)
_GROUPS = st.builds(
    lambda options, times: f"({'|'.join(options)}){times}",
    st.lists(st.lists(_ATOMS, max_size=3).map("".join), min_size=1, max_size=3),
    st.sampled_from(["", "?", "{2}", "{0,3}"]),
)
PATTERNS = st.lists(_ATOMS | _GROUPS, max_size=5).map(lambda parts: f"^{''.join(parts)}$")
TEXTS = st.text(alphabet="abcz0_.-é]\\@ &~\n\r\u2028x", max_size=8)


def pydantic_says(pattern: str, text: str) -> bool:
    try:
        TypeAdapter(Annotated[str, Field(pattern=pattern)]).validate_python(text)
    except ValidationError:
        return False
    return True


@given(PATTERNS, TEXTS)
@settings(max_examples=400, deadline=None)
def test_pydantic_and_python_mean_the_same(pattern: str, text: str) -> None:
    parse(pattern)
    assert pydantic_says(pattern, text) is bool(re.fullmatch(pattern[1:-1], text))


@given(PATTERNS, st.integers(min_value=0, max_value=10_000))
@settings(max_examples=300, deadline=None)
def test_an_example_matches_and_is_always_the_same(pattern: str, n: int) -> None:
    text = example_text(pattern, n)
    assert pydantic_says(pattern, text)
    assert example_text(pattern, n) == text


def test_examples_differ_as_far_as_there_is_room() -> None:
    assert len({example_text(r"^trk_[a-z0-9]{8}$", n) for n in range(5000)}) == 5000
    assert len({example_text(r"^[A-Z]{2}$", n) for n in range(26 * 26)}) == 26 * 26
    assert {example_text(r"^a$", n) for n in range(9)} == {"a"}


def test_a_trailing_line_end_is_no_match_in_java_either() -> None:
    assert java_pattern(r"^trk_[a-z0-9]{8}$") == r"^trk_[a-z0-9]{8}\z"
    assert not pydantic_says(r"^trk_[a-z0-9]{8}$", "trk_aaaaaaaa\n")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("abc", "not anchored"),
        ("^abc", "not anchored"),
        ("abc$", "not anchored"),
        ("^", "not anchored"),
        (r"^abc\$", "not anchored"),
        ("^a|b$", r"\^\(a\|b\)\$"),
        ("^a.b$", "bare ."),
        (r"^\d+$", r"\[0-9\]"),
        (r"^\w+$", r"\[A-Za-z0-9_\]"),
        (r"^\s$", "common subset"),
        (r"^a\b$", "common subset"),
        (r"^\p{L}+$", "common subset"),
        ("^(?i)a$", "flags"),
        ("^(?=a)a$", "look-around"),
        ("^(?P<n>a)$", "named groups"),
        (r"^(a)\1$", "common subset"),
        ("^a+?$", "lazy"),
        ("^a++$", "lazy and possessive"),
        ("^(ab)*$", "without end"),
        ("^(a|b)+$", "limit"),
        ("^(a{1,}){2,}$", "limit"),
        ("^(ab){0,257}$", "up to 257 times"),
        ("^((a|b){0,20}){0,20}$", "up to 420 times"),
        ("^a{2,1}$", "m <= n"),
        ("^a{9999}$", "max_length"),
        ("^a{x}$", "{m,n}"),
        ("^a{04}$", "leading zeros"),
        ("^a{1,09}$", "leading zeros"),
        ("^[+--]$", r"written \+-\\-"),
        ("^{a$", "not expected here"),
        ("^*a$", "not expected here"),
        ("^a^b$", "not expected here"),
        ("^[]a]$", "empty"),
        ("^[z-a]$", "backwards"),
        ("^[a&&b]$", "operator"),
        ("^[[:alpha:]]$", "must be written"),
        ("^[a$", "not finished"),
        ("^(a$", "no \\)"),
        ("^a)$", r"without its \("),
        ("^[é-\\d]$", "common subset"),
    ],
)
def test_what_is_outside_is_named(pattern: str, words: str) -> None:
    with pytest.raises(PatternError, match=words):
        parse(pattern)
