"""Digests: what counts and what does not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from platform_defs.planning.digest import DIGEST_BYTES, inputs_digest, segments_digest

items = st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5), st.binary(max_size=5)), max_size=8)


@given(items, st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_count(contents: list[tuple[str, str, bytes]], random: object) -> None:
    shuffled = contents + contents[:1]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert inputs_digest(shuffled) == inputs_digest(contents)
    assert len(inputs_digest(contents)) == DIGEST_BYTES


@given(items, items)
def test_different_contents_differ(one: list[tuple[str, str, bytes]], other: list[tuple[str, str, bytes]]) -> None:
    """Parts cannot run into each other: the zero byte ends a text, and endpoint and partition keys hold none."""
    clean = [[(a.replace("\0", ""), b.replace("\0", ""), c) for a, b, c in each] for each in (one, other)]
    assert (inputs_digest(clean[0]) == inputs_digest(clean[1])) == (set(clean[0]) == set(clean[1]))


@given(st.lists(st.tuples(st.text(alphabet="abc/", max_size=6), st.text(alphabet="0123456789abcdef", min_size=2, max_size=2)), max_size=8))
def test_segments(segments: list[tuple[str, str]]) -> None:
    assert segments_digest(reversed(segments)) == segments_digest(segments)
    assert segments_digest([*segments, ("new", "00")]) != segments_digest(segments)


def test_two_items_are_not_one_that_spells_both() -> None:
    assert inputs_digest([("a", "b", b"c"), ("d", "e", b"f")]) != inputs_digest([("a", "b", b"cd\0e\0f")])
