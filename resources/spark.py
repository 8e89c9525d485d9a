"""Sessions of the distributed engine over Spark Connect: the only place where sessions are made (DESIGN 7).

Who starts the server belongs to running/spark_server.py; what is written to tables belongs to lake.
"""

from __future__ import annotations

import os
import threading
import time
import urllib.parse
import uuid
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from platform_defs.contracts.contract import Tier
from platform_defs.lake.engine import Engine, EngineError, Zone
from resources.spark_plans import COMPILED, COMPILED_FROM_ROWS, INTERPRETED, TIER_POOLS
from resources.spark_use import ServerUse
from resources.spark_watch import Watch

USER = "backline"
_NAMESPACE = uuid.UUID("6f0c8f0e-5f0e-5a51-9a53-7a3f1f1d2f10")
_UNARY_SECONDS = 120.0  # analysis and settings answer in milliseconds
_STREAM_SECONDS = 180.0  # the server itself ends every result stream after 2 minutes and the client takes it up again: longer is a hung server
_INTERRUPT_SECONDS = 120.0
_ALIVE_SECONDS = 3.0
# A stopped server is noticed after three questions without an answer, 35 to 50 s. No pause of Java's is so long; a busy machine answers in half a second.
_WATCH_SECONDS, _WATCH_ANSWER_SECONDS = 5.0, 10.0
# The client's own policy retries for minutes when the server is gone: 5 tries are 6 s.
_RETRIES = {"max_retries": 5, "initial_backoff": 50, "max_backoff": 3000, "backoff_multiplier": 4.0}


class StillRunning(EngineError):
    """What was interrupted has not ended within the time given: nobody may write to its tables yet."""


def session_id(run_id: str, zone: Zone = "lake") -> str:
    """Id of a run's session in a zone: a function of both, so that whoever takes over can name it though one server may serve both zones."""
    return str(uuid.uuid5(_NAMESPACE, f"{zone}:{run_id}"))


class _CallDetails(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _Streams:
    """The streams of results that an engine waits for, so that all of them can be ended: a client's channel must not be closed under its threads."""

    def __init__(self) -> None:
        self._waiting: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._ended: EngineError | None = None

    def add(self, call: Any) -> None:
        with self._lock:
            self._waiting.add(call)
        self.check()

    def check(self) -> None:
        """Raises what the streams were ended with."""
        if self._ended is not None:
            raise EngineError(*self._ended.args)

    def end(self, error: EngineError) -> None:
        """Ends all of them; every later call raises this."""
        with self._lock:
            self._ended, waiting = error, list(self._waiting)
        for call in waiting:
            call.cancel()


class _Deadlines(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]
    """Gives every call a deadline: the client sets none, and a client of a stopped server hung."""

    def __init__(self, unary: float, stream: float, streams: _Streams) -> None:
        self._unary, self._stream, self._streams = unary, stream, streams

    def intercept_unary_unary(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        self._streams.check()
        return continuation(_with_timeout(details, self._unary), request)

    def intercept_unary_stream(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        self._streams.check()
        call = continuation(_with_timeout(details, self._stream), request)
        self._streams.add(call)
        return call


def _with_timeout(details: Any, seconds: float) -> _CallDetails:
    return _CallDetails(
        details.method, details.timeout or seconds, details.metadata, details.credentials,
        getattr(details, "wait_for_ready", None), getattr(details, "compression", None),
    )  # fmt: skip


class SparkEngine:
    """One Spark Connect server in one trust zone. Safe to use from several threads; make it after a fork, not before."""

    def __init__(self, url: str, zone: Zone, use: ServerUse | None = None) -> None:
        """`url`: `sc://localhost:PORT/;token=...` as the server says it. `use`: what keeps the server from being restarted under us, if somebody does that."""
        self.zone: Zone = zone
        self._use = use
        self._watch: Watch | None = None
        self._streams = _Streams()
        self._url = url
        self._lock = threading.RLock()
        self._sessions: dict[str, SparkSession] = {}
        self._compiling: set[str] = set()
        self._tiers: dict[str, Tier] = {}

    def session(self, run_id: str) -> SparkSession:
        """The session of this run, opened on first use. Raises EngineError if the server does not answer, or if somebody ended the run's session."""
        with self._lock:
            self._streams.check()
            held = self._sessions.get(run_id)
            if held is None:
                self._begin_use()
                held = self._open(session_id(run_id, self.zone), _UNARY_SECONDS, _RETRIES)
                try:
                    _client(held).get_config_dict("spark.app.name")
                except (PySparkException, grpc.RpcError) as error:
                    _client(held).close()
                    raise self._explained(error, run_id) from None
                self._sessions[run_id] = held
                self._watch = self._watch or _watched(self)
            _make_active(held)
            return held

    @contextmanager
    def tagged(self, session: SparkSession, *tags: str) -> Iterator[None]:
        """Every operation that this thread starts inside carries the tags. Other threads tag their own."""
        clean = [tag.replace(",", "+") for tag in tags if tag]
        new = [tag for tag in dict.fromkeys(clean) if tag not in session.getTags()]
        for tag in new:
            session.addTag(tag)
        try:
            yield
        finally:
            for tag in new:
                session.removeTag(tag)

    def sized(self, session: SparkSession, rows: int | None) -> None:
        """Has the session's next plans compiled if they see many rows, interpreted if few. Two short calls where that changes, none where not."""
        identity, many = _client(session)._session_id, rows is None or rows >= COMPILED_FROM_ROWS
        with self._lock:
            if many != (identity in self._compiling):
                for name, value in (COMPILED if many else INTERPRETED).items():
                    session.conf.set(name, value)
                (self._compiling.add if many else self._compiling.discard)(identity)

    def ranked(self, session: SparkSession, tier: Tier) -> None:
        """Puts the session's next jobs into its tier's pool (deploy/local/fairscheduler.xml). A short call where the tier changes, none where not.

        Connect has no call for a pool, which is a property of a thread of the server: but while a plan runs, Spark makes such properties of all settings of
        its session. A run that a person asked for may hold several tiers: the endpoint that came last decides for all of it.
        """
        identity = _client(session)._session_id
        with self._lock:
            if tier != self._tiers.get(identity, "normal"):
                session.conf.set("spark.scheduler.pool", TIER_POOLS[tier])
                self._tiers[identity] = tier

    def interrupt(self, run_id: str) -> int:
        """Interrupts all that the run's session does in the server and waits until nothing of it runs.

        A session that this process does not hold belongs to somebody who is gone: it is ended too, so that nothing more can come from it.
        Returns how many operations were hit; raises StillRunning after 2 minutes, EngineError if the server does not answer.
        """
        with self._lock:
            held = self._sessions.get(run_id)
            if held is None:
                self._begin_use()
        session = held or self._open(session_id(run_id, self.zone), _UNARY_SECONDS, _RETRIES)
        client = _client(session)
        hit = set[str]()
        try:
            hit |= {*(client.interrupt_all() or ())}
            until = time.monotonic() + _INTERRUPT_SECONDS
            while running := self._running(client):
                if time.monotonic() > until:
                    raise StillRunning(f"{len(running)} operations of run {run_id} did not end within {_INTERRUPT_SECONDS:.0f} s: restart Spark, then retry")
                time.sleep(0.05)
                hit |= {*(client.interrupt_all() or ())}
            if held is None:
                client.release_session()
        except (PySparkException, grpc.RpcError) as error:
            if "SESSION_CLOSED" in str(error):  # ended before: nothing of it can run or start
                return 0
            if "SESSION_ALREADY_CLOSED" in str(error):  # ended by somebody who took over another of the run's leases just now
                return len(hit)
            raise self._explained(error, run_id) from None
        finally:
            if held is None:
                client.close()
        return len(hit)

    def release(self, run_id: str) -> None:
        """Ends the run's session for good; harmless if this process holds none or the server is gone."""
        with self._lock:
            held = self._sessions.pop(run_id, None)
            if not self._sessions and self._watch is not None:
                self._watch.end()
                self._watch = None
        if held is not None:
            self._compiling.discard(_client(held)._session_id)
            self._tiers.pop(_client(held)._session_id, None)
            held.stop()

    def close(self) -> None:
        """Ends all sessions that this process holds: the server keeps what nobody ends for hours."""
        with self._lock:
            held = list(self._sessions)
        for run_id in held:
            self.release(run_id)

    def alive(self, seconds: float = _ALIVE_SECONDS) -> bool:
        """Whether the server answers within that time."""
        # in a variable: a session that is collected closes its client
        session = self._open(session_id("alive", self.zone), seconds, {**_RETRIES, "max_retries": 0}, _Streams())
        try:
            _client(session).get_config_dict("spark.app.name")
        except (PySparkException, grpc.RpcError):
            return False
        finally:
            _client(session).close()
        return True

    def _begin_use(self) -> None:
        if self._use is not None:
            self._use.begin()

    def _give_up(self) -> None:
        """Ends what waits for results; whoever waits gets an error, and so does whoever asks again."""
        where = urllib.parse.urlsplit(self._url).netloc
        words = "has stopped answering though its process is there: see `backline status` and its log; start the command anew"
        self._streams.end(EngineError(f"Spark at {where} {words}"))

    def _open(self, identity: str, unary_seconds: float, retries: dict[str, Any], streams: _Streams | None = None) -> SparkSession:
        from pyspark.sql.connect.client import DefaultChannelBuilder
        from pyspark.sql.connect.client.retries import DefaultPolicy
        from pyspark.sql.connect.session import SparkSession as ConnectSession

        warnings.filterwarnings("ignore", message=r"\[RETRIES_EXCEEDED\]")  # what follows is an error that says more
        os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"  # what SparkSession.builder.remote() sets: pyspark.sql.functions looks at it
        channel = DefaultChannelBuilder(f"{self._url};user_id={USER};session_id={identity}")
        channel.add_interceptor(_Deadlines(unary_seconds, _STREAM_SECONDS, streams or self._streams))
        session = ConnectSession(connection=channel)
        session.client.set_retry_policies([DefaultPolicy(**retries)])
        return session  # type: ignore[return-value]

    @staticmethod
    def _running(client: Any) -> list[str]:
        """Ids of the session's operations that run or are ending."""
        from pyspark.sql.connect.proto import base_pb2

        states = base_pb2.GetStatusResponse.OperationStatus
        busy = {states.OPERATION_STATE_RUNNING, states.OPERATION_STATE_TERMINATING}
        return [status.operation_id for status in client._get_operation_statuses().operation_statuses if status.state in busy]

    def _explained(self, error: Exception, run_id: str) -> EngineError:
        where = urllib.parse.urlsplit(self._url).netloc
        text = str(error)
        if "SESSION_CLOSED" in text:
            return EngineError(f"the Spark session of run {run_id} was ended, by itself or by a run that took over its lease: start a new run")
        if "UNAUTHENTICATED" in text:
            return EngineError(f"Spark at {where} does not know our token: it was restarted since this process read its address; start this command anew")
        condition = error.getCondition() if isinstance(error, PySparkException) else None
        if condition and not condition.startswith("RETRIES_EXCEEDED"):
            return EngineError(f"Spark at {where} answers {condition}: see `backline logs spark`")
        return EngineError(f"Spark at {where} does not answer: see `backline status`, or start it with ./backline up")


def _watched(engine: SparkEngine) -> Watch:
    """Watches the engine's server for as long as somebody holds the engine: the watch itself must not keep it."""
    held, patience = weakref.ref(engine), _WATCH_ANSWER_SECONDS

    def answers() -> bool:
        watched = held()
        return watched is None or watched.alive(patience)

    def gone() -> None:
        if (watched := held()) is not None:
            watched._give_up()

    watch = Watch(answers, gone, _WATCH_SECONDS)
    weakref.finalize(engine, watch.end)
    return watch


class SparkEngines:
    """The engines of both trust zones. On a laptop both addresses are one server, and the engine of each zone has sessions of its own."""

    def __init__(self, intake_url: str, lake_url: str, use: ServerUse | None = None) -> None:
        """`use`: from the first session until `close` the servers are not restarted."""
        self._use = use
        self._engines: dict[Zone, SparkEngine] = {"intake": SparkEngine(intake_url, "intake", use), "lake": SparkEngine(lake_url, "lake", use)}

    def engine(self, zone: Zone) -> Engine:
        """The engine of that zone."""
        return self._engines[zone]

    def engines(self) -> Iterator[Engine]:
        """Both, each once."""
        yield from self._engines.values()

    def close(self) -> None:
        """Ends all sessions that this process holds, in both zones."""
        for engine in self._engines.values():
            engine.close()
        if self._use is not None:
            self._use.end()


def _make_active(session: SparkSession) -> None:
    """Functions that ask for the active session (a UDF does) find this one in this thread. pyspark keeps the first it is told, its server gone or not."""
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    ConnectSession._active_session.session = session
    ConnectSession._set_default_and_active_session(session)  # type: ignore[arg-type]  # the default of threads that were told none


def _client(session: SparkSession) -> Any:
    """The Connect client of a session; pyspark types it as the classic session, which has none."""
    return session.client
