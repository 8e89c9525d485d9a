"""Commands over a real ledger: a small platform of which only the ledger runs. Commands read the real clock, so partitions are told in hours ago."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from click.testing import CliRunner, Result

from platform_defs.cli.main import cli
from platform_defs.contracts.partitions import key_of
from platform_defs.lake.landing import Account, SealManifest, Segment, segment_path
from platform_defs.lake.layout import Lake
from platform_defs.lake.records import DecisionRecord, read_records
from platform_defs.ledger import Ledger, Outcome, Published, RunInfo
from platform_defs.ledger.looking import look
from tests.fixtures.contracts import DAY, HOUR, as_of, contract, endpoint, event, lateness, reads

PLAYED, RATE, DAILY, TRACKS = "listening/played", "charts/rate", "charts/day", "vendor/tracks"


@dataclass
class Desk:
    """Who is on call: runs commands, tells the ledger what runs and receivers would have told it."""

    ledger: Ledger
    lake: Lake
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    seals: int = 0

    def hour(self, ago: int) -> str:
        """The hour that ended that many hours ago; 0 is the newest that is over."""
        return key_of("hourly", self.now - timedelta(hours=ago + 1))

    def day(self, ago: int) -> str:
        return key_of("daily", self.now - timedelta(days=ago))

    def run(self, *words: str, code: int = 0) -> str:
        """Runs a command; what it said."""
        done: Result = CliRunner().invoke(cli, list(words))
        assert done.exit_code == code, f"{done.output}{done.exception!r}"
        return done.output

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))

    def land(self, hour: str, rows: int, sealed: datetime, receiver: str = "r1", rejected: int = 0) -> None:
        self.seals += 1
        path = segment_path(PLAYED, hour, receiver, self.seals)
        segment = Segment(event=PLAYED, hour=hour, path=path, rows=rows, size=9, sha256="00" * 32)
        reasons = {"schema": rejected} if rejected else {}
        account = Account(client="web", event=PLAYED, received=rows + rejected, accepted=rows, rejected=rejected, reasons=reasons)
        self.ledger.landing.record_seal(
            SealManifest(receiver=receiver, seal=self.seals, sealed_at=sealed, sealed_until=sealed, segments=(segment,), accounts=(account,))
        )

    def publish(self, name: str, *keys: str, at: datetime | None = None, run: str = "run-1", content: str = "c", **given: Any) -> None:
        """A run builds these, of what it would read now."""
        ended = at or self.now - timedelta(minutes=5)
        one = self.ledger.registry.current()[name]
        seen = look(self.ledger, [(name, key) for key in keys], self.now)
        words = {key: given[key] for key in ("reason", "checks_passed", "checks_failed") if key in given}
        outcomes = []
        for key in keys:
            inputs = seen[name, key].inputs if (name, key) in seen else b""
            checks = {name_: given.get(name_, 0) for name_ in ("checks_passed", "checks_failed")}
            version = Published(
                content.encode(), inputs, given.get("rows", 7), 3, one.code_version, ended, run, given.get("counts"), given.get("pins", {}), **checks
            )
            outcomes.append(Outcome(name, key, "published", published=version, seconds=2.5, **words))
        self.ledger.partitions.record(outcomes, RunInfo(run, "schedule", ended - timedelta(seconds=3), ended))

    def fail(self, name: str, key: str, state: str, reason: str, lasting: bool = False) -> None:
        at = self.now - timedelta(minutes=4)
        outcome = Outcome(name, key, state, reason=reason, inputs=b"i" * 16, code="code-1", lasting=lasting)  # type: ignore[arg-type]
        self.ledger.partitions.record([outcome], RunInfo("run-bad", "schedule", at, at))

    @property
    def decisions(self) -> list[DecisionRecord]:
        return [record for record in read_records(self.lake) if isinstance(record, DecisionRecord)]


@pytest.fixture
def half_past() -> Iterator[None]:
    """This hour, half over: the one before is closed and has not missed its deadline, and none ends while a test runs."""
    with time_machine.travel(datetime.now(UTC).replace(minute=30)):
        yield


@pytest.fixture
def desk(new_ledger: Callable[[], Ledger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half_past: None) -> Desk:
    """Four contracts in force since ten days: an event type, an hourly reader of it and of a daily source's snapshots, and its daily sums."""
    ledger = new_ledger()
    since = datetime.now(UTC) - timedelta(days=10)
    start = key_of("daily", since)
    ledger.store.clock = lambda: since
    tracks = contract(TRACKS, kind="source", cadence="daily", start=start, retention_seconds=400 * DAY)
    ledger.registry.apply(
        [
            event(PLAYED, start=start, lateness=lateness((HOUR,), 0.5), ready_within_seconds=HOUR),
            tracks,
            endpoint(RATE, reads(PLAYED, -1, 0), as_of(TRACKS, 20), start=start, ready_within_seconds=2 * HOUR),
            endpoint(DAILY, reads(RATE), cadence="daily", start=start),
        ],
        "ref",
    )
    ledger.store.clock = lambda: datetime.now(UTC)
    values = {
        "home": str(tmp_path),
        "landing": str(tmp_path / "landing"),
        "lake": str(tmp_path / "lake"),
        "ledger_url": ledger.store.engine.url.render_as_string(hide_password=False),
        "vault_url": "none",
        "storage_url": "none",
        "spark_intake": "sc://localhost:1",
        "spark_lake": "sc://localhost:1",
        "collector_url": "http://127.0.0.1:1",
        "assets": str(tmp_path),
    }
    for name, value in values.items():
        monkeypatch.setenv(f"BACKLINE_{name.upper()}", value)
    return Desk(ledger, Lake(values["lake"]))
