"""What was said against the saved files when they were last tried, kept while it is true: whoever asks how things stand is told, not only who saved.

What is refused, and why, is applying's to say.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

_FILE = "refused.txt"


def refuse(run: Path, words: str) -> None:
    """The saved files are not in force. `run`: the home's. On a disk that takes nothing it is not kept: whoever saved is told all the same."""
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(dir=run, prefix="refused.", suffix=".tmp")  # mkstemp makes 0600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(words)
        Path(name).replace(run / _FILE)


def accept(run: Path) -> None:
    """They are."""
    (run / _FILE).unlink(missing_ok=True)


def refused(run: Path) -> str | None:
    """Why the saved files are not in force; None: they are."""
    try:
        return (run / _FILE).read_text(encoding="utf-8") or None
    except FileNotFoundError:
        return None
