"""HTTP requests over loopback from this process, prepared before and sent by one thread over plain sockets, so that the server is what is measured.

At most a tenth of a core a hundred requests a second of 150 kB. It ends by itself. What is sent and to whom is the benchmark's matter.
"""

from __future__ import annotations

import itertools
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import click

_PATIENCE = 30.0  # seconds for answers once nothing more is sent


@dataclass(frozen=True)
class Load:
    """What came of it.

    Attributes:
        answered: requests, all with 202.
        seconds: from the first byte sent to the last answer.
        waits: seconds to each answer, from the instant its request was due; of paced requests only.
    """

    answered: int
    seconds: float
    waits: list[float] = field(default_factory=list)


def post(path: str, body: bytes, **headers: str) -> bytes:
    """A whole request, ready to be sent any number of times. Headers as Python spells them: `content_type`."""
    told = {"host": "localhost", "content-length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def press(port: int, requests: Sequence[bytes], seconds: float, *, connections: int = 8) -> Load:
    """As many requests as the server takes: each connection sends its next one as soon as it is answered."""
    return _Sender(port, requests, connections).run(seconds, None)


def pace(port: int, requests: Sequence[bytes], seconds: float, *, every: float, connections: int = 64) -> Load:
    """A request each `every` seconds, whether or not the ones before are answered: a stall makes all wait that became due in it."""
    return _Sender(port, requests, connections).run(seconds, every)


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.left = memoryview(b"")
        self.answer = bytearray()

    def send(self) -> bool:
        """Sends what the system takes; whether all is sent."""
        try:
            self.left = self.left[self.socket.send(self.left) :]
        except BlockingIOError:
            return False
        return not self.left

    def receive(self) -> bool:
        """Takes what is there; whether the answer is whole. Raises click.ClickException for any but 202."""
        chunk = self.socket.recv(1 << 18)
        if not chunk:
            raise click.ClickException("the server closed a connection")
        self.answer += chunk
        end = self.answer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self.answer[:end]).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(self.answer) < end + 4 + length:
            return False
        if (status := head.split(b" ", 2)[1]) != b"202":
            raise click.ClickException(f"the server answered {status.decode()}: {bytes(self.answer[end + 4 :])[:200].decode(errors='replace')}")
        self.answer.clear()
        return True


class _Sender:
    def __init__(self, port: int, requests: Sequence[bytes], connections: int) -> None:
        self._requests = itertools.cycle(requests)
        self._idle = deque(_Connection(port) for _ in range(connections))
        self._all = tuple(self._idle)
        self._selector = selectors.DefaultSelector()

    def run(self, seconds: float, every: float | None) -> Load:
        started = now = time.monotonic()
        end, due, answered = started + seconds, started, 0
        waits: list[float] = []
        try:
            while now < end + _PATIENCE:
                while self._idle and due <= now and due < end:
                    self._begin(due)
                    due = due + every if every else now
                if now >= end and due >= end and len(self._idle) == len(self._all):
                    break
                for key, _ in self._selector.select(self._pause(now, due, end)):
                    if (waited := self._go_on(key.data)) is not None:
                        answered += 1
                        waits.append(waited)
                now = time.monotonic()
                due = due if every else now
            else:
                raise click.ClickException(f"{len(self._all) - len(self._idle)} requests were not answered within {_PATIENCE:.0f} s")
        finally:
            self._selector.close()
            for one in self._all:
                one.socket.close()
        return Load(answered, now - started, waits if every else [])

    def _pause(self, now: float, due: float, end: float) -> float:
        return max(0.0, due - now) if self._idle and due < end else 0.05

    def _begin(self, due: float) -> None:
        one = self._idle.popleft()
        one.due, one.left = due, memoryview(next(self._requests))
        sent = one.send()
        self._selector.register(one.socket, selectors.EVENT_READ if sent else selectors.EVENT_READ | selectors.EVENT_WRITE, one)

    def _go_on(self, one: _Connection) -> float | None:
        """One step of a request; its seconds since it was due once it is answered."""
        if one.left:
            if one.send():
                self._selector.modify(one.socket, selectors.EVENT_READ, one)
            return None
        if not one.receive():
            return None
        self._selector.unregister(one.socket)
        self._idle.append(one)
        return time.monotonic() - one.due
