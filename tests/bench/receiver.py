"""`backline bench receiver`: events a second through one receiver process, and how long an answer takes at half of what is asked of it.

The rival is the same HTTP server and framework without validation and log: it reads the body and sends an answer of the same size. Both are processes of
their own, warm, loaded in turn; ours seals, compresses and records what it took meanwhile, as it does in service.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import secrets
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

import click
import psutil
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from assets.listening.events import AppOpened, SearchMade, TrackPlayed, TrackStarted
from platform_defs.collection.process import CollectorConfig, run_collector, server_config
from platform_defs.collection.record import Batch, encode
from platform_defs.collection.sdk import event_type, uuid7
from platform_defs.collection.tokens import add_client
from platform_defs.collection.validation import Judge, rfc3339
from platform_defs.collection.wal import frame, marker_of
from platform_defs.contracts.event import Event
from platform_defs.contracts.loading import load_domain
from platform_defs.ledger import Ledger
from platform_defs.ledger.embedded import EmbeddedPostgres
from resources.settings import checkout
from tests.bench.figures import Figure, figure
from tests.bench.frame import Measured, benchmark
from tests.bench.load import pace, post, press
from tests.bench.memory import peak_memory

_T = TypeVar("_T")
BATCH = 500
BODIES = 200
ASKED = 100_000
_PATH = {"content_type": "application/cloudevents-batch+json"}
# Of ten events, as the apps send them: six plays, two starts, an opening, a search.
_MIX: tuple[Callable[[str], Event], ...] = (
    *[lambda user: TrackPlayed.example(user_id=user, email=f"{user}@mail.example")] * 6,
    *[lambda user: TrackStarted.example(user_id=user)] * 2,
    lambda user: AppOpened.example(user_id=user),
    lambda user: SearchMade.example(user_id=user),
)


@benchmark()
@click.option("--seconds", default=12.0, show_default=True, help="Of each load. A receiver seals every 10 s or 64 MB.")
def receiver(rounds: int, seconds: float) -> Measured:
    """Events a second through one receiver process, validated and on disk before the answer; p99 of an answer at half that load.

    \b
    ./backline bench receiver
    ./backline bench receiver --rounds 1 --seconds 5
    """
    with tempfile.TemporaryDirectory(prefix="backline-bench-") as name:
        folder = Path(name)
        with ledger_url(folder) as url, collector(folder, url) as ours, _process(_serve_plain) as plain:
            bodies = batches(BODIES, BATCH)
            requests = posts(folder, bodies)
            click.echo(f"batches of {BATCH} events, {statistics.mean(map(len, bodies)) / BATCH:.0f} bytes an event; {rounds} rounds", err=True)
            press(ours.port, requests, 2)
            press(plain.port, requests, 2)
            speeds, rival, slowest, cost, memory, rival_memory = [], [], [], [], [], []
            for _ in range(rounds):
                with peak_memory(ours.pid) as peak:
                    before = _cpu(ours.pid)
                    done = press(ours.port, requests, seconds)
                    cost.append((_cpu(ours.pid) - before) / (done.answered * BATCH) * 1e6)
                    speeds.append(done.answered * BATCH / done.seconds)
                memory.append(peak.megabytes)
                with peak_memory(plain.pid) as peak:
                    done = press(plain.port, requests, seconds / 3)
                    rival.append(done.answered * BATCH / done.seconds)
                rival_memory.append(peak.megabytes)
                waits = pace(ours.port, requests, seconds, every=BATCH / (ASKED / 2)).waits
                slowest.append(statistics.quantiles(waits, n=100)[98] * 1000)
            profile = _profile(bodies, folder, statistics.median(cost))
    return Measured(_figures(speeds, rival, slowest, memory, rival_memory, profile), profile)


def _figures(
    speeds: Sequence[float], rival: Sequence[float], slowest: Sequence[float], memory: Sequence[float], rival_memory: Sequence[float], profile: str
) -> list[Figure]:
    return [
        figure("events a second, one receiver, fsync before the answer", "a second", speeds, target=ASKED, memory=memory, cause=profile),
        figure("the same beside its server alone", "a second", speeds, rival, against="no validation, no log", rival_memory=rival_memory),
        figure(f"p99 of an answer at {ASKED // 2:,} events a second", "ms", slowest, target=100, more_is_better=False),
    ]


def batches(count: int, size: int) -> list[bytes]:
    """Bodies as the SDK sends them: listening's events, received as they happen, of a thousand people."""
    draw, stamp = random.Random(7), rfc3339(datetime.now(UTC))

    def one() -> bytes:
        event = draw.choice(_MIX)(f"user-{draw.randrange(1000)}")
        head = f'{{"specversion":"1.0","id":"{uuid7()}","source":"bench","type":"{event_type(type(event))}","time":"{stamp}","data":'
        return head.encode() + event.__pydantic_serializer__.to_json(event) + b"}"

    return [b"[" + b",".join(one() for _ in range(size)) + b"]" for _ in range(count)]


def posts(folder: Path, bodies: Sequence[bytes]) -> list[bytes]:
    """Whole requests of a client that the collector of `folder` knows."""
    token = add_client(folder / "clients.json", "bench")
    return [post("/events", body, authorization=f"Bearer {token}", **_PATH) for body in bodies]


class Served:
    """A process that takes requests."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid, self.port = pid, port


@contextmanager
def ledger_url(folder: Path) -> Iterator[str]:
    """A Postgres with a ledger that knows listening."""
    postgres = EmbeddedPostgres(folder / "pg")
    postgres.start()
    try:
        url = postgres.uri("ledger")
        ledger = Ledger(url)
        ledger.create()
        ledger.registry.apply(load_domain(checkout() / "assets" / "listening").contracts, "bench")
        ledger.close()
        yield url
    finally:
        postgres.stop()


@contextmanager
def collector(folder: Path, url: str) -> Iterator[Served]:
    """A whole collector as `up` runs it, in a process of its own."""
    with _process(_collect, folder, url) as served:
        yield served


@contextmanager
def _process(target: Callable[..., None], *args: object) -> Iterator[Served]:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=target, args=(*args, theirs), daemon=True)
    process.start()
    try:
        if not mine.poll(60):
            raise click.ClickException("a server did not start within a minute")
        yield Served(process.pid or 0, mine.recv())
    finally:
        process.terminate()
        process.join()


def _collect(folder: Path, url: str, ready: Connection) -> None:
    ledger = Ledger(url)
    run_collector(
        CollectorConfig(
            landing=folder / "landing",
            spool=folder / "spool",
            clients=folder / "clients.json",
            registry=ledger.registry.current,
            ledger=ledger.landing,
            on_ready=ready.send,
        )
    )


def _serve_plain(ready: Connection) -> None:
    verdict = '{"id":"0198c0de-0000-7000-8000-000000000000","status":"accepted","reason":null,"detail":null}'
    answer = f'{{"received":{BATCH},"accepted":{BATCH},"rejected":0,"events":[{",".join([verdict] * BATCH)}]}}'.encode()

    async def events(request: Request) -> Response:
        await request.body()
        return Response(answer, 202, media_type="application/json")

    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        ready.send(listening.getsockname()[1])
        uvicorn.Server(server_config(Starlette(routes=[Route("/events", events, methods=["POST"])]))).run(sockets=[listening])


def _cpu(pid: int) -> float:
    told = psutil.Process(pid).cpu_times()
    return float(told.user + told.system)


def _profile(bodies: Sequence[bytes], folder: Path, cpu: float) -> str:
    """CPU time by step, of the same bodies taken apart in this process; what the process took beyond them is HTTP, the answer's way, sealing."""
    contracts = {contract.key: contract for contract in load_domain(checkout() / "assets" / "listening").contracts}
    judge, now, marker = Judge(contracts), datetime.now(UTC), marker_of(secrets.token_bytes(32), 1)
    judged = [judge.judge(body, "batch", "bench", now) for body in bodies]
    records = [encode(Batch("bench", rfc3339(now), one.groups, one.rejected)) for one in judged]
    steps = {
        "parse, validate, spell anew": _each(bodies, lambda body: judge.judge(body, "batch", "bench", now)),
        "answer": _each(judged, lambda one: one.answer()),
        "record and checksum": _each(judged, lambda one: frame(marker, encode(Batch("bench", rfc3339(now), one.groups, one.rejected)))),
    }
    told = ", ".join(f"{name} {micros:.2f}" for name, micros in steps.items())
    rest = cpu - sum(steps.values())
    sync = _sync(folder, records)
    return (
        f"CPU time of the process, sealing included: {cpu:.1f} us an event; {told}; HTTP, log and sealing {rest:.1f}. An fsync of one batch took {sync:.1f} ms."
    )


def _each(things: Sequence[_T], step: Callable[[_T], object]) -> float:
    begun = time.thread_time()
    for one in things:
        step(one)
    return (time.thread_time() - begun) / (len(things) * BATCH) * 1e6


def _sync(folder: Path, records: Sequence[bytes]) -> float:
    """Median milliseconds of writing a batch through to the disk."""
    took = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for record in records[:50]:
            file.write(record)
            begun = time.monotonic()
            os.fdatasync(file.fileno())
            took.append(time.monotonic() - begun)
    return statistics.median(took) * 1000
