"""The SDK: what is sent is kept until it is acknowledged, whatever the collector answers and however the process ends."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import Field, ValidationError

from platform_defs.collection.sdk import BufferFull, Client, EventTooLarge, event_type, uuid7
from platform_defs.contracts.event import Event
from platform_defs.running.home import wait_until

TYPE = "listening/page_seen"


class PageSeen(Event):
    """A page was seen."""

    page: str
    seconds: int = Field(ge=0)


PageSeen.__module__ = "assets.listening.events"
SEEN = PageSeen(page="home", seconds=4)


class Site:
    """A collector made of answers: each request takes the next one; behind the last all is accepted."""

    def __init__(self, *answers: Callable[[list[Any]], httpx.Response] | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[list[Any]] = []
        self.accepted: list[Any] = []
        self.headers: httpx.Headers | None = None
        self.open = threading.Event()
        self.open.set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.open.wait(30)
        events = json.loads(request.content)
        self.requests.append(events)
        self.headers = request.headers
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer(events)
        self.accepted += events
        return verdicts(events)


def verdicts(events: list[Any], refused: tuple[str, ...] = ()) -> httpx.Response:
    said = [
        {"id": one["id"], "status": "rejected", "reason": "schema", "detail": "int_type: data.x"}
        if one["id"] in refused
        else {"id": one["id"], "status": "accepted", "reason": None, "detail": None}
        for one in events
    ]
    return httpx.Response(202, json={"events": said})


def status(code: int, **headers: str) -> Callable[[list[Any]], httpx.Response]:
    return lambda events: httpx.Response(code, json={"error": "e", "detail": "d"}, headers=headers)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def client(site: Site, **more: Any) -> Client:
        given: dict[str, Any] = {"buffer": tmp_path / "buffer.db", "transport": httpx.MockTransport(site), "backoff": lambda failures: 0.001, **more}
        made.append(Client("http://collector", "token", **given))
        return made[-1]

    yield client
    for one in made:
        one.close(0)


def test_an_event_is_sent_as_a_cloudevent(make: Callable[..., Client]) -> None:
    site = Site()
    client = make(site)
    at = datetime(2026, 10, 1, 5, 0, tzinfo=timezone(timedelta(hours=2)))
    ids = [client.send(SEEN), client.send(SEEN, time=at, id="mine")]
    assert client.flush()
    assert ids[1] == "mine"
    first, second = site.accepted
    assert first["id"] == ids[0]
    assert second == {
        "specversion": "1.0",
        "id": "mine",
        "source": "backline-sdk",
        "type": TYPE,
        "time": "2026-10-01T03:00:00.000000Z",
        "data": {"page": "home", "seconds": 4},
    }
    assert site.headers is not None
    assert (site.headers["authorization"], site.headers["content-type"]) == ("Bearer token", "application/cloudevents-batch+json")
    assert client.waiting() == 0


def test_what_breaks_its_class_is_not_taken(make: Callable[..., Client]) -> None:
    client = make(Site())
    with pytest.raises(ValidationError):
        client.send(PageSeen.model_construct(page="home", seconds=-1))
    with pytest.raises(ValueError, match="no time zone"):
        client.send(SEEN, time=datetime(2026, 10, 1))  # noqa: DTZ001
    for id_ in ("", "x" * 201):
        with pytest.raises(ValueError, match="1 to 200"):
            client.send(SEEN, id=id_)
    with pytest.raises(EventTooLarge):
        client.send(PageSeen(page="x" * 300_000, seconds=1))
    with pytest.raises(ValidationError):
        client.send_many([SEEN, PageSeen.model_construct(page=4, seconds=1)])
    assert client.waiting() == 0


@pytest.mark.parametrize(
    "trouble",
    [
        status(500),
        status(503),
        status(429),
        status(401),
        status(404),
        httpx.ConnectError("no"),
        httpx.ReadTimeout("slow"),
        lambda e: httpx.Response(202, text="<html>"),
    ],
)
def test_after_trouble_the_same_events_are_sent_again(make: Callable[..., Client], trouble: Any) -> None:
    site = Site(trouble, trouble)
    client = make(site)
    id_ = client.send(SEEN)
    assert client.flush()
    assert [one["id"] for one in site.accepted] == [id_]
    assert len(site.requests) == 3
    assert client.problem is None


def test_retry_after_is_kept_to(make: Callable[..., Client]) -> None:
    site = Site(status(503, **{"Retry-After": "3600"}))
    client = make(site)
    client.send(SEEN)
    assert wait_until(lambda: client.problem is not None, 60)
    assert "503" in str(client.problem)
    assert not client.flush(0.2)
    assert len(site.requests) == 1


def test_rejected_events_are_kept_apart_and_visible(make: Callable[..., Client]) -> None:
    site = Site(lambda events: verdicts(events, ("b",)))
    site.open.clear()
    client = make(site)
    client.send_many([SEEN] * 3, ids=["a", "b", "c"])
    site.open.set()
    assert client.flush()
    (one,) = client.rejected()
    assert (one.id, one.reason, one.detail, json.loads(one.body)["id"]) == ("b", "schema", "int_type: data.x", "b")
    assert client.forget_rejected() == 1
    assert client.rejected() == []


@pytest.mark.parametrize("code", [400, 413])
def test_a_refused_batch_is_halved_until_the_one_it_is_about(make: Callable[..., Client], code: int) -> None:
    def answer(events: list[Any]) -> httpx.Response:
        if any(one["id"] == "bad" for one in events):
            return httpx.Response(code, json={"error": "malformed", "detail": "d"})
        return verdicts(events)

    site = Site(*[answer] * 20)
    client = make(site)
    client.send_many([SEEN] * 8, ids=["a", "b", "c", "bad", "e", "f", "g", "h"])
    assert client.flush()
    assert [(one.id, one.reason) for one in client.rejected()] == [("bad", "malformed")]


def test_events_wait_on_disk_for_the_next_process(make: Callable[..., Client], tmp_path: Path) -> None:
    away = Site(*[httpx.ConnectError("no")] * 1000)
    client = make(away, backoff=lambda failures: 60)
    ids = [client.send(SEEN) for _ in range(5)]
    assert not client.close(0)
    assert (tmp_path / "buffer.db").stat().st_mode & 0o777 == 0o600
    site = Site()
    assert make(site).flush()
    assert [one["id"] for one in site.accepted] == ids


def test_batches_are_bounded_in_number_and_bytes(make: Callable[..., Client]) -> None:
    site = Site()
    site.open.clear()
    client = make(site, batch=4)
    client.send_many([SEEN] * 9)
    client.send_many([PageSeen(page="x" * 250_000, seconds=1)] * 20)
    site.open.set()
    assert client.flush()
    assert len(site.accepted) == 29
    assert max(map(len, site.requests)) == 4
    assert max(len(json.dumps(events)) for events in site.requests) < 5_000_000


def test_a_full_buffer_says_so_and_keeps_what_it_has(make: Callable[..., Client]) -> None:
    client = make(Site(*[httpx.ConnectError("no")] * 1000), backoff=lambda failures: 60, most_bytes=1_000_000)
    event, kept = PageSeen(page="x" * 50_000, seconds=1), 0
    while True:
        try:
            client.send(event)
        except BufferFull:
            break
        kept += 1
    assert client.waiting() == kept > 5


def test_acknowledged_values_are_gone_from_the_file(make: Callable[..., Client], tmp_path: Path) -> None:
    client = make(Site())
    client.send(PageSeen(page="canary-4711", seconds=1))
    assert client.close()
    assert not any(b"canary-4711" in path.read_bytes() for path in tmp_path.iterdir())


def test_two_clients_of_one_buffer_send_each_event_once(make: Callable[..., Client]) -> None:
    one, two = Site(), Site()
    first, second = make(one), make(two)
    ids = [client.send(SEEN) for client in (first, second) * 5]
    assert first.flush()
    assert second.flush()
    assert sorted(event["id"] for event in one.accepted + two.accepted) == sorted(ids)


def test_a_forked_child_sends_its_own_and_leaves_the_parents(make: Callable[..., Client], tmp_path: Path) -> None:
    site = Site()
    client = make(site)
    before = client.send(SEEN)
    child = os.fork()
    if child == 0:
        try:
            client.send(SEEN, id="child")
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    after = client.send(SEEN)
    assert client.flush()
    assert sorted(one["id"] for one in site.accepted if one["id"] in (before, after, "child")) == sorted([before, after, "child"])
    assert sqlite3.connect(tmp_path / "buffer.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_killed_process_loses_nothing_it_sent(make: Callable[..., Client], tmp_path: Path) -> None:
    code = f"""
import os, signal
from platform_defs.collection.sdk import Client
client = Client("http://127.0.0.1:9", "token", {str(tmp_path / "buffer.db")!r})
for number in range(50):
    client.send_raw("a/b", {{"n": number}}, id=str(number))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    site = Site()
    assert make(site).flush()
    assert [one["data"]["n"] for one in site.accepted] == list(range(50))


def test_a_process_that_ends_sends_what_it_can(tmp_path: Path) -> None:
    code = f"""
import httpx, json
from platform_defs.collection.sdk import Client
def answer(request):
    events = json.loads(request.content)
    open({str(tmp_path / "got")!r}, "a").writelines(one["id"] + "\\n" for one in events)
    return httpx.Response(202, json={{"events": [{{"id": one["id"], "status": "accepted"}} for one in events]}})
client = Client("http://collector", "token", {str(tmp_path / "buffer.db")!r}, transport=httpx.MockTransport(answer))
client.send_raw("a/b", {{}}, id="last words")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert (tmp_path / "got").read_text() == "last words\n"


def test_a_closed_client_takes_nothing(make: Callable[..., Client]) -> None:
    client = make(Site())
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.send(SEEN)


def test_the_type_of_a_class_and_ids() -> None:
    assert event_type(PageSeen) == TYPE
    at = datetime(2026, 10, 1, tzinfo=UTC)
    one, two = uuid7(at), uuid7(at + timedelta(milliseconds=1))
    assert (one.version, one.variant) == (7, "specified in RFC 4122")
    assert one < two
    assert one.int >> 80 == int(at.timestamp() * 1000)


def test_the_sdk_needs_pydantic_and_httpx_alone() -> None:
    # httpx itself loads click, if it is there, for its own command.
    code = "import sys, platform_defs.collection.sdk; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"pandera", "pyspark", "dagster", "sqlalchemy", "starlette", "uvicorn", "numpy", "pandas", "cryptography"} & set(loaded)
