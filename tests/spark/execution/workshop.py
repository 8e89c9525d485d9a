"""A whole small platform for the tests of execution: real Spark, Delta, Postgres; endpoints declared in the test; inputs put there by hand."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from platform_defs.contracts.contract import Column, Contract, Input, WindowInput
from platform_defs.contracts.endpoints import EndpointDef
from platform_defs.contracts.loading import Declared
from platform_defs.contracts.partitions import partition_column
from platform_defs.contracts.schema import Schema, read_schema
from platform_defs.execution.building import build
from platform_defs.execution.platform import Platform, Trigger, Work
from platform_defs.execution.quality.contenthash import empty_content
from platform_defs.execution.results import PartitionResult
from platform_defs.lake.landing import LandingStore
from platform_defs.lake.layout import Lake
from platform_defs.lake.reading import read_rows
from platform_defs.lake.tables import ensure_table
from platform_defs.ledger import Ledger
from platform_defs.ledger.outcomes import Outcome, RunInfo
from platform_defs.planning.facts import Published
from resources.spark import SparkEngines
from tests.fixtures.publishing import publish_frame
from tests.fixtures.tables import Tables
from tests.spark.execution.contracts import contract

NOW = datetime(2026, 10, 2, 12, tzinfo=UTC)


@dataclass
class Workshop:
    """Declares, fills inputs, builds, reads."""

    platform: Platform
    contracts: dict[str, Contract] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    own_run: str = field(default_factory=lambda: f"workshop-{uuid.uuid4()}")
    ensure: Callable[[Any, Lake, Contract], object] = ensure_table

    @classmethod
    def at(cls, folder: Path, engines: SparkEngines, ledger: Ledger, clock: Callable[[], datetime] | None = None, tables: Tables | None = None) -> Workshop:
        platform = Platform(engines, Lake(str(folder / "lake")), LandingStore(str(folder / "landing")), ledger, None, clock or (lambda: datetime.now(UTC)))
        return cls(platform, ensure=tables.ensure if tables else ensure_table)

    def session(self) -> Any:
        return self.platform.engines.engine("lake").session(self.own_run)

    def apply(self, *contracts: Contract) -> None:
        self.contracts.update({each.key: each for each in contracts})
        self.platform.ledger.registry.apply(list(self.contracts.values()), "test")
        for each in contracts:
            self.ensure(self.session(), self.platform.lake, each)

    def input(self, key: str, *columns: Column, cadence: Any = "hourly", start: str = "2026-01-01") -> Contract:
        made = contract(*columns, key=key, cadence=cadence, start=start)
        self.apply(made)
        return made

    def fill(self, key: str, rows: Mapping[str, Sequence[tuple[Any, ...]]]) -> None:
        """Publishes rows of an input, as a build of it would have."""
        made = self.contracts[key]
        column = partition_column(made.cadence)
        ddl = ", ".join(f"`{each.name}` {each.type}" for each in made.columns)
        frame = self.session().createDataFrame([(*row, part) for part, group in rows.items() for row in group], f"{ddl}, {column} STRING")
        run = f"fill-{uuid.uuid4()}"
        commit = publish_frame(self.platform.lake, made, frame, list(rows), run, 0)
        now = self.platform.clock()
        contents = {part: repr(sorted(group, key=repr)).encode() if group else empty_content([]) for part, group in rows.items()}
        outcomes = [
            Outcome(key, part, "published", published=Published(contents[part], b"i" * 16, len(group), commit.version, "1", now, run))
            for part, group in rows.items()
        ]
        self.platform.ledger.partitions.record(outcomes, RunInfo(run, "command", now, now))

    def declare(
        self,
        function: Callable[..., Any],
        schema: type[Schema],
        inputs: Sequence[Input] = (),
        *,
        key: str = "charts/plays",
        cadence: Any = "hourly",
        version: str = "1",
        **more: Any,
    ) -> Declared:
        columns, unique, problems = read_schema(schema)
        assert not problems
        made = contract(*columns, key=key, unique=unique, cadence=cadence, inputs=tuple(inputs), code_version=version, **more)
        self.apply(made)
        return Declared(made, EndpointDef(fn=function, schema=schema, partitions=cadence, ranged=made.ranged))

    def work(self, declared: Declared, *keys: str, run: str | None = None, trigger: Trigger = "range", **more: Any) -> Work:
        run = run or f"run-{uuid.uuid4()}"
        self.runs.append(run)
        return Work(declared, keys, run, trigger, self.contracts, more.pop("requested_at", self.platform.clock()), **more)

    def build(self, declared: Declared, *keys: str, **more: Any) -> dict[str, PartitionResult]:
        return {result.key: result for result in build(self.work(declared, *keys, **more), self.platform)}

    def rows(self, key: str = "charts/plays", lane: Any = "table") -> list[dict[str, Any]]:
        return list(read_rows(self.session(), self.platform.lake, self.contracts[key], lane=lane))

    def close(self) -> None:
        for run in {*self.runs, self.own_run}:
            self.platform.engines.engine("lake").release(run)


def same(param: str, endpoint: str) -> WindowInput:
    """The plain input: the same hour."""
    return WindowInput(param=param, endpoint=endpoint, unit="hours")
