"""What is told to nobody stops nothing: a closed pipe, a terminal that is gone, a full disk behind the output."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from platform_defs.running.supervisor import Progress, Supervisor


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), BrokenPipeError(), SystemExit(1), ValueError("bad markup")])
def test_a_start_ends_though_nobody_can_be_told_of_it(error: BaseException, tmp_path: Path) -> None:
    def tell(progress: Progress) -> None:
        raise error

    done: list[str] = []
    Supervisor(tmp_path, tmp_path, tell=tell)._run({"a": ((), lambda: done.append("a")), "b": (("a",), lambda: done.append("b"))})
    assert done == ["a", "b"]
