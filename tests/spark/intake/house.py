"""A whole small platform for the tests of intake: real Spark, Delta, Postgres, vault; landing written by hand."""

from __future__ import annotations

import gzip
import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.event import Record
from platform_defs.contracts.loading import Declared
from platform_defs.execution.building import build
from platform_defs.execution.platform import Platform, Work
from platform_defs.execution.results import PartitionResult
from platform_defs.lake.landing import LandingStore, SealManifest, Segment, segment_path
from platform_defs.lake.layout import Lake
from platform_defs.ledger import Ledger
from platform_defs.privacy.vault import Vault
from platform_defs.privacy.workers import Deriver
from resources.spark import SparkEngines
from tests.fixtures.tables import Tables

NOW = datetime(2026, 10, 2, 12, tzinfo=UTC)
HOUR = "2026-10-01T02"


def event(n: int, data: Mapping[str, Any], *, client: str = "web", hour: str = HOUR, time: str | None = None, received: str | None = None) -> str:
    """A line of landing."""
    at = time or f"{hour}:00:{n % 60:02d}.{n:06d}Z"
    return json.dumps(
        {"client": client, "id": f"e{n}", "time": at, "received_at": received or f"{hour}:59:59.000000Z", "data": dict(data)},
        ensure_ascii=False,
        separators=(",", ":"),
    )


@dataclass
class House:
    """Lands lines, takes them in, reads tables."""

    platform: Platform
    folder: Path
    tables: Tables
    now: datetime = NOW
    contracts: dict[str, Contract] = field(default_factory=dict)
    seals: Counter[str] = field(default_factory=Counter)
    runs: list[str] = field(default_factory=list)
    own_run: str = field(default_factory=lambda: f"house-{uuid.uuid4()}")

    @classmethod
    def at(cls, folder: Path, engines: SparkEngines, ledger: Ledger, vault: Vault, tables: Tables) -> House:
        (folder / "landing").mkdir(mode=0o700)
        holder: list[House] = []
        platform = Platform(
            engines,
            Lake(str(folder / "lake")),
            LandingStore(str(folder / "landing")),
            ledger,
            Deriver(vault),
            lambda: holder[0].now,
            run_logs=folder / "logs" / "runs",
        )
        holder.append(cls(platform, folder, tables))
        return holder[0]

    @property
    def vault(self) -> Vault:
        assert self.platform.deriver is not None
        return self.platform.deriver.vault

    def session(self) -> Any:
        return self.platform.engines.engine("lake").session(self.own_run)

    def apply(self, *contracts: Contract) -> None:
        self.contracts.update({each.key: each for each in contracts})
        self.platform.ledger.registry.apply(list(self.contracts.values()), "test")
        for each in contracts:
            self.tables.ensure(self.session(), self.platform.lake, each)

    def land(
        self,
        contract: Contract,
        lines: Mapping[str, Iterable[str | bytes]],
        *,
        receiver: str = "r1",
        sealed_at: datetime | None = None,
        listed: int | None = None,
    ) -> list[Segment]:
        """Seals lines by hour, as one seal of a receiver that never beats and so holds no hour open. `listed`: rows as the manifest has them."""
        self.seals[receiver] += 1
        seal, at = self.seals[receiver], sealed_at or self.now - timedelta(minutes=5)
        segments = []
        for hour, rows in lines.items():
            raw = [row.encode() if isinstance(row, str) else row for row in rows]
            packed = gzip.compress(b"".join(row + b"\n" for row in raw))
            path = segment_path(contract.key, hour, receiver, seal)
            target = Path(self.platform.landing.path(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(packed)
            segments.append(
                Segment(event=contract.key, hour=hour, path=path, rows=listed or len(raw), size=len(packed), sha256=hashlib.sha256(packed).hexdigest())
            )
        self.platform.ledger.landing.record_seal(
            SealManifest(receiver=receiver, seal=seal, sealed_at=at, sealed_until=at, segments=tuple(segments), accounts=())
        )
        return segments

    def take(self, contract: Contract, *keys: str, declaration: Any = Record, force: bool = False) -> dict[str, PartitionResult]:
        """Builds these partitions in a run of its own."""
        self.runs.append(f"run-{uuid.uuid4()}")
        work = Work(Declared(contract, declaration), tuple(keys), self.runs[-1], "command", self.contracts, self.now, force)
        try:
            return {result.key: result for result in build(work, self.platform)}
        finally:
            for zone in ("intake", "lake"):
                self.platform.engines.engine(zone).release(self.runs[-1])  # type: ignore[arg-type]

    def rows(self, contract: Contract, lane: Any = "table", order: str = "time") -> list[dict[str, Any]]:
        frame = self.session().read.format("delta").load(self.platform.lake.lane(contract.key, lane))
        return [{k: bytes(v) if isinstance(v, bytearray) else v for k, v in row.asDict(recursive=True).items()} for row in frame.orderBy(order).collect()]

    def with_platform(self, change: Callable[[Platform], Platform]) -> House:
        return replace(self, platform=change(self.platform))

    def close(self) -> None:
        if self.platform.deriver is not None:
            self.platform.deriver.close()
        for zone in ("intake", "lake"):
            self.platform.engines.engine(zone).release(self.own_run)  # type: ignore[arg-type]
