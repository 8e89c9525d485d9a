"""What processes hold in memory: found by their supervisor's mark, summed by part, extremes kept."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_defs.running.home import wait_until
from platform_defs.running.memory import Range, Sampler, extremes, held, memory_file
from platform_defs.running.processes import Children, Spec

MEGABYTE = 1024**2
# Holds 40 MB of its own once `grown` is there, and starts a process of its own.
CHILD = """
import subprocess, sys, time
from pathlib import Path
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
Path(sys.argv[1], "begun").touch()
while not Path(sys.argv[1], "grow").exists():
    time.sleep(0.02)
held = b"x" * 40 * 1024 * 1024
Path(sys.argv[1], "grown").touch()
time.sleep(600)
"""
MARK = f"test-memory-{os.getpid()}-{time.monotonic_ns()}"

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel does not say")


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    made = Children(tmp_path, MARK, lambda _: None)
    made.start(Spec("part", (sys.executable, "-c", CHILD, str(tmp_path)), ready=(tmp_path / "begun").exists))
    yield made
    made.hurry()
    made.stop([])


def test_a_part_is_all_its_processes_and_its_extremes_are_kept(children: Children, tmp_path: Path) -> None:
    assert wait_until(lambda: held(MARK, os.getpid())["part"].processes == 2, 30)
    sampler = Sampler(MARK, os.getpid(), memory_file(tmp_path))
    sampler.once()
    before = held(MARK, os.getpid())
    assert before["part"].bytes > 2 * MEGABYTE
    assert before["supervisor"].bytes > 10 * MEGABYTE

    (tmp_path / "grow").touch()
    assert wait_until((tmp_path / "grown").exists, 30)
    sampler.once()
    seen = extremes(memory_file(tmp_path))["part"]
    assert seen.most - seen.least > 35 * MEGABYTE


def test_before_the_first_look_nothing_was_seen(tmp_path: Path) -> None:
    assert extremes(memory_file(tmp_path)) == {}
    assert Range(3, 5).with_(4) == Range(3, 5)
    assert Range(3, 5).with_(9).with_(1) == Range(1, 9)
