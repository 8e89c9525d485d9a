"""Runs one Backline on this machine: what starts when, the lock, the addresses, the end. How children are kept is in `processes`, which they are in
`services`, what a saved file sets off in `locations`.

    with Supervisor(home, assets, tell=print) as backline:
        backline.settings.collector_url
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal

from platform_defs.build.snapshot import applied_domains
from platform_defs.running import keeper, services
from platform_defs.running.home import Home, HomeLock, Port, free_port, new_token
from platform_defs.running.locations import Locations
from platform_defs.running.memory import Sampler, memory_file
from platform_defs.running.processes import ChildFailed, Children, Spec, Stopping
from platform_defs.running.recycling import Limits, Recycler
from resources.settings import Settings

WEB_PORT = 3000
COLLECTOR_PORT = 8600
POSTGRES_VARIABLE = "BACKLINE_POSTGRES_URL"
CHECKOUT = Path(__file__).resolve().parents[2]
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StartFailed(RuntimeError):
    """A part did not start; everything was stopped again. The message says which and why."""


class Interrupted(KeyboardInterrupt):
    """The first Ctrl-C, SIGTERM or SIGHUP: raised once, so that whatever goes on unwinds and everything is stopped in order."""


@dataclass(frozen=True)
class Progress:
    """One thing that happened.

    Attributes:
        part: which part it happened to (`postgres`, `contracts`, ...).
        state: `begun`, `done`, `failed` (what was tried), or `note` (something to know: a restart, a saved file that was applied).
        words: what to say; empty where part and state say it all.
        seconds: since the part began, for `done` and `failed`.
    """

    part: str
    state: Literal["begun", "done", "failed", "note"]
    words: str = ""
    seconds: float = 0.0


Tell = Callable[[Progress], None]


class Supervisor:
    """One Backline in one home. Used as a context manager: everything runs inside, nothing afterwards.

    Args:
        home: BACKLINE_HOME. assets: folder of the domains.
        tell: gets progress, from several threads, one call at a time.
        heap: memory of the Spark server. limits: when it is started anew. brief: it is for minutes and small hours, not for days.
        web_port, collector_port: taken if free, else any free one is.
        signals: whether SIGINT, SIGTERM and SIGHUP end it (the main thread only): the first raises Interrupted there, a later one hurries the end.
    """

    def __init__(
        self,
        home: Path,
        assets: Path,
        *,
        tell: Tell,
        heap: str = "2g",
        limits: Limits | None = None,
        brief: bool = False,
        web_port: int = WEB_PORT,
        collector_port: int = COLLECTOR_PORT,
        signals: bool = False,
    ) -> None:
        self._home, self._assets, self._heap, self._signals = Home(home), assets.absolute(), heap, signals
        self._wanted_ports = web_port, collector_port
        self._limits, self._brief = limits or Limits(), brief
        self._recycler: Recycler | None = None
        self._sampler: Sampler | None = None
        self._tell_outside = tell
        self._telling = threading.Lock()
        self._lock: HomeLock | None = None
        self._children: Children | None = None
        self._locations: Locations | None = None
        self._ports: list[Port] = []
        self._handlers: dict[int, Any] = {}
        self._interrupts = 0
        self._mark = ""
        self._stopping = False
        self._settings: Settings | None = None
        self.started = False

    @property
    def settings(self) -> Settings:
        """Addresses and folders; raises RuntimeError before the start."""
        if self._settings is None:
            raise RuntimeError("not started")
        return self._settings

    def __enter__(self) -> Supervisor:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Starts everything; returns once all of it answers. If that fails or is interrupted, what was started is stopped again.

        Raises AlreadyRunning, HomeUnusable, StartFailed, Interrupted.
        """
        self._home.prepare()
        lock = self._home.lock()
        left = lock.take()
        self._lock = lock
        try:
            self._install_handlers()
            if left is not None and (count := keeper.end_marked(left.mark)):
                self._tell("supervisor", "note", f"ended {count} processes that an earlier Backline left")
            Settings.forget(self._home.root)
            self._mark = mark = uuid.uuid4().hex
            lock.sign(mark)
            surroundings = {"BACKLINE_HOME": str(self._home.root), "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "", "PYTHONUNBUFFERED": "1"}
            self._children = Children(self._home.logs, mark, lambda words: self._tell("supervisor", "note", words), surroundings, self._note)
            self._start_parts(self._children)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops everything in order; harmless if nothing runs."""
        self._stopping = True  # first: from here on a signal hurries instead of raising
        if self._lock is None:
            return
        begun = time.monotonic()
        if self._children is not None:
            self._tell("stop", "begun")
            for helper in (self._locations, self._recycler, self._sampler):
                if helper is not None:
                    helper.stop()
            names = list(self._children.pids())
            apart = {services.COLLECTOR, services.SPARK, services.DATABASE}
            self._children.stop([[name for name in names if name not in apart], [services.COLLECTOR, services.SPARK], [services.DATABASE]])
            self._children = None
            shutil.rmtree(services.spark_folder(self._home.root), ignore_errors=True)  # rows may have been spilled there
            self._tell("stop", "done", seconds=time.monotonic() - begun)
        while self._ports:
            self._ports.pop().close()
        Settings.forget(self._home.root)
        self._lock.release()
        self._lock = None
        self._restore_handlers()

    def wait(self) -> None:
        """Stays until interrupted (raises Interrupted)."""
        while True:
            # A lock without a timeout would hold back the handlers of signals on some systems.
            threading.Event().wait(3600)

    def _start_parts(self, children: Children) -> None:
        home = self._home.root
        self._ports += [free_port(port) for port in (*self._wanted_ports, None)]
        web_port, collector_port, spark_port = (port.number for port in self._ports)
        token = new_token()

        def database() -> None:
            url = os.environ.get(POSTGRES_VARIABLE)
            if url is None:
                children.start(services.database(home))
            self._settings = self._addresses(database_urls(home, url), f"sc://localhost:{spark_port}/;token={token}", collector_port)
            self._settings.write()

        def tables() -> None:
            code, words = children.run(Spec("tables", (sys.executable, "-m", "platform_defs.running.prepare")))
            if code:
                raise StartFailed(f"the tables could not be made ready:\n{words[-4000:]}")
            self._locations = Locations(children, self.settings, CHECKOUT, web_port, lambda words: self._tell("contracts", "note", words))

        def spark() -> None:
            children.start(services.spark(children, home, spark_port, token, self._heap, brief=self._brief))

        def contracts() -> str | None:
            # Refused is not the end: what was applied before runs, and a mended file is applied when it is saved.
            return self.locations.apply()

        def code() -> None:
            self.locations.follow()

        def web() -> None:
            children.start(services.webserver(self.settings, self.locations.workspace, web_port))

        # What was applied last is loaded while Spark starts; what this start's apply changes is loaded again afterwards.
        early = ("tables",) if applied_domains(home) else ("contracts",)
        self._run(
            {
                "postgres": ((), database),
                "spark": ((), spark),
                "tables": (("postgres",), tables),
                "collector": (("tables",), lambda: _start(children, services.collector(self.settings, collector_port))),
                "contracts": (("tables",), contracts),
                "code": (early, code),
                "daemon": (("code",), lambda: _start(children, services.daemon(self.settings, self.locations.workspace))),
                "webserver": (("code",), web),
                "catalogue": (("contracts", "webserver"), code),
            }
        )
        self._settings = self.settings.model_copy(update={"dagster_url": f"http://127.0.0.1:{web_port}", "processes": children.pids()})
        self._settings.write()
        children.watch()
        self.locations.watch()
        self._recycler = Recycler(children, self._home.run, self._heap, self._limits, lambda words: self._tell("supervisor", "note", words))
        self._recycler.start()
        self._sampler = Sampler(self._mark, os.getpid(), memory_file(self._home.run))
        self._sampler.start()
        threading.Thread(target=self._archive, args=(children,), name="classes", daemon=True).start()
        self.started = True

    def _note(self, pids: Mapping[str, int]) -> None:
        """What was started again, or loaded anew, is another process now: `run.json` says which."""
        with contextlib.suppress(OSError):  # a disk that takes nothing: told by whatever else needs it
            self._settings = self.settings.model_copy(update={"processes": dict(pids)})
            self._settings.write()

    @staticmethod
    def _archive(children: Children) -> None:
        """The next start of Spark is to be quicker; that nothing came of it is nobody's trouble."""
        with contextlib.suppress(Stopping, ChildFailed):
            children.run(services.class_archiver())

    def _addresses(self, databases: Mapping[str, str], spark: str, collector_port: int) -> Settings:
        home = self._home.root
        return Settings(
            home=home,
            landing=str(home / "landing"),
            lake=str(home / "lake"),
            ledger_url=databases["ledger"],
            vault_url=databases["vault"],
            storage_url=databases["dagster"],
            spark_intake=spark,
            spark_lake=spark,
            collector_url=f"http://127.0.0.1:{collector_port}",
            assets=self._assets,
        )

    @property
    def locations(self) -> Locations:
        """The code locations; raises RuntimeError before they can be served."""
        if self._locations is None:
            raise RuntimeError("not started")
        return self._locations

    def _run(self, parts: Mapping[str, tuple[Sequence[str], Callable[[], str | None]]]) -> None:
        """Runs the parts side by side, each after those it needs. A part answers what it was refused, if that need not end the start."""
        sorter = TopologicalSorter({name: needs for name, (needs, _) in parts.items()})
        sorter.prepare()
        ended: queue.SimpleQueue[tuple[str, BaseException | None]] = queue.SimpleQueue()

        def work(name: str) -> None:
            begun = time.monotonic()
            try:
                self._tell(name, "begun")
                refused = parts[name][1]()
                self._tell(name, "failed" if refused else "done", refused or "", time.monotonic() - begun)
            except BaseException as error:  # noqa: BLE001 - told to the main thread, which raises it
                ended.put((name, error))
            else:
                ended.put((name, None))

        while sorter.is_active():
            for name in sorter.get_ready():
                threading.Thread(target=work, args=(name,), name=f"start-{name}", daemon=True).start()
            name, error = ended.get()
            if isinstance(error, ChildFailed):
                raise StartFailed(str(error)) from error
            if error is not None and not isinstance(error, Stopping):
                raise error
            sorter.done(name)

    def _tell(self, part: str, state: Literal["begun", "done", "failed", "note"], words: str = "", seconds: float = 0.0) -> None:
        # A terminal that is gone, a pipe that nobody reads (of which rich makes an exit), a full disk behind `> up.log`: nothing stops for want of a listener.
        with self._telling, contextlib.suppress(Exception, SystemExit):
            self._tell_outside(Progress(part, state, words, seconds))

    def _install_handlers(self) -> None:
        if self._signals:
            for number in _SIGNALS:
                self._handlers[number] = signal.signal(number, self._on_signal)

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._interrupts += 1
        if self._stopping or self._interrupts > 1:
            if self._interrupts > 1 and self._children is not None:
                self._children.hurry()
            return
        raise Interrupted(signal.Signals(number).name)


def database_urls(home: Path, url: str | None) -> dict[str, str]:
    """SQLAlchemy URLs of the three databases: of the embedded Postgres, or of the server `url` names, where they are made if they are missing.

    Raises StartFailed if that server does not answer or refuses.
    """
    from platform_defs.ledger.embedded import DATABASES, EmbeddedPostgres

    if url is None:
        embedded = EmbeddedPostgres(home / "pg")
        return {name: embedded.uri(name) for name in DATABASES}
    import sqlalchemy as sa

    server = sa.engine.make_url(url).set(drivername="postgresql+psycopg2")
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    try:
        with engine.connect() as connection:
            present = set(connection.execute(sa.text("SELECT datname FROM pg_database")).scalars())
            for name in DATABASES:
                if name not in present:
                    connection.execute(sa.text(f"CREATE DATABASE {name}"))
    except sa.exc.SQLAlchemyError as error:
        why = str(getattr(error, "orig", None) or type(error).__name__).strip()
        raise StartFailed(f"{POSTGRES_VARIABLE}: the server does not serve: {why}") from None
    return {name: server.set(database=name).render_as_string(hide_password=False) for name in DATABASES}


def _start(children: Children, spec: Spec) -> None:
    children.start(spec)
