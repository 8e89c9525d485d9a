"""Secrets by name: from a private file alone, and never in a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from resources.secrets import SecretsUnusable, secrets_in


def written(folder: Path, content: str, mode: int = 0o600) -> Path:
    file = folder / "secrets.json"
    file.write_text(content)
    file.chmod(mode)
    return file


def test_a_secret_is_found_by_name_and_at_once(tmp_path: Path) -> None:
    ask = secrets_in(tmp_path / "secrets.json")
    assert ask("vendor") is None
    written(tmp_path, '{"vendor": {"token": "kept-back"}}')
    assert (ask("vendor"), ask("other")) == ({"token": "kept-back"}, None)


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        ('{"vendor": {"token": "kept-back"}}', 0o640, "chmod 600"),
        ('{"vendor": "kept-back', 0o600, "no JSON"),
        ('{"vendor": "kept-back"}', 0o600, "object of its parts"),
    ],
)
def test_what_is_wrong_is_said_without_the_secret(tmp_path: Path, content: str, mode: int, why: str) -> None:
    with pytest.raises(SecretsUnusable, match=why) as caught:
        secrets_in(written(tmp_path, content, mode))("vendor")
    assert "kept-back" not in str(caught.value)
