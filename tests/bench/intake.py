"""How fast events are taken in: a day of generated listening, 96 segments, read, judged, deduplicated, pseudonymised and staged by one job.

    python -m tests.bench.intake --events 500000 --people 50000

Starts a Spark and a Postgres of its own; prints one JSON line a round (the first is cold) with seconds by stage. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import hashlib
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from platform_defs.contracts.contract import Contract, PersonalMark
from platform_defs.execution.cleaning import Batch, Cleaner
from platform_defs.execution.steps import StepRun
from platform_defs.lake.landing import LandingStore, Segment, segment_path
from platform_defs.ledger.embedded import EmbeddedPostgres
from platform_defs.privacy.keys import FileKek
from platform_defs.privacy.pseudonyms import PrivateFolder
from platform_defs.privacy.vault import Vault
from platform_defs.running.spark_server import SparkServer, SparkServerSettings
from resources.spark import SparkEngines
from tests.spark.intake.lines import contract_of, field

SEALS = 4
STAGES = ("_landed", "_judged", "_stage", "_counted")
PLAYED = contract_of(
    (
        field("play_id", "uuid"),
        field("user_id", "string", min_length=1, personal=PersonalMark(kind="person")),
        field("email", "string", nullable=True, required=False, personal=PersonalMark(kind="email", of="user_id")),
        field("track_id", "string", pattern=r"^trk_[a-z0-9]{8}$"),
        field("ms_played", "integer", ge="0", le="86400000"),
        field("platform", "string", choices=("ios", "android", "web", "desktop")),
    )
)


def land(landing: LandingStore, contract: Contract, events: int, people: int) -> list[Batch]:
    """A day of events, 1 % of them twice."""
    rng = random.Random(1)
    batches = []
    for hour in (f"2026-10-01T{h:02d}" for h in range(24)):
        segments = []
        for seal in range(1, SEALS + 1):
            lines = [_line(rng, hour, people) for _ in range(events // 24 // SEALS)]
            lines += lines[: len(lines) // 100]
            raw = gzip.compress("".join(lines).encode(), 1)
            path = segment_path(contract.key, hour, "bench", seal)
            target = Path(landing.path(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(raw)
            segments.append(Segment(event=contract.key, hour=hour, path=path, rows=len(lines), size=len(raw), sha256=hashlib.sha256(raw).hexdigest()))
        batches.append(Batch(hour, tuple(segments)))
    return batches


def _line(rng: random.Random, hour: str, people: int) -> str:
    h, user = f"{rng.getrandbits(128):032x}", f"user-{rng.randrange(people)}"
    play = f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
    data = {
        "play_id": play,
        "user_id": user,
        "email": f"{user}@mail.example",
        "track_id": f"trk_{h[:8]}",
        "ms_played": rng.randrange(86_400_000),
        "platform": "ios",
    }
    line = {"client": "bench", "id": h[:20], "time": f"{hour}:{rng.randrange(60):02d}:00.000000Z", "received_at": f"{hour}:59:59.000000Z", "data": data}
    return json.dumps(line, separators=(",", ":")) + "\n"


@contextmanager
def timed(stages: dict[str, float]) -> Iterator[None]:
    """Inside, the cleaner's stages tell how long they took."""
    kept: dict[str, Callable[..., Any]] = {name: getattr(Cleaner, name) for name in STAGES}

    def told(name: str, *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            return kept[name](*args, **kwargs)
        finally:
            stages[name.strip("_")] = round(time.monotonic() - began, 2)

    for name in STAGES:
        setattr(Cleaner, name, functools.partialmethod(lambda self, *args, _name=name, **kwargs: told(_name, self, *args, **kwargs)))
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(Cleaner, name, method)


def main() -> None:
    """Runs the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--people", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="backline-bench-") as name:
        folder = Path(name)
        landing = LandingStore(str(folder / "landing"))
        batches = land(landing, PLAYED, asked.events, asked.people)
        postgres = EmbeddedPostgres(folder / "pg", durable=False)
        postgres.start()
        try:
            vault = Vault(postgres.uri("vault"), FileKek("bench", bytes(32)))
            vault.create()
            with SparkServer(SparkServerSettings(folder=folder / "spark", log=folder / "spark.log", heap="2g")) as server:
                for number in range(asked.rounds):
                    _round(number, asked, batches, landing, vault, server.url, folder)
            vault.close()
        finally:
            postgres.stop()


def _round(number: int, asked: argparse.Namespace, batches: list[Batch], landing: LandingStore, vault: Vault, url: str, folder: Path) -> None:
    engine, run = SparkEngines(url, url).engine("intake"), f"bench-{number}"
    stages: dict[str, float] = {}
    began, cpu = time.monotonic(), time.process_time()
    with timed(stages), PrivateFolder(landing.root, run) as private:
        done = Cleaner(PLAYED, landing, vault).clean(batches, StepRun(run, engine.session(run), str(folder / run)), private, "all")
    seconds = time.monotonic() - began
    engine.release(run)
    landed = sum(each.staged.counts["landed"] for each in done.values())
    said = {"events": landed, "people": asked.people, "seconds": round(seconds, 2), "events a second": round(landed / seconds)}
    print(json.dumps({**said, "own cpu seconds": round(time.process_time() - cpu, 2), "stages": stages}), flush=True)  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
