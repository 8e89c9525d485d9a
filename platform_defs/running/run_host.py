"""The warm host of one code location: definitions loaded once, the code server and every run forked from it.

Started by the supervisor, asked by `run_launcher`. It knows how to fork, reap and end; what a run does is Dagster's own `api execute_run`, what the code
server does its `api grpc`. The host must have one native thread when it forks (a forked lock held by a lost thread would hang the run): it looks before
every fork. With a code server that loads the definitions itself, and the proxy that restarts it, a domain took 4 s and 300 MB more.

    python -m platform_defs.running.run_host --socket S --module M --attribute A --working-directory W [--code-socket C --location-name L]

It answers one JSON line per connection: {"op": "launch", "args"} -> {"pid", "started"}; {"op": "status"} -> {"pid", "running"}.
SIGUSR1 drains it: its code server ends, it ends when its last run did (a reload puts a new host in its place, old runs finish on the old).
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from platform_defs.contracts.places import short
from platform_defs.running.home import accepts
from platform_defs.running.processes import die_with_parent
from platform_defs.running.run_process import PROCESS_TAG, started_at, this_process

# What a run imports late; loaded once here it costs every fork nothing (pandera.pyspark alone is 0.5 s byte-compiled, 2.1 s otherwise).
PRELOAD = ("dagster._cli.api", "dagster_postgres", "psycopg2", "pandera.pyspark", "pyspark.sql.connect.session", "platform_defs.execution.building")
_BACKLOG = 128
_REAP_SECONDS = 5.0
_LOOK_SECONDS = 0.02
_END_SECONDS = 10.0
_AGAIN_SECONDS = 5.0


class NotSingleThreaded(RuntimeError):
    """The host has more than one native thread, so it must not fork."""


class RunHost:
    """The loop of the host.

    Args:
        execute: runs one run in the forked child and returns its exit code.
        beside: runs, in a child of its own, as long as the host takes runs (the code server); begun again if it ends by itself.
    """

    def __init__(self, path: Path, execute: Callable[[str], int], beside: Callable[[], int] | None = None) -> None:
        self._path, self._execute, self._beside = path, execute, beside
        self._beside_pid: int | None = None
        self._beside_begun = -_AGAIN_SECONDS
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
                self._keep_beside(server)
                self._turn(server)
        self._end_all()
        if self._path.exists() and self._path.stat().st_ino == mine:  # after a reload the path is the new host's
            self._path.unlink()

    def _turn(self, server: socket.socket) -> None:
        watched: list[socket.socket | int] = [server, self._wake]
        ready, _, _ = select.select(watched, [], [], _REAP_SECONDS)
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
        pid = self._fork(functools.partial(self._execute, args), [server, connection], apart=True)
        self._alive.add(pid)
        return {"pid": pid, "started": started_at(pid) or 0}

    def _keep_beside(self, server: socket.socket) -> None:
        if self._beside is None:
            return
        if self._draining:
            self._end_beside()
        elif self._beside_pid is None and time.monotonic() >= self._beside_begun + _AGAIN_SECONDS:
            self._beside_begun = time.monotonic()
            self._beside_pid = self._fork(self._beside, [server], apart=False)

    def _fork(self, work: Callable[[], int], sockets: list[socket.socket], *, apart: bool) -> int:
        """Does the work in a child; its process id. `apart`: in a session of its own, so that it outlives a host that is killed with all its group."""
        threads = native_threads()
        if threads != 1:
            raise NotSingleThreaded(f"the run host has {threads} native threads and cannot fork: some import starts one; see PRELOAD")
        bound = None if apart else die_with_parent()
        pid = os.fork()
        if pid == 0:
            self._child(work, sockets, os.setsid if apart else bound)
        return pid

    def _child(self, work: Callable[[], int], sockets: list[socket.socket], settle: Callable[[], object] | None) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for each in sockets:
                each.close()
            os.close(self._wake)
            if settle is not None:
                settle()
            code = work()
        except BaseException:  # noqa: BLE001 - nothing may unwind into the host's loop in a child
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)
        if self._beside_pid is not None and os.waitpid(self._beside_pid, os.WNOHANG)[0]:
            self._beside_pid = None
        for pid in list(self._alive):
            if os.waitpid(pid, os.WNOHANG)[0]:
                self._alive.discard(pid)

    def _on_drain(self, *_: object) -> None:
        self._draining = True

    def _on_end(self, *_: object) -> None:
        self._ending = True

    def _end_beside(self) -> None:
        """Tells it to end; it is reaped with the others."""
        if self._beside_pid is not None:
            os.kill(self._beside_pid, signal.SIGTERM)

    def _end_all(self) -> None:
        self._end_beside()
        for number in (signal.SIGINT, signal.SIGKILL):
            for pid in self._alive:
                os.kill(pid, number)
            end = time.monotonic() + _END_SECONDS
            self._reap()
            while (self._alive or self._beside_pid is not None) and time.monotonic() < end:
                select.select([self._wake], [], [], 0.1)
                self._reap()


def native_threads() -> int:
    """Threads of this process as the kernel counts them; 1 where it cannot be asked (macOS)."""
    try:
        return len(os.listdir("/proc/self/task"))
    except FileNotFoundError:
        return 1


class Imports:
    """Notes the import after which this process had more than one native thread. It is asked for each module, as a finder, and finds none: 70 µs a module."""

    def __init__(self) -> None:
        self._last, self._blamed = "one of PRELOAD", ""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Looks what the import before this one left."""
        self._look()
        authors = (frame for frame, _ in traceback.walk_stack(None) if frame.f_globals.get("__name__", "").startswith("assets."))
        place = next((f" at {short(frame.f_code.co_filename)}:{frame.f_lineno}" for frame in authors), "")
        self._last = f"{name}{place}"

    def check(self) -> None:
        """Raises NotSingleThreaded, naming the import."""
        self._look()
        if self._blamed:
            raise NotSingleThreaded(
                f"the run host has {native_threads()} native threads since the import of {self._blamed}, and could not fork runs: "
                "import that library inside the function that uses it"
            )

    def _look(self) -> None:
        if native_threads() == 1:
            self._blamed = ""
        elif not self._blamed:
            self._blamed = self._last


def execute_run(args: str) -> int:
    """Runs one run from its serialized ExecuteRunArgs; 0 or Dagster's exit code.

    This process says itself that it is the run's, before the run is seen to have started: monitoring fails a started run whose process it does not know.
    """
    from platform_defs.build import dagster_private

    return dagster_private.execute_run(args, {PROCESS_TAG: this_process().words})


def serve_code(asked: argparse.Namespace) -> int:
    """Is the location's code server until told to end.

    Its own socket has a name of its own; the one the others know is a link to it, so that a reload puts a new server in the place of the old at one stroke.
    """
    from platform_defs.build import dagster_private

    known = Path(asked.code_socket)
    own = known.with_name(f"c{os.getpid()}.sock")
    threading.Thread(target=_link, args=(known, own), daemon=True).start()
    try:
        dagster_private.serve_code(own, asked.module, asked.attribute, asked.working_directory, asked.location_name)
    finally:
        own.unlink(missing_ok=True)
    return 0


def _link(known: Path, own: Path) -> None:
    """Points the known name at a server's own socket once that takes connections."""
    while not accepts(str(own)):
        time.sleep(_LOOK_SECONDS)
    link = known.with_name(f"l{os.getpid()}")
    link.unlink(missing_ok=True)
    link.symlink_to(own.name)
    link.replace(known)


def main() -> None:
    """Loads the definitions, then serves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--socket", "--module", "--attribute", "--working-directory"):
        parser.add_argument(name, required=True)
    parser.add_argument("--code-socket", help="be the code server too")
    parser.add_argument("--location-name")
    asked = parser.parse_args()
    for name in PRELOAD:
        importlib.import_module(name)
    from platform_defs.build import dagster_private

    imports = Imports()  # from here on: PRELOAD is 2,000 modules
    sys.meta_path.insert(0, imports)
    dagster_private.load_all_definitions(asked.module, asked.attribute, asked.working_directory)
    sys.meta_path.remove(imports)
    try:
        imports.check()  # before the sockets are taken over: the host that has them runs on
    except NotSingleThreaded as error:
        sys.exit(str(error))
    RunHost(Path(asked.socket), execute_run, functools.partial(serve_code, asked) if asked.code_socket else None).serve()


if __name__ == "__main__":
    main()
