"""The SDK: how a product's process sends events. Needs pydantic and httpx alone.

    client = Client("http://127.0.0.1:8787", token, buffer="events.db")
    client.send(TrackPlayed(play_id=..., ...))

An event is checked, gets an id and a time, and is on the disk when `send` returns; a thread of its own brings it to the collector and keeps it until it
is acknowledged, over restarts of either side. Sending twice is harmless: the platform knows an event by client, type and id. The buffer is in `buffer`.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import random
import secrets
import sqlite3
import threading
import time as clock
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import BaseModel

from platform_defs.collection.buffer import Buffer, BufferFull, RejectedEvent, Waiting
from platform_defs.contracts.compiling import snake_case
from platform_defs.contracts.endpoints import domain_of

__all__ = ["BufferFull", "Client", "EventTooLarge", "RejectedEvent", "event_type", "uuid7"]

_LOG = logging.getLogger(__name__)
_EVENT_BYTES = 256 << 10  # the receiver's limits
_BATCH_BYTES = 4 << 20
_HEADERS = {"Content-Type": "application/cloudevents-batch+json"}
_AGAIN = frozenset({408, 425, 429})


class EventTooLarge(ValueError):
    """The event is over what the receiver takes; it was not kept."""


class Client:
    """Sends events to one collector.

    Args:
        url: of the collector, `http://127.0.0.1:8787`.
        token: of this client.
        buffer: file that keeps events until they are acknowledged. Processes may share it (forked workers do): one of them sends.
        source: CloudEvents source; goes to no table.
        batch: events a request.
        timeout: seconds for one request.
        most_bytes: size of the buffer behind which `send` raises BufferFull.
        durable: fsync at each send; without it a power cut may take the last instants, a killed process nothing.
        transport: for tests, or a proxy of your own.
        backoff: seconds to wait after the n-th failure in a row (from 1) if the collector says nothing; default doubling from 0.2 to 30 with jitter.
    """

    def __init__(
        self,
        url: str,
        token: str,
        buffer: str | os.PathLike[str],
        *,
        source: str = "backline-sdk",
        batch: int = 500,
        timeout: float = 30.0,
        most_bytes: int = 1 << 30,
        durable: bool = False,
        transport: httpx.BaseTransport | None = None,
        backoff: Callable[[int], float] | None = None,
    ) -> None:
        self._url, self._token, self._source = url.rstrip("/") + "/events", token, source
        self._batch, self._timeout, self._transport = batch, timeout, transport
        self._backoff = backoff or _jittered
        self._buffer = Buffer(Path(buffer), most_bytes=most_bytes, durable=durable)
        self._closed = False
        self.problem: str | None = None
        self._begin()
        atexit.register(self._at_exit)

    def send(self, event: BaseModel, *, time: datetime | None = None, id: str | None = None) -> str:
        """Keeps an event to be sent; returns its id.

        Args:
            time: when it happened, aware; now if not given.
            id: unique for this client and type; a UUIDv7 if not given. The same id again is the same event.

        Raises:
            pydantic.ValidationError: the event breaks its own class (it was changed, or built without validation).
            ValueError: a naive time, an empty id. EventTooLarge. BufferFull.
        """
        return self.send_many([event], times=[time], ids=[id])[0]

    def send_many(self, events: Sequence[BaseModel], *, times: Sequence[datetime | None] | None = None, ids: Sequence[str | None] | None = None) -> list[str]:
        """As `send`, of many events in one write to the buffer (all or none)."""
        made = []
        for position, event in enumerate(events):
            data = event.model_dump_json(warnings=False)  # its warnings would show values; what they are about fails below
            type(event).model_validate_json(data)
            made.append(self._cloud_event(event_type(type(event)), data, ids[position] if ids else None, times[position] if times else None))
        return self._keep(made)

    def send_raw(self, type: str, data: Any, *, id: str | None = None, time: datetime | None = None) -> str:
        """Keeps an event given as JSON-able data, judged by the receiver alone; returns its id. Raises as `send` does."""
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
        return self._keep([self._cloud_event(type, text, id, time)])[0]

    def flush(self, timeout: float = 30.0) -> bool:
        """Waits until everything sent so far is acknowledged or rejected; False if that takes longer than `timeout` seconds."""
        self._of_this_process()
        deadline = clock.monotonic() + timeout
        span = self._buffer.span()
        until = span[1] if span else 0
        self._hurry()
        with self._settled:
            while (span := self._buffer.span()) is not None and span[0] <= until:
                left = deadline - clock.monotonic()
                if left <= 0 or self._closed:
                    return False
                self._settled.wait(min(left, 0.1))  # another process may be the one that sends
        return True

    def waiting(self) -> int:
        """How many events are not acknowledged yet."""
        return self._buffer.counts()[0]

    def rejected(self) -> list[RejectedEvent]:
        """Events the receiver refused for good; they stay in the buffer until `forget_rejected`."""
        return self._buffer.rejected()

    def forget_rejected(self) -> int:
        """Deletes the rejected events; how many."""
        return self._buffer.forget_rejected()

    def close(self, timeout: float = 5.0) -> bool:
        """Sends what it can in `timeout` seconds and ends; False if events stay in the buffer, for the next start."""
        if self._closed:
            return True
        done = self.flush(timeout) if timeout > 0 else self.waiting() == 0
        self._closed = True
        self._hurry()
        self._thread.join(timeout=self._timeout)
        self._buffer.close()
        atexit.unregister(self._at_exit)
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _begin(self) -> None:
        """The parts that belong to one process."""
        self._process = os.getpid()
        self._wake = threading.Event()
        self._settled = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="backline-sdk", daemon=True)
        self._thread.start()

    def _of_this_process(self) -> None:
        if self._closed:
            raise RuntimeError("this client is closed: make a new one")
        if self._process != os.getpid():
            self._begin()

    def _cloud_event(self, type_: str, data: str, id_: str | None, time: datetime | None) -> tuple[str, bytes]:
        at = time or datetime.now(UTC)
        if at.tzinfo is None:
            raise ValueError("the event's time has no time zone: give an aware datetime")
        if id_ is not None and not 0 < len(id_) <= 200:
            raise ValueError("an event's id has 1 to 200 characters")
        id_ = id_ or str(uuid7())
        stamp = at.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"
        head = json.dumps({"specversion": "1.0", "id": id_, "source": self._source, "type": type_, "time": stamp}, separators=(",", ":"))
        body = f'{head[:-1]},"data":{data}}}'.encode()
        if len(body) > _EVENT_BYTES:
            raise EventTooLarge(f"an event of {type_} has {len(body)} bytes; the collector takes {_EVENT_BYTES}")
        return id_, body

    def _keep(self, events: list[tuple[str, bytes]]) -> list[str]:
        self._of_this_process()
        if events:
            self._buffer.add(events)
            self._hurry()
        return [id_ for id_, _ in events]

    def _hurry(self) -> None:
        self._wake.set()

    def _run(self) -> None:
        failures = 0
        with httpx.Client(transport=self._transport, timeout=self._timeout, headers={**_HEADERS, "Authorization": f"Bearer {self._token}"}) as http:
            while not self._closed:
                self._wake.clear()
                try:
                    pause = self._step(http)
                except sqlite3.Error as error:
                    pause = self._trouble(f"the buffer cannot be used ({type(error).__name__})", 0)
                failures = 0 if pause is None else failures + 1
                if pause is not None:
                    self._pause(pause or self._backoff(failures))

    def _step(self, http: httpx.Client) -> float | None:
        """The oldest events, once; as `_deliver` answers. Without any to send it waits for one, a second at most: another process may add some."""
        events = self._buffer.next(self._batch, _BATCH_BYTES) if self._buffer.may_send() else []
        if events:
            return self._deliver(http, events)
        self._wake.wait(1.0)
        return None

    def _pause(self, seconds: float) -> None:
        """Waits, but not once the client is closed; a new event does not shorten it."""
        until = clock.monotonic() + seconds
        while not self._closed and (left := until - clock.monotonic()) > 0:
            self._wake.wait(left)
            if not self._closed:
                self._wake.clear()

    def _deliver(self, http: httpx.Client, events: list[Waiting]) -> float | None:
        """One request. None: go on at once; a number: wait that many seconds (0: as the backoff says)."""
        try:
            answer = http.post(self._url, content=b"[" + b",".join(one.body for one in events) + b"]")
        except httpx.HTTPError as error:
            return self._trouble(f"the collector cannot be reached ({type(error).__name__})", 0)
        if answer.status_code == 202:
            verdicts = _said(answer).get("events")
            if not isinstance(verdicts, list) or len(verdicts) != len(events):
                return self._trouble("the answer does not fit what was sent: is it a collector?", 0)
            rejected = [
                (one, str(verdict["reason"]), str(verdict["detail"])) for one, verdict in zip(events, verdicts, strict=True) if verdict["status"] == "rejected"
            ]
            refused = {one.seq for one, _, _ in rejected}
            self.problem = None  # before whoever waits for the end is woken
            self._settle([one for one in events if one.seq not in refused], rejected)
            return None
        if answer.status_code in (400, 413):
            if len(events) == 1:
                said = _said(answer)
                self._settle([], [(events[0], str(said.get("error", "malformed")), str(said.get("detail", "")))])
                return None
            for start, end in ((0, len(events) // 2), (len(events) // 2, len(events))):  # find the one it is about
                pause = self._deliver(http, events[start:end])
                if pause is not None:
                    return pause
            return None
        wait = _retry_after(answer) if answer.status_code in _AGAIN or answer.status_code >= 500 else 0
        return self._trouble(f"the collector answers {answer.status_code} {_said(answer).get('error', '')}".rstrip(), wait)

    def _settle(self, accepted: list[Waiting], rejected: list[tuple[Waiting, str, str]]) -> None:
        self._buffer.settle(accepted, rejected)
        if rejected:
            _LOG.warning("the collector rejected %d events: see Client.rejected()", len(rejected))
        with self._settled:
            self._settled.notify_all()

    def _trouble(self, words: str, wait: float) -> float:
        if words != self.problem:
            _LOG.warning("%s; events are kept and sent again", words)
        self.problem = words
        return wait

    def _at_exit(self) -> None:
        if self._process == os.getpid():
            self.close(2.0)


def uuid7(at: datetime | None = None) -> uuid.UUID:
    """A UUID of version 7 (RFC 9562): 48 bits of milliseconds, then random."""
    millis = int((at or datetime.now(UTC)).timestamp() * 1000)
    value = (millis << 80) | (7 << 76) | (secrets.randbits(12) << 64) | (0b10 << 62) | secrets.randbits(62)
    return uuid.UUID(int=value)


@lru_cache(maxsize=4096)
def event_type(cls: type[BaseModel]) -> str:
    """The CloudEvents type of an event class, `listening/track_played`: its domain's folder and its name in snake case."""
    return f"{domain_of(cls.__module__)}/{snake_case(cls.__name__)}"


def _said(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _retry_after(answer: httpx.Response) -> float:
    """Seconds the collector asks for, 60 at most; 0 if it does not."""
    try:
        return min(max(float(answer.headers.get("retry-after", "0")), 0.0), 60.0)
    except ValueError:
        return 0.0


def _jittered(failures: int) -> float:
    return random.uniform(0.5, 1.0) * min(0.2 * 2.0 ** min(failures - 1, 10), 30.0)  # noqa: S311 - spreads clients, guards nothing
