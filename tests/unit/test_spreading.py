"""The suite's own machinery, in a pytest of its own: what shares a fixture stays on one worker, and nothing that a worker started outlives it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from platform_defs.running.home import wait_until
from platform_defs.running.run_process import started_at
from platform_defs.running.supervisor import CHECKOUT

SHARING = """
import os, pathlib, pytest
from platform_defs.running.home import wait_until
HERE = pathlib.Path(__file__).parent

@pytest.fixture(scope="module")
def dear():
    with (HERE / "made").open("a") as made:
        made.write(f"{pathlib.Path(__file__).stem}\\n")

@pytest.mark.parametrize("number", range(8))
def test_with(dear, number): ...

@pytest.mark.parametrize("number", range(20))
def test_without(number):
    with (HERE / "workers").open("a") as workers:
        workers.write(f"{os.getpid()}\\n")
    # One worker alone could be through with all of them before the other has begun.
    assert wait_until(lambda: len(set((HERE / "workers").read_text().split())) == 2, 60)
"""
LEAVING = """
import os, pathlib, signal, subprocess, sys

def test_dies():
    left = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
    pathlib.Path(__file__).with_name("left").write_text(str(left.pid))
    os.kill(os.getpid(), signal.SIGKILL)

def test_lives(): ...
"""


def run(folder: Path, text: str, *names: str) -> subprocess.CompletedProcess[str]:
    """Two workers run these files, each with that text."""
    for name in names:
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadscope", "-p", "tests.fixtures.spreading", *names]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run([*command, "--rootdir", str(folder)], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_what_shares_a_fixture_is_bound_and_the_rest_is_spread(tmp_path: Path) -> None:
    done = run(tmp_path, SHARING, "test_one.py", "test_other.py")
    assert done.returncode == 0, done.stdout
    assert sorted((tmp_path / "made").read_text().split()) == ["test_one", "test_other"]
    assert len(set((tmp_path / "workers").read_text().split())) == 2
    assert done.stdout.rstrip().rpartition("\n")[2].startswith("=")  # pytest's closing line is the last


def test_a_killed_workers_processes_end(tmp_path: Path) -> None:
    done = run(tmp_path, LEAVING, "test_leaving.py")
    assert "crashed while running 'test_leaving.py::test_dies'" in done.stdout
    left = int((tmp_path / "left").read_text())
    assert wait_until(lambda: started_at(left) is None, 60)
