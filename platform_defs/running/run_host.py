"""The warm run host of one code location: definitions loaded once, one forked process a run.

Started by the supervisor, asked by `run_launcher`. It knows how to fork, reap and end; what a run does is Dagster's own `api execute_run`.
The host must have one native thread when it forks (a forked lock held by a lost thread would hang the run): it looks before every fork.

    python -m platform_defs.running.run_host --socket S --module M --attribute A --working-directory W

It answers one JSON line per connection: {"op": "launch", "args"} -> {"pid", "started"}; {"op": "status"} -> {"pid", "running"}.
SIGUSR1 drains it: it ends when its last run did (a reload puts a new host in its place, old runs finish on the old).
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from platform_defs.running.run_process import started_at

# What a run imports late; loaded once here it costs every fork nothing (pandera.pyspark alone is 0.5 s byte-compiled, 2.1 s otherwise).
PRELOAD = ("dagster._cli.api", "dagster_postgres", "psycopg2", "pandera.pyspark", "pyspark.sql.connect.session", "platform_defs.execution.building")
_BACKLOG = 128
_REAP_SECONDS = 5.0
_END_SECONDS = 10.0


class NotSingleThreaded(RuntimeError):
    """The host has more than one native thread, so it must not fork."""


class RunHost:
    """The loop of the host. `execute` runs one run in the forked child and returns its exit code."""

    def __init__(self, path: Path, execute: Callable[[str], int]) -> None:
        self._path, self._execute = path, execute
        self._alive: set[int] = set()
        self._draining = self._ending = False

    def serve(self) -> None:
        """Serves until SIGTERM or SIGINT (which ends the runs it forked) or until drained."""
        self._wake, wakeup = os.pipe()
        for end in (self._wake, wakeup):
            os.set_blocking(end, False)
        with socket.socket(socket.AF_UNIX) as server:
            fresh = self._path.with_suffix(f".{os.getpid()}")
            server.bind(str(fresh))
            mine = fresh.stat().st_ino
            server.listen(_BACKLOG)
            signal.set_wakeup_fd(wakeup)
            signal.signal(signal.SIGCHLD, lambda *_: None)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._on_end)
            signal.signal(signal.SIGUSR1, self._on_drain)
            fresh.replace(self._path)  # at one stroke, so that a launch during a reload meets the old host or the new one, never none
            gc.collect()
            gc.freeze()  # a child's collector must not touch, and so copy, every page of the host
            while not self._ending and not (self._draining and not self._alive):
                self._turn(server)
        self._end_runs()
        if self._path.exists() and self._path.stat().st_ino == mine:  # after a reload the path is the new host's
            self._path.unlink()

    def _turn(self, server: socket.socket) -> None:
        watched: list[socket.socket | int] = [server, self._wake]
        ready, _, _ = select.select(watched, [], [], _REAP_SECONDS)
        if self._wake in ready:
            os.read(self._wake, 4096)
        self._reap()
        if server not in ready:
            return
        connection, _ = server.accept()
        with connection:
            try:
                with connection.makefile() as lines:
                    answer = self._answer(json.loads(lines.readline()), server, connection)
            except Exception as error:  # noqa: BLE001 - the asker must hear of it, and the host must live on
                answer = {"error": f"{type(error).__name__}: {error}"}
            try:
                connection.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:
                return  # the asker went away; what it asked for is done and found again by the run's tag

    def _answer(self, message: dict[str, Any], server: socket.socket, connection: socket.socket) -> dict[str, Any]:
        match message["op"]:
            case "launch":
                return self._launch(message["args"], server, connection)
            case "status":
                return {"pid": os.getpid(), "running": len(self._alive)}
            case other:
                return {"error": f"unknown op {other!r}: launch and status are known"}

    def _launch(self, args: str, server: socket.socket, connection: socket.socket) -> dict[str, Any]:
        threads = native_threads()
        if threads != 1:
            raise NotSingleThreaded(f"the run host has {threads} native threads and cannot fork: some import starts one; see PRELOAD")
        pid = os.fork()
        if pid == 0:
            self._child(args, server, connection)
        self._alive.add(pid)
        return {"pid": pid, "started": started_at(pid) or 0}

    def _child(self, args: str, server: socket.socket, connection: socket.socket) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            server.close()
            connection.close()
            os.close(self._wake)
            os.setsid()
            code = self._execute(args)
        except BaseException:  # noqa: BLE001 - nothing may unwind into the host's loop in a child
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        for pid in list(self._alive):
            if os.waitpid(pid, os.WNOHANG)[0]:
                self._alive.discard(pid)

    def _on_drain(self, *_: object) -> None:
        self._draining = True

    def _on_end(self, *_: object) -> None:
        self._ending = True

    def _end_runs(self) -> None:
        for number, patience in ((signal.SIGINT, _END_SECONDS), (signal.SIGKILL, _END_SECONDS)):
            for pid in self._alive:
                os.kill(pid, number)
            waited = 0.0
            while self._alive and waited < patience:
                self._reap()
                if self._alive:
                    select.select([self._wake], [], [], 0.1)
                    waited += 0.1


def native_threads() -> int:
    """Threads of this process as the kernel counts them; 1 where it cannot be asked (macOS)."""
    try:
        return len(os.listdir("/proc/self/task"))
    except FileNotFoundError:
        return 1


def execute_run(args: str) -> int:
    """Runs one run from its serialized ExecuteRunArgs; 0 or Dagster's exit code."""
    from platform_defs.build import dagster_private

    return dagster_private.execute_run(args)


def main() -> None:
    """Loads the definitions, then serves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--socket", "--module", "--attribute", "--working-directory"):
        parser.add_argument(name, required=True)
    asked = parser.parse_args()
    for name in PRELOAD:
        importlib.import_module(name)
    from platform_defs.build import dagster_private

    dagster_private.load_all_definitions(asked.module, asked.attribute, asked.working_directory)
    RunHost(Path(asked.socket), execute_run).serve()


if __name__ == "__main__":
    main()
