"""One run of the intake as the platform does it, as a process of its own: plan, lease, read, judge, dedupe, stage, inspect, publish, record.

    python -m tests.bench.intake_ours SETTING.json plain

The servers (Spark, Postgres) are the platform's warm ones. Prints what became of the day as JSON.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.event import Record
from platform_defs.contracts.loading import Declared
from platform_defs.execution.building import build
from platform_defs.execution.platform import Platform, Work
from platform_defs.lake.landing import LandingStore, SealManifest, Segment
from platform_defs.lake.layout import Lake
from platform_defs.lake.tables import ensure_table
from platform_defs.ledger import Ledger
from platform_defs.privacy.keys import FileKek
from platform_defs.privacy.vault import Vault
from platform_defs.privacy.workers import Deriver
from resources.spark import SparkEngines
from tests.bench.intake_landing import HOURS, PERSONAL, PLAIN
from tests.bench.profile import Place, Profile

CONTRACTS = {"plain": PLAIN, "personal": PERSONAL}
PHASES: dict[Place, str] = {
    ("privacy/workers.py", "derived"): "people: waiting for the processes that derive",
    ("privacy/deriving.py", "derived"): "people: derived in this process",
    ("execution/in_process.py", "_name_people"): "people: collected and put in their places",
    ("execution/in_process.py", "_lines"): "lines: read",
    ("execution/arrow_lines.py", "sure"): "lines: judged and parsed",
    ("execution/in_process.py", "_rows"): "lines: typed",
    ("privacy/identity.py", "event_ids"): "events: named",
    ("execution/in_process.py", "_drop_copies"): "events: told apart",
    ("lake/staging.py", "write_frame"): "staged",
    ("execution/in_process.py", "_staged"): "frames",
    ("quality/inspect.py", "inspect"): "inspect",
    ("lake/tables.py", "publish"): "publish",
}
SEALED = datetime(2026, 10, 2, tzinfo=UTC)
NOW = datetime(2026, 10, 2, 12, tzinfo=UTC)


class Setting(BaseModel):
    """Where the services of a benchmark are."""

    spark: str
    ledger: str
    vault: str
    folder: Path


@dataclass
class Installation:
    """The platform over these services."""

    platform: Platform
    engines: SparkEngines

    @classmethod
    def of(cls, setting: Setting) -> Installation:
        engines = SparkEngines(setting.spark, setting.spark)
        folder = setting.folder
        platform = Platform(
            engines,
            Lake(str(folder / "lake")),
            LandingStore(str(folder / "landing")),
            Ledger(setting.ledger),
            Deriver(Vault(setting.vault, FileKek("bench", bytes(32)))),
            lambda: NOW,
            run_logs=folder / "logs",
        )
        return cls(platform, engines)

    def apply(self, contracts: Sequence[Contract]) -> None:
        """Makes ledger, vault and tables."""
        self.platform.ledger.create()
        assert self.platform.deriver is not None
        self.platform.deriver.vault.create()
        self.platform.ledger.registry.apply(list(contracts), "bench")
        session = self.engines.engine("lake").session("bench-apply")
        for contract in contracts:
            ensure_table(session, self.platform.lake, contract)
        self.engines.engine("lake").release("bench-apply")

    def seal(self, seal: int, segments: Sequence[Segment]) -> None:
        """Tells the ledger of segments, as one seal of a receiver that holds no hour open."""
        manifest = SealManifest(receiver="bench", seal=seal, sealed_at=SEALED, sealed_until=SEALED, segments=tuple(segments), accounts=())
        self.platform.ledger.landing.record_seal(manifest)

    def close(self) -> None:
        """Ends sessions and connections."""
        self.engines.close()
        self.platform.ledger.close()
        assert self.platform.deriver is not None
        self.platform.deriver.close()
        self.platform.deriver.vault.close()


def take(installation: Installation, contract: Contract, keys: Sequence[str]) -> Counter[str]:
    """Builds these hours of an event type in one run, whatever is current; counts over all hours. Raises RuntimeError unless all were published."""
    work = Work(Declared(contract, Record), tuple(keys), f"run-{uuid.uuid4()}", "command", {contract.key: contract}, NOW, force=True)
    counts: Counter[str] = Counter()
    for result in build(work, installation.platform):
        if result.outcome != "published":
            raise RuntimeError(f"{contract.key} {result.key} was not published: {result.reason}")
        counts.update(result.counts)
    return counts


def main() -> None:
    """One run over a day."""
    installation = Installation.of(Setting.model_validate_json(Path(sys.argv[1]).read_text()))
    began, profile = time.monotonic(), Profile(PHASES)
    with profile.watching():
        counts = take(installation, CONTRACTS[sys.argv[2]], HOURS)
    print(json.dumps({**counts, "build": time.monotonic() - began, "samples": profile.samples}))  # noqa: T201 - what the benchmark reads
    installation.close()


if __name__ == "__main__":
    main()
