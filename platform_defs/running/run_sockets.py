"""How a run host is asked: one JSON line each way over its unix socket. What it is asked is in `run_host`. Standard library only."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

_ANSWER_SECONDS = 30.0


class HostUnavailable(RuntimeError):
    """A location's run host does not answer; the message says where and why."""


def socket_of(folder: Path, location: str) -> Path:
    """The socket of a location's run host."""
    return folder / f"runs-{location}.sock"


def ask(folder: Path, location: str, message: dict[str, Any]) -> dict[str, Any]:
    """Asks and returns the answer; raises HostUnavailable if there is none, or the host could not do it."""
    path = socket_of(folder, location)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            connection.connect(str(path))
            connection.sendall(json.dumps(message).encode() + b"\n")
            with connection.makefile() as lines:
                answer: dict[str, Any] = json.loads(lines.readline())
    except (OSError, ValueError) as error:
        raise HostUnavailable(f"the run host of {location} does not answer at {path} ({error}). ./backline status shows whether it is up") from error
    if "error" in answer:
        raise HostUnavailable(f"the run host of {location} could not do it: {answer['error']}")
    return answer
