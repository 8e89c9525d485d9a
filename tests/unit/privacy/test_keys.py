"""The key-encryption key: private on disk, named, and of no use for what it did not wrap."""

from __future__ import annotations

import json
import pickle
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from platform_defs.privacy.keys import FileKek, KeyProblem, KmsKek

SECRET = bytes(range(32))


def test_the_file_is_made_private_and_opens_again(tmp_path: Path) -> None:
    path = tmp_path / "vault" / "kek.json"
    wrapped = FileKek.load_or_create(path).wrap(SECRET, "index key")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SECRET not in wrapped
    again = FileKek.load(path)
    assert again.unwrap(wrapped, "index key") == SECRET
    assert json.loads(path.read_text())["key_id"] == again.key_id
    assert [entry.name for entry in path.parent.iterdir()] == ["kek.json"]


def test_of_many_that_make_it_at_once_all_get_the_same(tmp_path: Path) -> None:
    path = tmp_path / "kek.json"
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: FileKek.load_or_create(path).key_id, range(32)))
    assert len(ids) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "kek.json"
    FileKek.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(KeyProblem, match="chmod 600"):
        FileKek.load(path)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"key_id": "a", "key": "!"}', '{"key_id": "a", "key": "QUJD"}'])
def test_a_damaged_file_is_named_without_its_content(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kek.json"
    path.touch(0o600)
    path.write_text(content)
    with pytest.raises(KeyProblem, match=r"kek\.json is damaged") as caught:
        FileKek.load(path)
    assert "QUJD" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match="is missing"):
        FileKek.load(tmp_path / "kek.json")


def test_another_key_or_purpose_opens_nothing() -> None:
    kek = FileKek("one", bytes(32))
    wrapped = kek.wrap(SECRET, "index key")
    with pytest.raises(KeyProblem, match="event key"):
        kek.unwrap(wrapped, "event key")
    with pytest.raises(KeyProblem, match="two did not wrap"):
        FileKek("two", SECRET).unwrap(wrapped, "index key")
    with pytest.raises(KeyProblem):
        kek.unwrap(b"short", "index key")


@pytest.fixture
def kms() -> Any:
    return boto3.client("kms", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")


def connect() -> str:
    return "a client"


def test_in_another_process_they_are_the_same() -> None:
    file, service = (pickle.loads(pickle.dumps(kek.elsewhere()))() for kek in (FileKek("f", SECRET), KmsKek("alias/backline", connect)))
    assert file.unwrap(FileKek("f", SECRET).wrap(SECRET, "index key"), "index key") == SECRET
    assert (service.key_id, service._client) == ("kms:alias/backline", "a client")


def test_a_key_service_wraps_with_the_purpose_as_context(kms: Any) -> None:
    kek = KmsKek("alias/backline", lambda: kms)
    context = {"backline": "index key"}
    with Stubber(kms) as stub:
        stub.add_response("encrypt", {"CiphertextBlob": b"wrapped"}, {"KeyId": "alias/backline", "Plaintext": SECRET, "EncryptionContext": context})
        stub.add_response("decrypt", {"Plaintext": SECRET}, {"KeyId": "alias/backline", "CiphertextBlob": b"wrapped", "EncryptionContext": context})
        stub.add_client_error("decrypt", "AccessDeniedException")
        assert kek.unwrap(kek.wrap(SECRET, "index key"), "index key") == SECRET
        with pytest.raises(KeyProblem, match="AccessDeniedException"):
            kek.unwrap(b"wrapped", "index key")
