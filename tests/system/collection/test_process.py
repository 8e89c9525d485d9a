"""The collector as a process: killed under load it has lost nothing it acknowledged; told to end it seals all; SDK to landing end to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from platform_defs.collection.process import Collector, CollectorConfig, SpoolInUse
from platform_defs.collection.sdk import Client
from platform_defs.collection.tokens import add_client
from tests.fixtures.collecting import CONTRACTS, PLAYED, MemoryLedger, encoded, manifests, played, sealed_lines

# Its ledger is a file: a line a call, so that it outlives the process.
PROCESS = """
import json, os, sys
from pathlib import Path
from platform_defs.collection.process import CollectorConfig, run_collector
from platform_defs.contracts.contract import Contract

folder = Path(sys.argv[1])
contracts = {c.key: c for c in (Contract.model_validate(one) for one in json.loads((folder / "registry.json").read_text()))}

class Ledger:
    def write(self, *words):
        with open(folder / "ledger", "a") as file:
            file.write(" ".join(map(str, words)) + "\\n")
    def record_seal(self, manifest): self.write("seal", manifest.seal)
    def beat(self, receiver, sealed_until, at): self.write("beat", sealed_until.isoformat())
    def deregister(self, receiver): self.write("gone")

run_collector(CollectorConfig(landing=folder / "landing", spool=folder / "spool", clients=folder / "clients.json", registry=lambda: contracts,
    ledger=Ledger(), seal_every=0.1, on_ready=lambda port: print(port, flush=True)))
"""


@contextmanager
def process(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A collector; its address."""
    started = subprocess.Popen([sys.executable, "-c", PROCESS, str(folder)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
    try:
        assert started.stdout is not None
        yield started, f"http://127.0.0.1:{int(started.stdout.readline())}"
    finally:
        started.kill()
        started.wait()


def ledger(folder: Path) -> list[str]:
    return (folder / "ledger").read_text().splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    started = PLAYED.model_copy(update={"start": "2020-01-01"})
    (tmp_path / "registry.json").write_text(json.dumps([json.loads(started.canonical_json())]))
    return tmp_path


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def test_killed_under_load_nothing_acknowledged_is_lost(folder: Path) -> None:
    token = add_client(folder / "clients.json", "web")
    acknowledged: list[str] = []
    refused = 0
    for life in range(2):
        with process(folder) as (collector, url):
            enough = threading.Event()

            def send(worker: int, life: int = life, url: str = url, enough: threading.Event = enough) -> None:
                nonlocal refused
                number = 0
                headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/cloudevents-batch+json"}
                with httpx.Client(headers=headers, timeout=60) as http:
                    while True:
                        number += 1
                        events = [played(n, id=f"{life}-{worker}-{number}-{n}", at=now()) for n in range(100)] + [played(0, id="")]
                        try:
                            answer = http.post(f"{url}/events", content=encoded(events))
                        except httpx.HTTPError:
                            return
                        assert answer.json()["accepted"] == 100
                        acknowledged.extend(one["id"] for one in events[:-1])
                        refused += 1
                        if number == 15:
                            enough.set()

            workers = [threading.Thread(target=send, args=(worker,)) for worker in range(3)]
            for worker in workers:
                worker.start()
            assert enough.wait(60)
            os.kill(collector.pid, signal.SIGKILL)
            for worker in workers:
                worker.join()
    assert len(acknowledged) > 2 * 1500
    with process(folder) as (collector, _):
        collector.terminate()
        assert collector.wait(60) == 0
    found = [line["id"] for line in sealed_lines(folder / "landing")]
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
    assert sum(account.rejected for manifest in manifests(folder / "landing") for account in manifest.accounts) >= refused
    assert ledger(folder)[-1] == "gone"
    assert sorted({line for line in ledger(folder) if line.startswith("seal")}, key=lambda line: int(line.split()[1])) == [
        f"seal {manifest.seal}" for manifest in manifests(folder / "landing")
    ]
    assert not list((folder / "spool").glob("*.sealed"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_answers_seals_and_deregisters(folder: Path, number: int) -> None:
    token = add_client(folder / "clients.json", "web")
    with process(folder) as (collector, url):
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/cloudevents-batch+json"}
        assert httpx.post(f"{url}/events", content=encoded([played(1, at=now())]), headers=headers, timeout=60).status_code == 202
        collector.send_signal(number)
        assert collector.wait(60) == 0
    assert [line["id"] for line in sealed_lines(folder / "landing")] == ["e1"]
    assert ledger(folder)[-1] == "gone"


def test_the_sdk_and_the_collector_over_restarts(folder: Path) -> None:
    token = add_client(folder / "clients.json", "web")
    client: Client | None = None
    sent: list[str] = []
    data = played(1)["data"]
    for _ in range(2):
        with process(folder) as (collector, url):
            if client is None:
                client = Client(url, token, folder / "buffer.db", backoff=lambda failures: 0.01)
            else:
                client._url = f"{url}/events"  # a new port, as nobody holds one for us
            sent += [client.send_raw(PLAYED.key, data) for _ in range(20)]
            client.send_raw(PLAYED.key, {**data, "ms_played": "x"}, id="bad")
            assert client.flush(60)
            collector.kill()
            sent.append(client.send_raw(PLAYED.key, data))
    assert client is not None
    with process(folder) as (collector, url):
        client._url = f"{url}/events"
        assert client.close(60)
        collector.terminate()
        collector.wait(60)
    assert {line["id"] for line in sealed_lines(folder / "landing")} == set(sent)


def config(folder: Path, **more: Any) -> CollectorConfig:
    given: dict[str, Any] = {"registry": lambda: CONTRACTS, "ledger": MemoryLedger(), **more}
    return CollectorConfig(landing=folder / "landing", spool=folder / "spool", clients=folder / "clients.json", **given)


def test_one_collector_a_spool(tmp_path: Path) -> None:
    first = Collector(config(tmp_path))
    with pytest.raises(SpoolInUse, match="another collector"):
        Collector(config(tmp_path))
    first.start()
    assert first.stop()
    second = Collector(config(tmp_path))
    assert second.receiver == first.receiver
    second.start()
    assert second.stop()


def test_a_start_makes_itself_known_before_it_takes_events(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    collector = Collector(config(tmp_path, ledger=ledger, seal_every=86400.0))
    collector.start()
    assert [receiver for receiver, _ in ledger.beats] == [collector.receiver]
    collector.stop()
