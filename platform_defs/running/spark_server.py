"""The warm Spark Connect server of one machine: its command line, its settings, its start and its end.

Started without Spark's launcher script, which asks for a Java module that slim Javas lack. Sessions are made elsewhere (resources/spark.py).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from platform_defs.lake.columns import NEVER_TWICE
from platform_defs.running import class_archive, jars, java, keeper
from resources.spark_plans import INTERPRETED

_LOCAL = Path(__file__).parents[2] / "deploy" / "local"
LOG4J, POOLS = _LOCAL / "log4j2.properties", _LOCAL / "fairscheduler.xml"
_PACKAGES = (
    "java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util", "java.util.concurrent",
    "java.util.concurrent.atomic", "jdk.internal.ref", "sun.nio.ch", "sun.nio.cs", "sun.security.action", "sun.util.calendar",
)  # fmt: skip
OPENED = (
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _PACKAGES),
    "--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED", "--enable-native-access=ALL-UNNAMED",
)  # fmt: skip
"""What Spark needs of Java's modules."""
_READY_SECONDS = 300.0  # a loaded machine took 100; a server that died is noticed at once
_STOP_SECONDS = 10.0
_FEW_CORES = 4
# Some four times as late as Java would do it, its second compiler leaves what runs now and then alone: few cores have better to do in the first minutes.
_LATE = (
    "-XX:Tier4InvocationThreshold=20000", "-XX:Tier4MinInvocationThreshold=5000", "-XX:Tier4CompileThreshold=40000", "-XX:Tier4BackEdgeThreshold=200000",
)  # fmt: skip


class SparkServerError(RuntimeError):
    """The server did not start; the message carries the end of its log's story and where the log is."""


@dataclass(frozen=True)
class SparkServerSettings:
    """What the server is given.

    Attributes:
        folder: its own folder (made 0700): pid file, temporary files. Emptied of temporary files at start and stop.
        log: file its log is appended to (made 0600).
        heap: Java's -Xmx.
        cores: threads that run tasks.
        brief: whether it is for minutes and small hours: then few cores are spared Java's second compiler, which works beside the first runs (eight small
            builds took 22 s of processor time with it, 13 without). Large hours miss it from the first on: a million events took 40 s with it, 80 without.
        shuffle_partitions: of a shuffle; two are enough for hours of a laptop's data.
        conf: further Spark settings, which win over the platform's.
    """

    folder: Path
    log: Path
    heap: str = "3g"
    cores: int = field(default_factory=lambda: max(2, os.cpu_count() or 2))
    brief: bool = False
    shuffle_partitions: int = 2
    conf: Mapping[str, str] = field(default_factory=dict)

    @property
    def local(self) -> Path:
        """Temporary files and the working directory; raw rows may spill here, so it is wiped."""
        return self.folder / "local"


class SparkServer:
    """One Spark Connect server process, in its own process group, so that a terminal's Ctrl-C reaches its starter first.

    Whoever starts it stops it; a context manager does both. If the starter is killed, a keeper ends the server and the Python workers it forked.
    """

    def __init__(self, settings: SparkServerSettings, environ: Mapping[str, str] | None = None) -> None:
        self.settings = settings
        self._environ = dict(os.environ if environ is None else environ)
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._lifeline = -1
        self._mark = ""
        self._log_start = 0
        self._port = 0
        self._token = ""

    def __enter__(self) -> SparkServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address for clients, with its token. `localhost` and not 127.0.0.1, with which the client demands TLS."""
        return f"sc://localhost:{self._port}/;token={self._token}"

    @property
    def pid(self) -> int | None:
        """The Java process, None before start and after stop."""
        return self._process.pid if self._process else None

    def running(self) -> bool:
        """Whether the process lives (not whether it answers: that is `Engine.alive`)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the server and returns once it answers. Raises SparkServerError, NoJava or JarError."""
        if self.running():
            return
        import pyspark

        spark_home = Path(pyspark.__file__).parent
        chosen = java.choose(self._environ)
        delta = jars.ensure(chosen, spark_home, self._environ)
        self._token, self._mark = secrets.token_urlsafe(32), secrets.token_hex(16)
        self._keeper, self._lifeline = keeper.start(self._mark)
        for attempt in range(3):  # a port that was free may be taken before Java binds it
            prepare(self.settings)
            self._port = _free_port()
            self._spawn(chosen, spark_home, delta)
            if self._wait():
                return
            if attempt == 2 or "BindException" not in self._story():
                break
        story = self._story()
        self.stop()
        raise SparkServerError(f"Spark did not start: {story}. Its log is {self.settings.log}; memory asked for: {self.settings.heap}")

    def stop(self) -> None:
        """Ends the server and whatever it started, and wipes its temporary files. Harmless if it does not run."""
        if self._process is not None:
            _end(self._process)
            self._process = None
        if self._keeper is not None:
            os.close(self._lifeline)  # the keeper ends what is left, Python workers that outlived Java, and then itself
            self._keeper.wait()
            self._keeper = None
        wipe(self.settings)

    def _spawn(self, chosen: java.Java, spark_home: Path, delta: list[Path]) -> None:
        descriptor = os.open(self.settings.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        archived = class_archive.options(chosen, classpath_of(spark_home, delta), self._environ)
        with os.fdopen(descriptor, "ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                command(self.settings, chosen, spark_home, delta, self._port, archived),
                env=environment(self.settings, self._environ, spark_home, self._token) | {keeper.MARK: self._mark},
                cwd=self.settings.local, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, umask=0o077,
            )  # fmt: skip

    def _wait(self) -> bool:
        from resources.spark import SparkEngine

        until = time.monotonic() + _READY_SECONDS
        while self.running() and time.monotonic() < until:
            with socket.socket() as probe:
                probe.settimeout(1)
                open_now = probe.connect_ex(("127.0.0.1", self._port)) == 0
            if open_now and SparkEngine(self.url, "lake").alive():  # the port opens seconds before the first answer
                return True
            time.sleep(0.05)
        return False

    def _story(self) -> str:
        """The first error line that this start wrote to the log, and the one after it."""
        with self.settings.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read(200_000).decode(errors="replace").splitlines()
        first = next((i for i, line in enumerate(lines) if any(word in line for word in ("Exception", "Error", "error"))), None)
        return "it wrote no error" if first is None else " ".join(line.strip() for line in lines[first : first + 2])[:500]


def prepare(settings: SparkServerSettings) -> None:
    """Makes the server's folders and wipes what an earlier one left in them."""
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.folder.chmod(0o700)
    wipe(settings)
    settings.local.mkdir(mode=0o700)
    settings.log.parent.mkdir(parents=True, exist_ok=True)


def wipe(settings: SparkServerSettings) -> None:
    """Removes what the server left in its temporary folder: before its start, after its end."""
    shutil.rmtree(settings.local, ignore_errors=True)


def environment(settings: SparkServerSettings, environ: Mapping[str, str], spark_home: Path, token: str) -> dict[str, str]:
    """The whole environment of the server: the given one without what would steer Spark or Java. Pure."""
    kept = {name: value for name, value in environ.items() if not name.startswith(("SPARK_", "PYSPARK_", "JDK_JAVA", "BACKLINE_"))}
    return kept | {
        "SPARK_HOME": str(spark_home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": token,  # here and not on the command line, where every user of the machine could read it
        "PYSPARK_PYTHON": sys.executable,
        "TMPDIR": str(settings.local),
    }


def classpath_of(spark_home: Path, delta: Iterable[Path]) -> str:
    """Spark's jars and ours, by the names that they have whichever way they were found."""
    return os.pathsep.join([f"{spark_home.resolve() / 'jars'}/*", *(str(jar.resolve()) for jar in delta)])


def command(settings: SparkServerSettings, chosen: java.Java, spark_home: Path, delta: list[Path], port: int, archived: Sequence[str] = ()) -> list[str]:
    """The whole command line of the server. Pure. `archived`: what it says of the archive of classes."""
    local = settings.local
    conf = {
        "spark.app.name": "backline",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.local.dir": str(local),
        "spark.sql.warehouse.dir": str(local / "warehouse"),
        "spark.scheduler.mode": "FAIR",
        "spark.scheduler.allocation.file": POOLS.as_uri(),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.connect.serverStacktrace.enabled": "false",  # 200 lines of Scala in every Python error
        "spark.connect.session.manager.defaultSessionTimeout": "12h",  # the default hour ends a session that only waited
        "spark.sql.variable.substitute": "false",  # or ${env:...} in a description would be the server's environment
        "spark.sql.shuffle.partitions": str(settings.shuffle_partitions),
        **INTERPRETED,  # a session with many rows says so (Engine.sized)
        # Whole numbers, whose least and greatest the end of a file tells; of the default, 96-bit ones, it does not.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.codegen.cache.maxEntries": "5000",  # the default 100 makes every tiny publish compile anew
        "spark.sql.adaptive.enabled": "false",  # tiny publishes: a stage by stage replanning costs more than it saves
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",  # the default 10,000 tasks made a vacuum of two files take 29 s
        "spark.hadoop.fs.permissions.umask-mode": "077",  # Hadoop sets the modes itself, whatever the process's umask
        "spark.databricks.delta.vacuum.logging.enabled": "false",  # two commits that say a vacuum began and ended
        "spark.databricks.delta.snapshotPartitions": "1",  # the default 50 tasks a snapshot made a tiny publish take 2.3 s; 0.4 s so
        "spark.databricks.delta.properties.defaults.checkpointInterval": "100",
        **{f"spark.hadoop.parquet.enable.dictionary#{name}": "false" for name in NEVER_TWICE},
        # All Parquet writers of a server share nine tenths of its heap by the sizes of their row groups, 128 MB each unless told: with more than fifteen of
        # them open (a range of 24 hours has them), each is given less than it asked for, and one of 1 MB failed: less than this was an error.
        "spark.hadoop.parquet.memory.min.chunk.size": "0",
        "spark.sql.files.openCostInBytes": "1048576",  # no file is split into less than this: of the default 4 MB, an hour of a million rows has one
        # The hours of a range are written side by side: else each write first sorts all its rows by hour.
        "spark.sql.maxConcurrentOutputFileWriters": "50",
        **settings.conf,
    }
    properties = {
        "java.io.tmpdir": str(local),
        "java.net.preferIPv4Stack": "true",
        "jdk.reflect.useDirectMethodHandle": "false",
        "io.netty.tryReflectionSetAccessible": "true",
        "io.netty.allocator.type": "pooled",
        "io.netty.handler.ssl.defaultEndpointVerificationAlgorithm": "NONE",
        "log4j2.configurationFile": LOG4J.as_uri(),
        "user.timezone": "UTC",
    }
    return [
        str(chosen.executable), "-XX:+IgnoreUnrecognizedVMOptions", *OPENED, *archived, *(f"-D{name}={value}" for name, value in properties.items()),
        # Each plan is compiled to a class of its own: with the first compiler alone Java sets 48 MB aside for them, and a server with a full one ends itself.
        "-XX:ReservedCodeCacheSize=512m", *_compilers(settings),
        "-XX:+UseParallelGC", f"-Xmx{settings.heap}", "-XX:-HeapDumpOnOutOfMemoryError", "-XX:+ExitOnOutOfMemoryError", f"-XX:ErrorFile={local}/hs_err.log",
        "-cp", classpath_of(spark_home, delta),
        "org.apache.spark.deploy.SparkSubmit", "--master", f"local[{settings.cores}]",
        *(part for name, value in conf.items() for part in ("--conf", f"{name}={value}")),
        "--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal",
    ]  # fmt: skip


def _compilers(settings: SparkServerSettings) -> tuple[str, ...]:
    if (os.cpu_count() or 2) > _FEW_CORES:
        return ()
    return ("-XX:TieredStopAtLevel=1",) if settings.brief else _LATE


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the server's process group: kindly, after 10 s for good."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, ending)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
            return
