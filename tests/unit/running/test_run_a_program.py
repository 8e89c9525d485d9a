"""A program that ends by itself, and one that does not."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from platform_defs.running import processes
from platform_defs.running.home import wait_until
from platform_defs.running.processes import ChildFailed, Children, Spec
from platform_defs.running.run_process import started_at

# It has a child that waits too.
HANGS = """
import os, pathlib, signal, sys
if child := os.fork():
    print("it waits", flush=True)
    pids = pathlib.Path(sys.argv[1])
    pids.with_suffix(".tmp").write_text(f"{os.getpid()} {child}")
    pids.with_suffix(".tmp").replace(pids)
signal.pause()
"""


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    made = Children(tmp_path, f"test-{os.getpid()}-{tmp_path.name}", lambda _: None)
    yield made
    made.hurry()
    made.stop([])


def test_a_program_that_does_not_end_in_time_is_killed_with_all_it_started(children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = tmp_path / "pids"
    # The time is over once the program waits.
    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + (600.0 if pids.exists() else 0.0)))
    with pytest.raises(ChildFailed, match=r"a did not end within 600 s and was killed\. The end of .*a\.log:\nit waits"):
        children.run(Spec("a", (sys.executable, "-c", HANGS, str(pids))), seconds=600.0)
    assert wait_until(lambda: all(started_at(int(pid)) is None for pid in pids.read_text().split()), 30)


def test_a_program_that_ends_in_time_is_not_disturbed(children: Children) -> None:
    assert children.run(Spec("a", (sys.executable, "-c", "print('done')")), seconds=600.0) == (0, "done\n")
