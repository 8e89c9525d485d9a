"""The processes that make a Backline, as specs: command, environment, when each is ready, how it ends. In which order they start is in `supervisor`."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

from platform_defs.build import processes as dagster
from platform_defs.running import class_archive, jars, java, run_sockets, spark_server
from platform_defs.running.home import accepts
from platform_defs.running.processes import Children, Spec
from resources.settings import Settings

DATABASE, SPARK, COLLECTOR, DAEMON, WEB = "postgres", "spark", "collector", "daemon", "webserver"
_PROBE_SECONDS = 1.0
# Of RFC 9113: the preface, and a frame of settings that sets nothing.
_HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_ALIVE_SECONDS = 5.0


def code_server_name(domain: str) -> str:
    """What a domain's code server is called among the children."""
    return f"code-{domain}"


def database(home: Path) -> Spec:
    """The embedded Postgres."""
    ready = home / "run" / "postgres.ready"
    return Spec(
        DATABASE,
        (sys.executable, "-m", "platform_defs.running.database", str(home / "pg"), str(ready)),
        ready=ready.exists,
        ready_seconds=150.0,  # crash recovery may take its time
        stop_seconds=20.0,
        before=lambda: ready.unlink(missing_ok=True),
    )


def spark_folder(home: Path) -> Path:
    """The Spark server's own folder."""
    return home / "spark"


def spark(children: Children, home: Path, port: int, token: str, heap: str, *, brief: bool = False) -> Spec:
    """The Spark Connect server. Looks for Java and has the jars fetched that are missing: raises NoJava or JarError. `brief`: it is for minutes."""
    found = find_spec("pyspark")
    if found is None or found.origin is None:
        raise java.NoJava("the package pyspark is not installed: install backline[platform]")
    spark_home = Path(found.origin).parent
    chosen = java.choose(os.environ)
    if not jars.cached():
        # As a child, so that it ends with the others when somebody presses Ctrl-C.
        code, words = children.run(Spec("jars", (sys.executable, "-m", "platform_defs.running.jars")))
        if code:
            raise jars.JarError(words.strip()[-2000:])
    delta = jars.ensure(chosen, spark_home, os.environ)
    archived = class_archive.options(chosen, spark_server.classpath_of(spark_home, delta), os.environ)
    settings = spark_server.SparkServerSettings(folder=spark_folder(home), log=home / "logs" / f"{SPARK}.log", heap=heap, brief=brief)
    return Spec(
        SPARK,
        tuple(spark_server.command(settings, chosen, spark_home, delta, port, archived)),
        environment=spark_server.environment(settings, os.environ, spark_home, token),
        inherit=False,
        folder=settings.local,
        ready=lambda: accepts(("127.0.0.1", port)),
        ready_seconds=300.0,  # 5 s on an idle machine, over a minute on one that is busy with something else
        alive=lambda: greets(port, _ALIVE_SECONDS),
        stop_seconds=10.0,
        before=lambda: spark_server.prepare(settings),
    )


def class_archiver() -> Spec:
    """Makes the archive of Spark's classes for the next start, and ends."""
    return Spec("classes", (sys.executable, "-m", "platform_defs.running.class_archive"))


def collector(settings: Settings, port: int) -> Spec:
    """Receiver and sealer."""
    return Spec(
        COLLECTOR,
        (sys.executable, "-m", "platform_defs.cli", "collector", "run", "--port", str(port)),
        environment={"BACKLINE_HOME": str(settings.home)},
        ready=lambda: answers(port, "/healthz"),
        alive=lambda: fetch(port, "/healthz", _ALIVE_SECONDS)[0] > 0,
        stop_seconds=10.0,
    )


def code_server(settings: Settings, domain: str, checkout: Path, module: str = dagster.LOCATION_MODULE) -> Spec:
    """The code server of one domain where runs do not come from a host: Dagster's own, which its default launcher asks for runs.

    `module` has the domain's definitions as an attribute of the domain's name.
    """
    path = dagster.socket_of(settings, domain)
    return Spec(
        code_server_name(domain),
        dagster.code_server_command(settings, domain, checkout, module),
        environment=dagster.environment(settings),
        ready=lambda: accepts(str(path)),
        ready_seconds=300.0,
        # It keeps nothing. Asked to end, the server behind its socket spins in gRPC's destructor: eight seconds of a core each, until it was killed.
        stop_signal=signal.SIGKILL,
        before=lambda: path.unlink(missing_ok=True),
    )


def host(settings: Settings, domain: str, checkout: Path, module: str = dagster.LOCATION_MODULE) -> Spec:
    """The warm host of one domain: its code server, and what its runs are forked from. It takes over the sockets of one that is there already.

    `module` has the domain's definitions as an attribute of the domain's name.
    """
    code, runs = dagster.socket_of(settings, domain), run_sockets.socket_of(settings.run, domain)
    before = {path: _inode(path) for path in (code, runs)}
    target = ("--module", module, "--attribute", domain, "--working-directory", str(checkout))
    return Spec(
        code_server_name(domain),
        (sys.executable, "-m", "platform_defs.running.run_host", "--socket", str(runs), *target, "--code-socket", str(code), "--location-name", domain),
        environment=dagster.environment(settings),
        ready=lambda: all(_inode(path) not in (None, was) for path, was in before.items()),
        ready_seconds=300.0,
        stop_seconds=15.0,  # it ends the runs it forked, each in its own time
    )


def daemon(settings: Settings, workspace: Path) -> Spec:
    """Dagster's daemon."""
    return Spec(DAEMON, dagster.daemon_command(workspace), environment=dagster.environment(settings))


def webserver(settings: Settings, workspace: Path, port: int) -> Spec:
    """Dagster's web pages."""
    return Spec(
        WEB,
        dagster.webserver_command(workspace, port),
        environment=dagster.environment(settings),
        ready=lambda: answers(port, "/server_info"),
        ready_seconds=300.0,
    )


def answers(port: int, path: str) -> bool:
    """Whether a server on this machine answers a GET with 200."""
    status, _ = fetch(port, path)
    return status == http.HTTPStatus.OK


def greets(port: int, seconds: float = _PROBE_SECONDS) -> bool:
    """Whether a server of HTTP/2 on this machine, as Spark's is, says its first word. That a connection is taken says little: the system takes it."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
            connection.sendall(_HTTP2_GREETING)
            return bool(connection.recv(1))
    except OSError:
        return False


def fetch(port: int, path: str, seconds: float = _PROBE_SECONDS) -> tuple[int, bytes]:
    """Status and body of a GET from a server on this machine; status 0 if it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def _inode(path: Path) -> int | None:
    try:
        return path.lstat().st_ino  # of a link, not of what it stands for
    except FileNotFoundError:
        return None
