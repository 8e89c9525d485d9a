"""Applying comes to an end: files that hang when they are imported, and another apply that is under way."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from platform_defs.running.applying import alone
from platform_defs.running.home import wait_until
from platform_defs.running.supervisor import CHECKOUT

# In a process of its own, as every apply: it is ended. The time is over once nobody holds its standard input.
LOAD = """
import sys, threading
from pathlib import Path
from platform_defs.running import applying
threading.Timer = lambda seconds, act, args: threading.Thread(target=lambda: (sys.stdin.read(), act(*args)), daemon=True)
applying.load(Path(sys.argv[1]), Path(sys.argv[2]))
"""
HANGS = """import queue

print("it waits", flush=True) or queue.SimpleQueue().get()
"""


def test_a_file_that_hangs_when_it_is_imported_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "assets" / "shop"
    folder.mkdir(parents=True)
    (folder / "domain.py").write_text(HANGS)
    command = [sys.executable, "-c", LOAD, str(folder.parent), str(tmp_path / "home")]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "it waits\n"
        _, said = process.communicate()
    assert process.returncode == 1
    assert said == (
        "Error: Nothing was applied: assets/shop did not load within 2 minutes: it was at assets/shop/domain.py:3.\n"
        "Files are imported to learn what they declare: move what waits or computes there into the function.\n"
    )


def test_an_apply_that_waits_for_another_says_for_which(tmp_path: Path) -> None:
    lock, told, order = tmp_path / "run" / "apply.lock", list[str](), list[str]()

    def second() -> None:
        with alone(lock, told.append):
            order.append("second")

    waits = threading.Thread(target=second)
    with alone(lock, told.append):
        assert told == []
        waits.start()
        assert wait_until(lambda: bool(told), 30)
        order.append("first")
    waits.join(30)
    assert order == ["first", "second"]
    assert told[0].startswith(f"waiting for another apply to end: process {os.getpid()}, since ")
    with alone(lock, told.append):
        assert len(told) == 1
