"""Secrets of sources, from the private file in the home: `{"vendor_s3": {"aws_access_key_id": ...}}`."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class SecretsUnusable(RuntimeError):
    """The file of secrets may be read by others or cannot be understood. The message holds nothing of it."""


def secrets_in(file: Path) -> Callable[[str], Mapping[str, Any] | None]:
    """Answers a secret by name, None for one nobody has set. The file is read at each question, so a new secret needs no restart.

    The answer raises SecretsUnusable.
    """

    def answer(name: str) -> Mapping[str, Any] | None:
        try:
            descriptor = os.open(file, os.O_RDONLY)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as opened:
            if os.fstat(descriptor).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise SecretsUnusable(f"{file} may be read by others: run `chmod 600 {file}`")
            try:
                known = json.loads(opened.read())
            except ValueError:
                raise SecretsUnusable(f"{file} is no JSON: write an object of secrets by name") from None
        found = known.get(name) if isinstance(known, dict) else None
        if found is not None and not isinstance(found, dict):
            raise SecretsUnusable(f"{file}: {name!r} must be an object of its parts, as in {{{name!r}: {{...}}}}")
        return found

    return answer
