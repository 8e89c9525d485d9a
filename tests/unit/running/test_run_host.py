"""The run host's loop, with a script in place of Dagster: forks, drains, ends what it forked, and refuses to fork beside another thread."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_defs.build.dagster_private import execute_run_args
from platform_defs.running.home import wait_until
from platform_defs.running.run_host import execute_run
from platform_defs.running.run_process import PROCESS_TAG, RunProcess, started_at, this_process
from platform_defs.running.supervisor import CHECKOUT

# A run whose argument is a file waits until that is gone; its answer is its exit code.
HOST = """
import os, signal, sys, threading, time
from pathlib import Path
from platform_defs.running import run_host
from platform_defs.running.run_host import RunHost

def execute(args):
    while Path(args).exists():
        time.sleep(0.02)
    return 0

def beside():
    mark = Path(sys.argv[1] + ".beside")
    mark.with_suffix(".tmp").write_text(str(os.getpid()))
    mark.with_suffix(".tmp").replace(mark)
    signal.pause()

if "threaded" in sys.argv:
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
run_host._AGAIN_SECONDS = 0.1
run_host._REAP_SECONDS = 0.1
RunHost(Path(sys.argv[1]), execute, beside if "beside" in sys.argv else None).serve()
"""


class Host:
    """One host process."""

    def __init__(self, path: Path, *more: str) -> None:
        self.path = path
        before = path.stat().st_ino if path.exists() else None
        self.process = subprocess.Popen([sys.executable, "-c", HOST, str(path), *more], cwd=CHECKOUT)
        assert wait_until(lambda: path.exists() and path.stat().st_ino != before, 30)

    def ask(self, **message: Any) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(self.path))
            connection.sendall(json.dumps(message).encode() + b"\n")
            with connection.makefile() as lines:
                return dict(json.loads(lines.readline()))

    def beside(self, before: int = 0) -> int:
        """Process id of what runs beside, once it is another than before."""
        mark = self.path.with_name(f"{self.path.name}.beside")
        assert wait_until(lambda: mark.exists() and int(mark.read_text()) != before, 30)
        return int(mark.read_text())

    def launch(self, args: Path) -> RunProcess:
        return RunProcess(**self.ask(op="launch", args=str(args)))


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="host-") as name:  # short: a socket's path may not be long
        yield Path(name)


@pytest.fixture
def host(folder: Path) -> Iterator[Host]:
    made = Host(folder / "s")
    yield made
    made.process.terminate()
    made.process.wait(60)


@pytest.fixture
def held(folder: Path) -> Path:
    """Runs that are given this file go on until it is removed."""
    file = folder / "held"
    file.touch()
    return file


def test_each_run_is_a_process_of_its_own(host: Host, held: Path) -> None:
    runs = [host.launch(held) for _ in range(3)]
    assert len({run.pid for run in runs}) == 3
    assert all(run.alive() for run in runs)
    assert host.ask(op="status") == {"pid": host.process.pid, "running": 3}
    held.unlink()
    assert wait_until(lambda: host.ask(op="status")["running"] == 0, 30)
    assert not any(run.alive() for run in runs)


def test_a_drained_host_ends_after_its_last_run(host: Host, held: Path) -> None:
    run = host.launch(held)
    host.process.send_signal(signal.SIGUSR1)
    assert host.ask(op="status")["running"] == 1
    assert run.alive()
    held.unlink()
    assert host.process.wait(30) == 0
    assert not host.path.exists()


def test_a_new_host_takes_the_socket_over_and_the_old_one_leaves_it_alone(host: Host, folder: Path, held: Path) -> None:
    run, before = host.launch(held), host.path.stat().st_ino
    new = Host(folder / "s")
    try:
        assert host.path.stat().st_ino != before
        host.process.send_signal(signal.SIGUSR1)
        assert run.alive()
        held.unlink()
        assert host.process.wait(30) == 0
        assert new.ask(op="status") == {"pid": new.process.pid, "running": 0}
    finally:
        new.process.terminate()
        new.process.wait(30)


def test_an_ended_host_ends_its_runs(host: Host, held: Path) -> None:
    run = host.launch(held)
    host.process.terminate()
    assert host.process.wait(60) == 0
    assert not run.alive()


def test_a_killed_hosts_runs_go_on(host: Host, held: Path) -> None:
    run = host.launch(held)
    host.process.kill()
    host.process.wait(30)
    assert run.alive()
    held.unlink()
    assert wait_until(lambda: not run.alive(), 30)


def test_what_runs_beside_comes_back_and_ends_with_its_host(folder: Path) -> None:
    host = Host(folder / "s", "beside")
    try:
        first = host.beside()
        os.kill(first, signal.SIGKILL)
        second = host.beside(first)
        host.process.terminate()
        assert host.process.wait(30) == 0
        assert started_at(second) is None
    finally:
        host.process.kill()
        host.process.wait(30)


def test_what_runs_beside_ends_with_a_killed_host_and_with_the_drain(folder: Path, held: Path) -> None:
    killed = Host(folder / "s", "beside")
    first = killed.beside()
    killed.process.kill()
    killed.process.wait(30)
    assert wait_until(lambda: started_at(first) is None, 30)

    drained = Host(folder / "s", "beside")
    try:
        second = drained.beside(first)
        drained.launch(held)
        drained.process.send_signal(signal.SIGUSR1)
        assert wait_until(lambda: started_at(second) is None, 30)
        assert drained.process.poll() is None
        held.unlink()
        assert drained.process.wait(30) == 0
    finally:
        drained.process.kill()
        drained.process.wait(30)


def test_it_does_not_fork_beside_another_thread(folder: Path, held: Path) -> None:
    host = Host(folder / "s", "threaded")
    try:
        assert "has 2 native threads and cannot fork" in host.ask(op="launch", args=str(held))["error"]
        assert host.ask(op="status")["running"] == 0
    finally:
        host.process.kill()
        host.process.wait(30)


def test_what_it_does_not_know_it_says(host: Host) -> None:
    assert host.ask(op="dance") == {"error": "unknown op 'dance': launch and status are known"}
    assert "error" in host.ask(nothing=1)
    assert host.ask(op="status")["running"] == 0


@dg.op
def knows_its_process(context) -> None:  # type: ignore[no-untyped-def]  # Dagster reads the annotation, and does not understand it as text
    """Fails unless the run's process was known when the run began."""
    assert RunProcess(**json.loads(context.run.tags[PROCESS_TAG])) == this_process()


@dg.job(executor_def=dg.in_process_executor)
def knowing() -> None:
    knows_its_process()


def test_a_runs_process_is_known_before_the_run_has_started() -> None:
    """Monitoring fails a started run whose process it does not know."""
    with dg.instance_for_test() as instance:
        origin = dg.reconstructable(knowing).get_python_origin()
        run = instance.create_run_for_job(knowing, job_code_origin=origin)
        assert execute_run(execute_run_args(instance, run)) == 0
        ended = instance.get_run_by_id(run.run_id)
        assert ended is not None
        assert (ended.status, ended.tags[PROCESS_TAG]) == (dg.DagsterRunStatus.SUCCESS, this_process().words)
