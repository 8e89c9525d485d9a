"""What a source's function may use: secrets that show nowhere, files, and saying that nothing is there yet."""

from __future__ import annotations

import json
import pickle

import pytest

from platform_defs.contracts import NotReady, current_secret
from platform_defs.contracts.durations import DurationError
from platform_defs.contracts.sources import Secret, SecretMissing, SecretNotDeclared, secrets_of

KEPT = {"vendor_s3": {"aws_access_key_id": "AKIA-canary", "aws_secret_access_key": "canary"}}


def test_a_secret_is_handed_on_and_never_shown() -> None:
    with secrets_of(KEPT.get, ["vendor_s3"]):
        secret = current_secret("vendor_s3")
    assert dict(**secret) == KEPT["vendor_s3"]
    assert [f"{secret}", repr(secret), str([secret]), f"{secret!r}"] == ["***", "***", "[***]", "***"]
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError, match="not written anywhere"):
        pickle.dumps(secret)


def test_an_unset_secret_waits_and_says_how_to_set_it() -> None:
    with secrets_of(KEPT.get, ["other"]), pytest.raises(NotReady, match=r"'other' is not set.*secrets.json") as caught:
        current_secret("other")
    assert isinstance(caught.value, SecretMissing)
    assert caught.value.retry_seconds == 600


def test_an_undeclared_secret_is_refused_even_if_it_is_set() -> None:
    with secrets_of(KEPT.get, ["a"]), pytest.raises(SecretNotDeclared, match=r"secrets=\['a', 'vendor_s3'\]"):
        current_secret("vendor_s3")


def test_outside_of_a_source_there_is_none() -> None:
    with secrets_of(KEPT.get, ["vendor_s3"]):
        pass
    with pytest.raises(SecretNotDeclared, match="outside a running source"):
        current_secret("vendor_s3")


def test_not_ready_says_when_to_look_again() -> None:
    assert NotReady("the file is not there yet", retry="90s").retry_seconds == 90
    with pytest.raises(DurationError, match="whole number"):
        NotReady("later", retry="later")


def test_secrets_are_equal_by_what_they_hold() -> None:
    assert Secret({"a": "b"}) == Secret({"a": "b"})
    assert Secret({"a": "b"}) != Secret({"a": "c"})
