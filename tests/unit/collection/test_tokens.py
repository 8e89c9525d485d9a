"""Tokens: hashed, renewed, voided, seen without a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_defs.collection.tokens import Tokens, add_client, remove_client


def test_a_token_names_its_client_and_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "clients.json"
    tokens = Tokens(path)
    assert tokens.client_of("Bearer anything") is None
    web, phone = add_client(path, "web"), add_client(path, "phone")
    assert (tokens.client_of(f"Bearer {web}"), tokens.client_of(f"bearer  {phone} ")) == ("web", "phone")
    assert web not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [tokens.client_of(header) for header in (None, "", "Bearer", "Bearer ", f"Basic {web}", web, f"Bearer {web}x", "Bearer \u00e9")] == [None] * 8


def test_a_new_token_voids_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "clients.json"
    old = add_client(path, "web")
    new = add_client(path, "web")
    assert Tokens(path).client_of(f"Bearer {old}") is None
    assert Tokens(path).client_of(f"Bearer {new}") == "web"
    assert remove_client(path, "web")
    assert not remove_client(path, "web")
    assert Tokens(path).client_of(f"Bearer {new}") is None


@pytest.mark.parametrize("name", ["", "Web", "a b", "-a", "a" * 65, "a/b"])
def test_a_clients_name_is_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a client's name"):
        add_client(tmp_path / "clients.json", name)
