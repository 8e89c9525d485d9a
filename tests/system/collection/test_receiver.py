"""The receiver over real HTTP: each bad input's answer and where it is kept, limits, tokens, overload, a disk that takes nothing."""

from __future__ import annotations

import errno
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from platform_defs.cli.services import collector_problems
from platform_defs.collection.disk import Disk
from platform_defs.collection.failed import FailedEvent, FailedLog
from platform_defs.collection.tokens import add_client
from platform_defs.running.home import wait_until
from resources.settings import Settings
from tests.fixtures.collecting import CONTRACTS, PLAYED, RATED, Running, encoded, manifests, played, rated, running

BATCH = "application/cloudevents-batch+json"


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as one:
        yield one


def failed(one: Running) -> list[FailedEvent]:
    one.collector.sealer.seal_once()
    return list(FailedLog(one.config.landing).list())


def test_a_batch_with_good_and_bad_events_is_answered_each_and_all_is_kept(collector: Running) -> None:
    bad = [played(2, type="no/such"), rated(3, stars=9), {"SECRET": 4}, played(5, at="2026-10-01T03:12:45"), played(6, at="2026-10-09T00:00:00Z")]
    answer = collector.post([played(1), *bad])
    assert answer.status_code == 202
    said = answer.json()
    assert (said["received"], said["accepted"], said["rejected"]) == (6, 1, 5)
    assert said["events"][0] == {"id": "e1", "status": "accepted", "reason": None, "detail": None}
    assert [(one["id"], one["reason"]) for one in said["events"][1:]] == [
        ("e2", "unknown_type"),
        ("r3", "schema"),
        (None, "malformed"),
        ("e5", "malformed"),
        ("e6", "out_of_range"),
    ]
    assert [line["id"] for line in collector.seal()] == ["e1"]
    kept = failed(collector)
    assert [json.loads(one.body or b"") for one in kept] == bad
    assert [one.event for one in kept] == [None, RATED.key, None, PLAYED.key, PLAYED.key]
    accounts = {account.event: (account.received, account.accepted, account.rejected) for account in manifests(collector.config.landing)[0].accounts}
    assert accounts == {None: (2, 0, 2), PLAYED.key: (3, 1, 2), RATED.key: (1, 0, 1)}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (BATCH, b"no json"),
        (BATCH, b""),
        (BATCH, encoded(played(1))),
        (BATCH, b'[{"a": 1}, {"b"'),
        (BATCH, b"\xff\xfe\xfd"),
        ("application/cloudevents+json", b'{"SECRET'),
        ("application/cloudevents+json", b"{},{}"),
        ("application/json; charset=utf-8", b"SECRET"),
    ],
)
def test_a_body_that_is_no_events_is_answered_400_and_kept_whole(collector: Running, kind: str, body: bytes) -> None:
    answer = collector.post(body, kind)
    assert answer.status_code == 400
    assert answer.json()["error"] == "malformed"
    assert "SECRET" not in answer.text
    assert [(one.body, one.reason, one.client, one.event) for one in failed(collector)] == [(body, "malformed", "web", None)]


def in_flight(one: Running) -> int:
    return int(httpx.get(f"{one.url}/healthz", timeout=60).json()["in_flight_bytes"])


def test_not_an_array_says_so(collector: Running) -> None:
    assert "array" in collector.post(b'{"a": 1}').json()["detail"]


@pytest.mark.parametrize(("kind", "body"), [("application/cloudevents+json", played(1)), ("application/json", played(1)), ("application/json", [played(1)])])
def test_one_event_and_plain_json_are_taken(collector: Running, kind: str, body: Any) -> None:
    assert collector.post(body, kind).json()["accepted"] == 1
    assert [line["client"] for line in collector.seal()] == ["web"]


def test_invalid_utf8_in_one_event_costs_that_event(collector: Running) -> None:
    body = b"[" + encoded(played(1)) + b"," + encoded(played(2)).replace(b"user-2", b"user-\xff") + b"]"
    assert [one["status"] for one in collector.post(body).json()["events"]] == ["accepted", "rejected"]
    assert b"user-\xff" in (failed(collector)[0].body or b"")


def test_no_or_a_wrong_token_is_answered_401_and_nothing_is_kept(collector: Running) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {collector.token}"}):
        answer = httpx.post(f"{collector.url}/events", content=encoded([played(1)]), headers={"Content-Type": BATCH, **headers}, timeout=60)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert collector.seal() == []
    assert manifests(collector.config.landing) == []


def test_the_token_says_who_the_client_is(collector: Running) -> None:
    token = add_client(collector.config.clients, "phone")
    collector.post([played(1, source="web")], token=token)
    assert [line["client"] for line in collector.seal()] == ["phone"]


@pytest.mark.parametrize("headers", [{"Content-Type": "text/plain"}, {"Content-Type": BATCH, "Content-Encoding": "gzip"}])
def test_other_kinds_of_body_are_answered_415(collector: Running, headers: dict[str, str]) -> None:
    assert collector.post([played(1)], kind=headers.pop("Content-Type"), **headers).status_code == 415


def test_a_body_over_the_limit_is_answered_413_and_noted_without_its_bytes(collector: Running) -> None:
    body = encoded([played(1, data={"SECRET": "x" * 10_000_000})])
    assert collector.post(body).status_code == 413

    def chunks() -> Iterator[bytes]:
        yield from (body[start : start + 65536] for start in range(0, 6_000_000, 65536))

    headers = {"Authorization": f"Bearer {collector.token}", "Content-Type": BATCH}
    assert httpx.post(f"{collector.url}/events", content=chunks(), headers=headers, timeout=60).status_code == 413
    kept = failed(collector)
    assert [(one.reason, one.body) for one in kept] == [("too_large", None)] * 2
    assert kept[0].size == len(body)
    assert collector.post([played(2)]).status_code == 202


def test_an_event_over_the_limit_is_kept_whole_and_hurts_no_neighbour(collector: Running) -> None:
    big = played(2, data={"x": "y" * 1_000_000})
    said = collector.post([played(1), big, played(3)]).json()
    assert [one["reason"] for one in said["events"]] == [None, "too_large", None]
    assert [one.body for one in failed(collector)] == [encoded(big)]


def test_no_value_leaves_but_to_landing(collector: Running, caplog: pytest.LogCaptureFixture) -> None:
    canary = "canary-4711"
    events = [
        played(1, data={canary: canary}),
        played(2, type=f"{canary}/{canary}"),
        played(3, canaryattribute4711=[canary]),
        played(4, at=canary),
        rated(5, notes={canary: 1}),
        rated(6, stars=canary),
        {canary: canary},
        canary,
    ]
    answers = [collector.post(events, **{"User-Agent": canary, "X-Forwarded-For": canary}), collector.post(canary.encode())]
    assert not any("canary" in answer.text for answer in answers)
    assert len(failed(collector)) == len(events) + 1
    assert "canary" not in caplog.text
    assert "canary" not in str(manifests(collector.config.landing))
    assert "canary" not in httpx.get(f"{collector.url}/healthz", timeout=60).text
    assert not [path for path in collector.config.spool.rglob("*") if path.is_file() and b"canary" in path.read_bytes()]


def test_a_type_declared_a_moment_ago_is_known(tmp_path: Path) -> None:
    contracts = {PLAYED.key: PLAYED}
    with running(tmp_path, registry=lambda: dict(contracts)) as one:
        one.collector.registry._looked_at = float("-inf")  # the look at the start is longer ago
        contracts[RATED.key] = RATED
        assert one.post([rated(1)]).json()["accepted"] == 1


def test_before_the_contracts_were_ever_read_nothing_is_refused_for_good(tmp_path: Path) -> None:
    def away() -> dict[str, Any]:
        raise RuntimeError("no server")

    with running(tmp_path, registry=away) as one:
        answer = one.post([played(1)])
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert httpx.get(f"{one.url}/healthz", timeout=60).status_code == 503
        assert failed(one) == []


class NoRoom(Disk):
    full = False

    def write(self, descriptor: int, data: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(descriptor, data)


def test_a_full_disk_is_answered_503_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    disk = NoRoom()
    with running(tmp_path, disk=disk) as one:
        disk.full = True
        for _ in range(2):
            answer = one.post([played(1)])
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        where, told = Settings.model_construct(collector_url=one.url), list[str]()
        assert wait_until(lambda: bool(told.extend(collector_problems(where)) or told), 60)  # what `status` opens with
        (said,) = told
        assert "No space left on device: events are refused with 503" in said
        disk.full = False
        assert one.post([played(2)]).status_code == 202
        assert httpx.get(f"{one.url}/healthz", timeout=60).status_code == 200
        assert collector_problems(where) == []
        assert [line["id"] for line in one.seal()] == ["e2"]


def test_too_much_under_way_is_answered_with_retry_after(tmp_path: Path) -> None:
    with running(tmp_path, in_flight_bytes=10_000) as one:
        held = []
        for token, size in ((one.token, 4_000), (add_client(one.config.clients, "phone"), 4_500)):
            connection = socket.create_connection(("127.0.0.1", int(one.url.rpartition(":")[2])))
            head = f"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: {BATCH}\r\nContent-Length: {size}\r\n\r\n["
            connection.sendall(head.encode())
            held.append(connection)
        assert wait_until(lambda: in_flight(one) >= 8_500, 60)  # both heads are read
        body = encoded([played(1)]) + b" " * 1_200
        assert (one.post(body).status_code, one.post(body + b" " * 1_000).status_code) == (429, 503)
        assert one.post(body).headers["retry-after"] == "1"
        for connection in held:
            connection.close()
        assert wait_until(lambda: not in_flight(one), 60)
        assert one.post(body).status_code == 202


def test_many_senders_at_once_lose_nothing(collector: Running) -> None:
    def send(start: int) -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {collector.token}", "Content-Type": BATCH}) as http:
            for number in range(start, start + 300, 50):
                answer = http.post(f"{collector.url}/events", content=encoded([played(n) for n in range(number, number + 50)]))
                assert answer.json()["accepted"] == 50

    threads = [threading.Thread(target=send, args=(start,)) for start in range(0, 2400, 300)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        collector.seal()
    assert sorted(line["id"] for line in collector.seal()) == sorted(f"e{n}" for n in range(2400))


def test_the_schema_of_a_type(collector: Running) -> None:
    headers = {"Authorization": f"Bearer {collector.token}"}
    schema = httpx.get(f"{collector.url}/schemas/{PLAYED.key}", headers=headers, timeout=60)
    assert schema.headers["content-type"] == "application/schema+json"
    assert schema.json()["properties"]["ms_played"]["maximum"] == 86_400_000
    assert httpx.get(f"{collector.url}/schemas/no/such", headers=headers, timeout=60).status_code == 404
    assert httpx.get(f"{collector.url}/schemas/{PLAYED.key}", timeout=60).status_code == 401


def test_health(collector: Running) -> None:
    said = httpx.get(f"{collector.url}/healthz", timeout=60).json()
    assert (said["status"], said["types"], said["unrecorded_seals"], said["receiver"]) == ("ok", len(CONTRACTS), 0, collector.collector.receiver)
