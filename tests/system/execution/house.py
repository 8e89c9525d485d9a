"""A small platform for retention: real files and a real ledger at a present that moves; of Spark only what it was told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from deltalake import DeltaTable
from deltalake import Field as DeltaField
from deltalake import Schema as DeltaSchema

from platform_defs.execution.housekeeping import Report, keep_retention
from platform_defs.execution.intake import Taking
from platform_defs.execution.platform import Platform
from platform_defs.lake.commits import DataFile, replace
from platform_defs.lake.delta_log import signature
from platform_defs.lake.engine import EngineError
from platform_defs.lake.files import LocalFiles
from platform_defs.lake.landing import Account, LandingStore, SealManifest, Segment, manifest_path, segment_path
from platform_defs.lake.layout import Lake
from platform_defs.ledger import Ledger
from tests.fixtures.contracts import DAY, contract, endpoint, event
from tests.system.ledger.telling import published, run

NOW = datetime(2026, 10, 20, 3, 17, tzinfo=UTC)
PLAYED, RATE, CHART, FILES = "listening/played", "charts/rate", "charts/chart", "vendor/files"
OLD, KEPT = "2026-10-10T00", "2026-10-19T00"
CONTRACTS = (
    event(PLAYED, retention_seconds=30 * DAY),
    endpoint(RATE, retention_seconds=5 * DAY),
    endpoint(CHART, retention_seconds=5 * DAY, cadence="daily"),
    contract(FILES, kind="source", cadence="daily", retention_seconds=5 * DAY),
)


@dataclass
class Engine:
    """Spark as far as retention asks for it: keeps what it was told, in order; `down`: does not answer."""

    down: bool = False
    said: list[str] = field(default_factory=list)
    asked: int = 0

    def session(self, run_id: str) -> Any:
        self.asked += 1
        if self.down:
            raise EngineError("Spark does not answer: see ./backline status")
        return SimpleNamespace(conf=SimpleNamespace(set=lambda *_: None, unset=lambda *_: None), sql=self._sql)

    def _sql(self, text: str) -> Any:
        self.said.append(text)
        return SimpleNamespace(collect=list)

    @contextmanager
    def tagged(self, *_: Any) -> Iterator[None]:
        yield

    def interrupt(self, run_id: str) -> int:
        self.said.append(f"interrupt {run_id}")
        return 0

    def release(self, run_id: str) -> None:
        self.said.append(f"release {run_id}")

    def engine(self, zone: str) -> Engine:
        return self

    def engines(self) -> Iterator[Engine]:
        yield self


class House:
    """A small platform: its files, its ledger, its present."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.engine, self.ledger, self.now, self.folder, self.nights = Engine(), ledger, NOW, folder, 0
        self.lake, self.landing = Lake(str(folder / "lake")), LandingStore(str(folder / "landing"))
        Path(self.landing.root).mkdir()
        ledger.store.clock = lambda: self.now
        ledger.registry.apply(CONTRACTS, "test")
        engines: Any = self.engine
        self.platform = Platform(
            engines, self.lake, self.landing, ledger, None, lambda: self.now, run_logs=folder / "logs" / "runs", captured=folder / "captured"
        )

    def keep(self, *domains: str, **given: Any) -> Report:
        self.nights += 1
        return keep_retention(self.platform, domains, f"night{self.nights}", **given)

    def publish(self, key: str, *partitions: str, files: bool = True) -> None:
        self.ledger.partitions.record([published(key, each) for each in partitions], run())
        if files:
            path, column_ = self.lake.table(key), "hour" if "T" in partitions[0] else "day"
            columns = DeltaSchema([DeltaField("n", "long"), DeltaField(column_, "string")])
            DeltaTable.create(path, columns, mode="ignore", partition_by=[column_])
            brought = [DataFile(f"{column_}={each}/part-0.parquet", each, 1, 10, "{}") for each in partitions]
            for file in brought:
                LocalFiles().write(f"{path}/{file.path}", b"x" * 10)
            replace(path, column_, partitions, brought, signature(run="run-1", fence=1, keys=sorted(partitions)))

    def rows(self, key: str) -> list[str]:
        """The partitions of which the table holds files."""
        return sorted(value for each in DeltaTable(self.lake.table(key)).partitions() for value in each.values())

    def land(self, number: int, hours: tuple[str, ...], sealed: datetime, key: str = PLAYED, recorded: bool = True) -> SealManifest:
        segments = tuple(Segment(event=key, hour=hour, path=segment_path(key, hour, "r1", number), rows=10, size=3, sha256="00" * 32) for hour in hours)
        account = Account(client="web", event=key, received=10 * len(hours), accepted=10 * len(hours), rejected=0)
        manifest = SealManifest(receiver="r1", seal=number, sealed_at=sealed, sealed_until=sealed, segments=segments, accounts=(account,))
        for segment in segments:
            LocalFiles().write(self.landing.path(segment.path), b"xyz")
        LocalFiles().write(self.landing.path(manifest_path("r1", number)), manifest.model_dump_json().encode())
        if recorded:
            self.ledger.landing.record_seal(manifest)
        return manifest

    def works(self, run_id: str, key: str, age: timedelta, deepest: timedelta | None = None) -> list[Path]:
        """An intake's private folder and staging, as a killed run leaves them: last touched so long ago, a file three folders down `deepest` ago."""
        private = Taking(self.ledger.registry.current()[key], self.platform, run_id, "").enter().path
        folders = [private, Path(self.lake.staging(run_id, key))]
        for folder in folders:
            LocalFiles().write(f"{folder}/people-intake1.parquet", b"who is who")
            LocalFiles().write(f"{folder}/intake1/_part={KEPT}/_temporary/part-0.parquet", b"raw rows")
            aged(folder, self.now - age)
            aged(folder / "intake1" / f"_part={KEPT}" / "_temporary" / "part-0.parquet", self.now - (deepest or age))
        return folders

    def there(self, *keys: str, partition: str = OLD) -> list[str]:
        """Those of the endpoints of which the ledger still knows that partition."""
        return [key for key in keys if self.ledger.partitions.published(key, [partition])]

    def everything(self) -> dict[str, Any]:
        """All files, and all rows of the ledger."""
        files = {str(path): path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file()}
        with self.ledger.store.engine.connect() as connection:
            tables = [row[0] for row in connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
            rows = {table: sorted(connection.exec_driver_sql(f"SELECT t::text FROM {table} t").scalars()) for table in tables}
        return {**files, **rows}


def days(number: int) -> timedelta:
    return timedelta(days=number)


def aged(path: Path, at: datetime) -> None:
    """Touched at that instant for the last time, with all that is in it."""
    for each in (path, *path.rglob("*")):
        os.utime(each, (at.timestamp(), at.timestamp()))


def lines(report: Report) -> dict[str, str]:
    return {each.what: each.line for each in report.dropped}
