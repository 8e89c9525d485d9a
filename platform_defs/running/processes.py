"""Child processes: start, wait until ready, watch, start again when they die or fall silent, stop in order. Which processes make a Backline is in supervisor.

Every child leads its own session, so a Ctrl-C in the terminal reaches the supervisor alone, and dies with the supervisor (PR_SET_PDEATHSIG on Linux,
the keeper everywhere below it). The kernel sends that death signal when the *thread* that forked ends, so one thread that lives as long as the
children forks them all.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from platform_defs.running import keeper

NAME = "BACKLINE_PROCESS"
"""What a child and all it starts is called, in its environment."""

LOG_BYTES = 16 * 1024 * 1024
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# A child that lived this long before it died starts again at the first step of the backoff.
_SETTLED_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_ASK_SECONDS = 10.0
_TAIL_BYTES = 4096
_PR_SET_PDEATHSIG = 1


class ChildFailed(RuntimeError):
    """A child ended, or was not ready in time, while it was being started; the message holds the end of its log."""


class Stopping(RuntimeError):
    """The children are being stopped: nothing is started any more."""


@dataclass(frozen=True)
class Spec:
    """One child.

    Attributes:
        name: also the name of its log, `<logs>/<name>.log`.
        command: program and arguments.
        environment: what it gets beside what all children get.
        inherit: whether it gets the supervisor's own environment too.
        folder: working directory.
        ready: asked until it says yes; None: ready once started. Must answer within a second or so.
        ready_seconds: how long it may take.
        alive: asked every 10 s once it is ready; a child that says no for `silent_seconds` is killed, and so started again. None: never asked.
        stop_signal, stop_seconds: how it is asked to end, and how long it may take before SIGKILL.
        before: called before each start (stale sockets and the like).
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    inherit: bool = True
    folder: Path | None = None
    ready: Callable[[], bool] | None = None
    ready_seconds: float = 60.0
    alive: Callable[[], bool] | None = None
    silent_seconds: float = 120.0  # a busy machine is slow to answer, a process that hangs never does
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 8.0
    before: Callable[[], None] | None = None


@dataclass
class _Child:
    spec: Spec
    process: subprocess.Popen[bytes]
    started: float
    deaths: int = 0
    heard: float = 0.0
    starting: bool = True
    again_at: float | None = None


class Children:
    """The children of one supervisor. Methods may be called from several threads, so that services start side by side.

    Args:
        logs: folder of the logs (0700).
        mark: the supervisor's mark, given to every child (see keeper).
        tell: gets a sentence whenever a child died or came back.
        environment: what every child gets beside the supervisor's own environment.
        changed: gets all process ids by name whenever one is another while they are watched.
    """

    def __init__(
        self,
        logs: Path,
        mark: str,
        tell: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
        changed: Callable[[Mapping[str, int]], None] = lambda pids: None,
    ) -> None:
        self._logs, self._mark, self._tell, self._environment, self._changed = logs, mark, tell, environment or {}, changed
        self._children: dict[str, _Child] = {}
        self._retired: list[_Child] = []
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forker")
        self._watchers: list[threading.Thread] = []
        self._keeper, self._lifeline = self._forker.submit(keeper.start, mark).result()

    def start(self, spec: Spec) -> int:
        """Starts a child and waits until it is ready; its process id. Raises ChildFailed if it ends or is not ready in time, Stopping if told to stop."""
        with self._lock:
            if self._stopping.is_set():
                raise Stopping(spec.name)
            if spec.name in self._children:
                raise ValueError(f"{spec.name} runs already")
            child = self._children[spec.name] = _Child(spec, self._spawn(spec), time.monotonic())
        try:
            self._wait_ready(child)
        except ChildFailed:
            self._forget(child)
            raise
        return child.process.pid

    def run(self, spec: Spec) -> tuple[int, str]:
        """Runs a program that ends by itself; its exit code and what it wrote. Raises Stopping if it is time to stop, ChildFailed if it cannot be started."""
        with self._lock:
            if self._stopping.is_set():
                raise Stopping(spec.name)
            log = self.log_of(spec.name)
            begun = log.stat().st_size if log.exists() else 0
            child = _Child(spec, self._spawn(spec), time.monotonic())
            self._retired = [old for old in self._retired if old.process.poll() is None] + [child]
        while (code := child.process.poll()) is None:
            if self._stopping.wait(_LOOK_SECONDS / 4):
                raise Stopping(spec.name)
        with log.open("rb") as file:
            file.seek(begun)
            return code, file.read().decode(errors="replace")

    def replace(self, spec: Spec) -> int:
        """Stops the child of that name, if there is one, and starts this one in its place; as `start`."""
        self.stop_one(spec.name)
        return self.start(spec)

    def restart(self, name: str) -> None:
        """Ends a child in its own way, starts it again, and waits until it is ready; harmless if there is none or it is being started just now.

        Raises ChildFailed if it does not come back; it is then tried again as if it had died.
        """
        with self._lock:
            child = self._children.get(name)
            if child is None or child.starting or child.again_at is not None:
                return
            child.starting = True  # so that nobody else starts it
        try:
            self._end([child])
            with self._lock:
                if self._stopping.is_set():
                    raise Stopping(name)
                child.process, child.started = self._spawn(child.spec), time.monotonic()
            self._wait_ready(child)
        finally:
            child.starting = False

    def stop_one(self, name: str) -> None:
        """Stops one child; harmless if there is none of that name."""
        with self._lock:
            child = self._children.pop(name, None)
        if child is not None:
            self._end([child])

    def retire(self, name: str) -> None:
        """Gives a child's name free: from now on it may end when it wants and is not started again. It is still ended with the others."""
        with self._lock:
            child = self._children.pop(name, None)
            if child is not None:
                self._retired = [old for old in self._retired if old.process.poll() is None] + [child]

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        with self._lock:
            return {name: child.process.pid for name, child in self._children.items()}

    def age(self, name: str) -> float | None:
        """Seconds since a child last started; None if there is none of that name."""
        with self._lock:
            child = self._children.get(name)
            return None if child is None else time.monotonic() - child.started

    def log_of(self, name: str) -> Path:
        """Where a child's output goes."""
        return self._logs / f"{name}.log"

    def watch(self) -> None:
        """From now on a child that dies or falls silent is started again, with backoff, and its log is kept below `LOG_BYTES`."""
        self._watchers = [threading.Thread(target=target, name=name, daemon=True) for name, target in (("watcher", self._watch), ("listener", self._listen))]
        for thread in self._watchers:
            thread.start()

    @property
    def stopping(self) -> bool:
        """Whether the children have been told to stop."""
        return self._stopping.is_set()

    def refuse_new(self) -> None:
        """Nothing is started from now on; what waits for a child to be ready gives up."""
        with self._lock:
            self._stopping.set()

    def hurry(self) -> None:
        """Do not wait for anybody any more: what still runs is killed."""
        self._hurry.set()

    def stop(self, order: Sequence[Iterable[str]]) -> None:
        """Stops all children: group by group in the order given, the others before them; then whatever still carries the mark."""
        self.refuse_new()
        for thread in self._watchers:
            thread.join()
        try:
            groups = [list(names) for names in order]
            named = {name for names in groups for name in names}
            with self._lock:
                retired, self._retired = self._retired, []
                others = [name for name in self._children if name not in named]
            self._end(retired)
            for names in (others, *groups):
                with self._lock:
                    group = [self._children.pop(name) for name in names if name in self._children]
                self._end(group)
            keeper.end_marked(self._mark, grace=0.0 if self._hurry.is_set() else 3.0)
        finally:
            os.close(self._lifeline)
            self._keeper.wait()
            self._forker.shutdown(wait=True)

    def tail(self, name: str, lines: int = 12) -> str:
        """The last lines of a child's log."""
        try:
            with self.log_of(name).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _spawn(self, spec: Spec) -> subprocess.Popen[bytes]:
        try:
            if spec.before is not None:
                spec.before()
            return self._forker.submit(self._fork, spec).result()
        except OSError as error:  # no such program, or a disk that takes nothing
            raise ChildFailed(f"{spec.name} could not be started: {error.filename or spec.command[0]}: {error.strerror}") from error

    def _fork(self, spec: Spec) -> subprocess.Popen[bytes]:
        log = os.open(self.log_of(spec.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(  # noqa: S603 - our own command lines
                spec.command,
                cwd=spec.folder,
                env={**(os.environ if spec.inherit else {}), **self._environment, **spec.environment, keeper.MARK: self._mark, NAME: spec.name},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,  # whatever a child writes is its owner's alone
                preexec_fn=die_with_parent(),
            )
        finally:
            os.close(log)

    def _wait_ready(self, child: _Child) -> None:
        spec, deadline = child.spec, time.monotonic() + child.spec.ready_seconds
        while True:
            if self._stopping.is_set():
                raise Stopping(spec.name)
            code = child.process.poll()
            if code is not None:
                raise ChildFailed(f"{spec.name} ended while it started ({_exit_words(code)}). The end of {self.log_of(spec.name)}:\n{self.tail(spec.name)}")
            if spec.ready is None or spec.ready():
                child.starting, child.heard = False, time.monotonic()
                return
            if time.monotonic() >= deadline:
                raise ChildFailed(f"{spec.name} was not ready after {spec.ready_seconds:.0f} s. The end of {self.log_of(spec.name)}:\n{self.tail(spec.name)}")
            self._stopping.wait(_LOOK_SECONDS / 4)

    def _forget(self, child: _Child) -> None:
        with self._lock:
            if self._children.get(child.spec.name) is child:
                del self._children[child.spec.name]
        self._end([child])

    def _watch(self) -> None:
        known = self.pids()
        while not self._stopping.wait(_LOOK_SECONDS):
            with self._lock:
                if self._stopping.is_set():
                    return
                for child in self._children.values():
                    if not child.starting:
                        self._look_after(child)
                    _bound(self.log_of(child.spec.name))
            if (now := self.pids()) != known:
                known = now
                self._changed(now)

    def _look_after(self, child: _Child) -> None:
        now, name = time.monotonic(), child.spec.name
        if child.again_at is not None:
            if now >= child.again_at:
                child.again_at = None
                child.started = now
                # It has as long to answer first as when it was started first.
                child.heard = now + max(0.0, child.spec.ready_seconds - child.spec.silent_seconds)
                try:
                    child.process = self._spawn(child.spec)
                except ChildFailed as error:
                    self._later(child, str(error))
                else:
                    self._tell(f"{name} started again")
            return
        code = child.process.poll()
        if code is not None:
            _signal_group(child.process.pid, signal.SIGKILL)  # what it left of its own
            if now - child.started >= _SETTLED_SECONDS:
                child.deaths = 0
            self._later(child, f"{name} died ({_exit_words(code)})")

    def _listen(self) -> None:
        """Apart from the watching: an answer may take seconds."""
        while not self._stopping.wait(_ASK_SECONDS):
            with self._lock:
                asked = [(child, child.process, child.spec.alive) for child in self._children.values() if child.spec.alive is not None and not child.starting]
            for child, process, alive in asked:
                self._hear(child, process, alive())

    def _hear(self, child: _Child, process: subprocess.Popen[bytes], answered: bool) -> None:
        now, name = time.monotonic(), child.spec.name
        with self._lock:
            if answered or child.process is not process or child.again_at is not None:
                child.heard = now
            elif now - child.heard >= child.spec.silent_seconds and not self._stopping.is_set():
                self._tell(f"{name} has not answered for {now - child.heard:.0f} s: it is killed")
                child.heard = now
                _signal_group(process.pid, signal.SIGKILL)

    def _later(self, child: _Child, why: str) -> None:
        pause = BACKOFF_SECONDS[min(child.deaths, len(BACKOFF_SECONDS) - 1)]
        child.deaths += 1
        child.again_at = time.monotonic() + pause
        self._tell(f"{why}; it starts again in {pause:g} s. Its log: {self.log_of(child.spec.name)}")

    def _end(self, group: Sequence[_Child]) -> None:
        for child in group:
            if child.process.poll() is None:
                keeper.send(child.process.pid, child.spec.stop_signal)
        begun = time.monotonic()
        for child in group:
            while child.process.poll() is None and not self._hurry.is_set() and time.monotonic() < begun + child.spec.stop_seconds:
                self._hurry.wait(_LOOK_SECONDS / 10)
        for child in group:
            _signal_group(child.process.pid, signal.SIGKILL)
            child.process.wait()


def die_with_parent() -> Callable[[], object] | None:
    """What a child calls between fork and exec so that it is killed when its parent dies; None where the system knows no such thing."""
    if not sys.platform.startswith("linux"):
        return None
    # Loaded here, before the fork: after it the child may do little.
    return functools.partial(ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _exit_words(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _bound(log: Path) -> None:
    """Keeps a log below its size: the text so far moves to `<log>.1`. The child appends, so it goes on at the new end."""
    try:
        if log.stat().st_size < LOG_BYTES:
            return
        older = log.with_suffix(".log.1")
        older.touch(mode=0o600)
        shutil.copyfile(log, older)
        os.truncate(log, 0)
    except OSError:
        return
