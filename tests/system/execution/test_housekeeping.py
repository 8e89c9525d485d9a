"""Retention over a real ledger and real files: what goes, what stays, and that interrupted work is found again. Rows themselves go in tests/spark."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from deltalake import DeltaTable
from deltalake import Field as DeltaField
from deltalake import Schema as DeltaSchema

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.endpoints import EndpointDef
from platform_defs.contracts.loading import Declared
from platform_defs.contracts.partitions import key_of, shift
from platform_defs.contracts.schema import Schema, T
from platform_defs.contracts.schema import field as column
from platform_defs.execution import housekeeping, sweeping
from platform_defs.execution.building import build
from platform_defs.execution.housekeeping import Report, keep_retention
from platform_defs.execution.intake import Taking
from platform_defs.execution.leasing import take
from platform_defs.execution.platform import Platform, Work
from platform_defs.lake import delta_log
from platform_defs.lake.commits import DataFile, NotCommitted, replace
from platform_defs.lake.delta_log import signature
from platform_defs.lake.engine import EngineError
from platform_defs.lake.files import LocalFiles
from platform_defs.lake.landing import Account, LandingStore, SealManifest, Segment, manifest_path, segment_path
from platform_defs.lake.layout import Lake
from platform_defs.lake.records import BuildRecord, write_record
from platform_defs.ledger import Fence, Ledger
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
        self.platform = Platform(engines, self.lake, self.landing, ledger, None, lambda: self.now, run_logs=folder / "logs" / "runs")

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


@pytest.fixture
def house(tmp_path: Path, ledger: Ledger) -> House:
    return House(tmp_path, ledger)


def days(number: int) -> timedelta:
    return timedelta(days=number)


def aged(path: Path, at: datetime) -> None:
    """Touched at that instant for the last time, with all that is in it."""
    for each in (path, *path.rglob("*")):
        os.utime(each, (at.timestamp(), at.timestamp()))


def lines(report: Report) -> dict[str, str]:
    return {each.what: each.line for each in report.dropped}


# --- partitions ------------------------------------------------------------------------------------------------------------------------------


def test_where_nothing_has_expired_nothing_is_asked_of_spark(house: House) -> None:
    house.publish(RATE, KEPT, "2026-10-15T03")
    house.publish(CHART, "2026-10-15")
    house.publish(PLAYED, OLD)  # kept longer
    house.land(1, (KEPT,), NOW - timedelta(days=1))
    before = house.everything()
    report = house.keep("charts", "listening", "vendor")
    assert (report.head, report.dropped, report.left) == ("4 datasets looked at; nothing is past its retention", (), ())
    assert house.engine.asked == 0
    after = house.everything()
    assert {name for name in before if before[name] != after[name]} == {"chores"}


def test_expired_partitions_are_forgotten_and_their_rows_dropped(house: House) -> None:
    house.publish(RATE, OLD, "2026-10-15T02", "2026-10-15T03", KEPT)
    report = house.keep("charts")
    assert lines(report) == {RATE: f"{RATE}: 2 partitions before 2026-10-15T03, their 2 files (20 bytes) leave the disk within 14 days"}
    assert house.ledger.partitions.ranges(RATE, "hourly") == [("2026-10-15T03", "2026-10-15T03"), (KEPT, KEPT)]
    assert house.rows(RATE) == ["2026-10-15T03", KEPT]
    assert delta_log.entries(house.lake.table(RATE))[-1].signature == {"by": "backline", "retention": "2026-10-15T03"}
    assert house.ledger.leases.holders() == []
    # The rows are dropped: nothing is left to do until the files are ripe.
    assert house.keep("charts").dropped == ()
    assert house.engine.asked == 0
    house.now += timedelta(days=14) - timedelta(hours=1)
    house.keep("charts")
    assert house.engine.said[-2:] == [f"VACUUM delta.`{house.lake.table(RATE)}`", "release retention-charts-night3"]


def test_what_only_the_ledger_knows_needs_no_spark(house: House) -> None:
    house.publish(RATE, OLD, KEPT, files=False)
    house.publish(CHART, "2026-10-01", files=False)
    assert set(lines(house.keep("charts"))) == {RATE, CHART}
    assert house.engine.asked == 0
    assert house.there(RATE, partition=KEPT) == [RATE]
    assert not house.there(RATE)


def test_what_only_the_table_holds_is_dropped_too(house: House) -> None:
    """A build that died between its commit and its word to the ledger."""
    house.publish(RATE, OLD)
    house.ledger.partitions.forget(RATE, [OLD])
    assert house.keep("charts").dropped[0].counts["partitions"] == 1
    assert house.rows(RATE) == []


def test_without_spark_rows_are_dropped_and_files_stay_until_it_is_back(house: House) -> None:
    house.publish(RATE, OLD)
    house.publish(CHART, "2026-10-01", files=False)
    house.ledger.registry.apply([*CONTRACTS, endpoint("charts/third", retention_seconds=5 * DAY)], "test")
    house.publish("charts/third", OLD)
    house.engine.down = True
    assert not house.keep("charts").troubles
    assert not house.there(RATE, "charts/third")
    house.now += timedelta(days=14)
    report = house.keep("charts")
    assert [each.what for each in report.troubles] == [RATE, "charts/third"]
    assert lines(report)[RATE] == f"{RATE}: failed: EngineError: Spark does not answer: see ./backline status"
    assert report.head.endswith("; 2 failed")
    assert house.engine.asked == 1
    house.engine.down = False
    assert not house.keep("charts").troubles
    assert [words.split()[0] for words in house.engine.said] == ["VACUUM", "VACUUM", "release"]


def test_a_drop_that_failed_keeps_its_lease_and_is_done_by_the_next(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.publish(RATE, OLD)

    def broken(*_: Any) -> None:
        raise NotCommitted("the storage is gone in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(housekeeping, "drop_partitions", broken)
        assert house.keep("charts").troubles
    assert not house.there(RATE)  # readers wait for it rather than read it half dropped
    assert [run_id for run_id, _ in house.ledger.leases.abandoned()] == ["retention-charts-night1"]
    assert not house.keep("charts").troubles
    assert house.rows(RATE) == []
    assert house.ledger.leases.abandoned() == []


def test_what_a_run_is_building_is_left_for_the_next_time(house: House) -> None:
    house.publish(RATE, OLD, "2026-10-11T00")
    fence = house.ledger.leases.acquire(RATE, [OLD], "builder")
    assert isinstance(fence, Fence)
    report = house.keep("charts")
    assert lines(report) == {RATE: f"{RATE}: left for the next time: {RATE}: held: {OLD} by run builder"}
    assert (report.troubles, house.engine.said[:-1]) == ((), [])
    assert house.there(RATE) == [RATE]
    house.ledger.leases.release(fence)
    house.keep("charts")
    assert not house.there(RATE)


def test_nobody_builds_what_is_being_dropped(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The leases are held from before the ledger forgets until the rows are gone."""
    house.publish(RATE, OLD)
    seen: list[Any] = []
    monkeypatch.setattr(housekeeping, "drop_partitions", lambda *_: seen.append(house.ledger.leases.acquire(RATE, [OLD], "builder")))
    house.keep("charts")
    assert [held.by for held in seen] == [{OLD: "retention-charts-night1"}]


def test_leases_of_a_retention_that_was_killed_are_taken(house: House) -> None:
    house.publish(RATE, OLD)
    house.ledger.leases.acquire(RATE, [OLD], "retention-charts-killed")
    house.ledger.leases.acquire(CHART, ["2026-10-01"], "retention-chartsmore-alive")
    assert not house.keep("charts").troubles
    assert not house.there(RATE)
    assert house.ledger.leases.holders() == ["retention-chartsmore-alive"]


def test_a_source_forgets_what_it_pulled_with_its_partitions(house: House) -> None:
    for day in ("2026-10-01", "2026-10-16"):
        LocalFiles().write(house.landing.path(f"sources/{FILES}/{day}.json"), b"{}")
    house.keep("vendor")
    assert LocalFiles().names(house.landing.path(f"sources/{FILES}")) == ["2026-10-16.json"]


def test_empty_folders_of_expired_partitions_go(house: House) -> None:
    folder = Path(house.lake.table(RATE), f"hour={OLD}")
    folder.mkdir(parents=True)
    assert house.keep("charts").dropped == ()
    assert not folder.exists()


def test_an_expired_partition_is_answered_and_not_built(house: House) -> None:
    class Rows(Schema):
        """One column."""

        id: T.LongType = column()

    def rate() -> None:
        raise AssertionError("nothing is computed")

    made: Contract = house.ledger.registry.current()[RATE]
    work = Work(Declared(made, EndpointDef(fn=rate, schema=Rows, partitions="hourly")), (OLD,), "click", "click", {}, NOW)
    (result,) = build(work, house.platform)
    assert (result.outcome, result.rows) == ("skipped", 0)
    assert result.reason == "outside retention (5d): dropped, and not built again; the oldest kept is 2026-10-15T03"
    assert house.ledger.attempts.of(RATE, "hourly") == []


# --- what is shared --------------------------------------------------------------------------------------------------------------------------


def test_landing_goes_by_its_contract_and_the_ledger_follows(house: House) -> None:
    old = house.land(1, (OLD, "2026-10-10T01"), NOW - timedelta(days=8))
    house.land(2, (OLD,), NOW - timedelta(days=6))
    house.publish(PLAYED, OLD, files=False)
    report = house.keep()
    assert lines(report)["landing"] == (
        f"landing: 2 segments (6 bytes) and 1 manifest; {PLAYED}: 1 hour never built (2026-10-10T01) cannot be built any more once this is gone"
    )
    assert house.landing.missing([segment.path for segment in old.segments]) == [segment.path for segment in old.segments]
    assert [manifest.seal for manifest in house.landing.manifests()] == [2]
    assert house.ledger.landing.expired(PLAYED, [OLD, "2026-10-10T01"]) == {OLD, "2026-10-10T01"}
    assert [row.seal for row in house.ledger.landing.segments(PLAYED, [OLD])[OLD]] == [2]
    assert house.keep(always=True).dropped == ()


@pytest.mark.parametrize("step", ["forget_segments", "drop_seals", "forget_seals"])
def test_interrupted_anywhere_the_next_call_finds_the_rest(house: House, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    house.land(1, (OLD,), NOW - timedelta(days=8))

    def fail(*_: Any) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(sweeping if step == "drop_seals" else house.ledger.forgetting, step, fail)
        report = house.keep()
        assert lines(report)["landing"] == "landing: failed: OSError: no space left on device"
        assert house.ledger.forgetting.done_at("retention of what is shared") is None
    house.keep()
    assert list(house.landing.manifests()) == []
    assert house.ledger.landing.segments(PLAYED, [OLD]) == {OLD: ()}
    assert house.ledger.landing.expired(PLAYED, [OLD]) == {OLD}
    assert house.ledger.forgetting.recorded_seals(NOW) == set()


def test_what_the_ledger_never_heard_of_is_kept(house: House) -> None:
    """The collector records a seal it could not record before, however old: its segments were never built."""
    manifest = house.land(1, (OLD,), NOW - timedelta(days=8), recorded=False)
    report = house.keep()
    assert "1 seal past retention kept: the ledger has not recorded them yet" in lines(report)["landing"]
    assert house.landing.missing([segment.path for segment in manifest.segments]) == []
    house.ledger.landing.record_seal(manifest)
    house.keep(always=True)
    assert house.landing.missing([segment.path for segment in manifest.segments])


def test_a_landing_that_is_not_mounted_forgets_nothing(house: House) -> None:
    house.land(1, (OLD,), NOW - timedelta(days=8))
    Path(house.landing.root).rename(house.folder / "elsewhere")
    assert "is not there: mount it" in lines(house.keep())["landing"]
    assert house.ledger.forgetting.recorded_seals(NOW) == {("r1", 1)}
    assert house.ledger.landing.expired(PLAYED, [OLD]) == set()


def test_one_damaged_manifest_stops_its_receiver_alone(house: House) -> None:
    house.land(1, (OLD,), NOW - timedelta(days=8))
    LocalFiles().write(house.landing.path(manifest_path("r0", 1)), b"{")
    report = house.keep()
    assert "r0/000000000001.json is no manifest" in lines(report)["landing"]
    assert [each.what for each in report.troubles] == ["landing"]
    assert house.landing.receivers() == ["r0"]


def test_landing_of_a_type_that_was_removed_goes_as_it_was_promised(house: House) -> None:
    house.land(1, (OLD,), NOW - timedelta(days=8))
    house.ledger.registry.apply([contract for contract in CONTRACTS if contract.key != PLAYED], "removed")
    house.keep()
    assert house.landing.receivers() == []


def test_failed_log_records_run_logs_and_history(house: House) -> None:
    LocalFiles().write(house.landing.path("failed/2026-10-11/r1-1.jsonl"), json.dumps({"event": PLAYED}).encode())
    LocalFiles().write(house.landing.path("failed/2026-10-19/r1-2.jsonl"), json.dumps({"event": PLAYED}).encode())
    for days, key in ((8, RATE), (8, PLAYED)):
        write_record(house.lake, BuildRecord(endpoint=key, run_id="run-1", fence=1, trigger="schedule", at=NOW - timedelta(days=days)))
    for name, days in (("old", 8), ("new", 1)):
        LocalFiles().write(f"{house.platform.run_logs}/{name}.log", b"text")
        at = (NOW - timedelta(days=days)).timestamp()
        os.utime(f"{house.platform.run_logs}/{name}.log", (at, at))
    house.now -= timedelta(days=40)
    house.publish(PLAYED, "2026-09-01T00", files=False)
    house.ledger.partitions.record([published(RATE, "2026-09-01T00")], run(at=house.now))
    house.now = NOW
    said = lines(house.keep())
    assert {what: line.partition(" (")[0] for what, line in said.items() if what != "records"} == {
        "failed log": "failed log: 1 file",
        "run logs": "run logs: 1 file",
        "ledger": "ledger: 2 days of attempts and transitions",
    }
    assert LocalFiles().names(house.landing.path("failed")) == ["2026-10-19"]
    assert LocalFiles().names(str(house.platform.run_logs)) == ["new.log"]
    (day,) = LocalFiles().names(house.lake.records)
    assert LocalFiles().names(f"{house.lake.records}/{day}") == ["run-1-listening.played.json"]


def test_what_killed_runs_left_goes_and_what_a_run_writes_stays(house: House) -> None:
    """By run: one that holds leases lives, however long it writes nothing. One that holds none may be between two, and has a day."""
    killed, taken, alive = (house.works(run_id, PLAYED, days(2)) for run_id in ("killed", "import-listening.played-0a", "alive"))
    house.ledger.leases.acquire(PLAYED, [OLD], "killed")
    house.ledger.leases.acquire(PLAYED, [KEPT], "alive")
    house.ledger.leases.end_run("killed")  # its lease is void, and nobody has taken it over yet
    between = house.works("between", PLAYED, days(2), deepest=timedelta(hours=23))
    before = house.everything()
    said = {what: f"{what}: 4 files (36 bytes) of 2 runs" for what in ("private files", "staging")}
    assert lines(house.keep(dry_run=True)) == said
    assert house.everything() == before
    assert lines(house.keep()) == said
    assert [path for path in (*killed, *taken, *alive, *between) if path.exists()] == [*alive, *between]
    house.ledger.leases.end_run("alive")
    house.now += days(1)
    assert set(lines(house.keep())) == set(said)
    assert LocalFiles().names(house.landing.path("private")) == LocalFiles().names(house.lake.staging_root) == []


def test_who_takes_over_from_a_killed_run_drops_what_it_left(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    killed, alive = (house.works(run_id, PLAYED, timedelta(0)) for run_id in ("killed", "alive"))
    house.ledger.leases.acquire(PLAYED, [OLD], "killed")
    house.ledger.leases.end_run("killed")
    remove, (private, staged) = LocalFiles.remove, killed

    def refused(files: LocalFiles, path: str) -> bool:
        if path == str(private):
            raise PermissionError(13, "Permission denied", path)
        assert house.engine.said == ["interrupt killed"]
        return remove(files, path)

    with monkeypatch.context() as patch:
        patch.setattr(LocalFiles, "remove", refused)
        fence = take(house.platform, PLAYED, [OLD], "next")  # builds all the same
    assert isinstance(fence, Fence)
    assert (private.exists(), staged.exists(), [path.exists() for path in alive]) == (True, False, [True, True])
    house.ledger.leases.end_run("next")
    house.works("next", PLAYED, timedelta(0))
    take(house.platform, PLAYED, [OLD], "after it")
    assert LocalFiles().names(house.landing.path("private")) == [f"{run_id}.listening.played" for run_id in ("alive", "killed")]


def test_what_dagster_captured_goes_with_the_history_of_the_run(house: House) -> None:
    captured = house.folder / "dagster" / "compute_logs"
    for run_id, age in (("old", 31), ("new", 29), ("alive", 31)):
        LocalFiles().write(f"{captured}/{run_id}/compute_logs/step.err", b"text")
        aged(captured / run_id, NOW - days(age))
    house.ledger.leases.acquire(PLAYED, [KEPT], "alive")
    assert lines(house.keep()) == {"captured output": "captured output: 1 file (4 bytes) of 1 run"}
    assert LocalFiles().names(str(captured)) == ["alive", "new"]


def test_a_folder_that_cannot_be_dropped_is_said_and_stops_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    (stuck, staged), (private, _) = house.works("first", PLAYED, days(2)), house.works("second", PLAYED, days(2))
    remove = LocalFiles.remove

    def refused(files: LocalFiles, path: str) -> bool:
        if path == str(stuck):
            raise PermissionError(13, "Permission denied", path)
        return remove(files, path)

    with monkeypatch.context() as patch:
        patch.setattr(LocalFiles, "remove", refused)
        report = house.keep()
    assert lines(report)["private files"] == f"private files: 2 files (18 bytes) of 1 run; failed: [Errno 13] Permission denied: '{stuck}'"
    assert [each.what for each in report.troubles] == ["private files"]
    assert (stuck.exists(), staged.exists(), private.exists()) == (True, False, False)
    house.keep()  # the same day: not all was done
    assert not stuck.exists()


def test_what_is_shared_is_done_once_a_day_by_whoever_comes_first(house: House) -> None:
    house.keep("charts")
    house.land(1, (OLD,), NOW - timedelta(days=8))
    report = house.keep("listening")
    assert (report.dropped, report.left) == ((), ("landing, failed log, records, history: done at 2026-10-20 03:17 UTC",))
    assert house.landing.receivers() == ["r1"]
    house.now += timedelta(days=1)
    assert "landing" in lines(house.keep("listening"))


# --- both ------------------------------------------------------------------------------------------------------------------------------------


def test_a_second_caller_leaves_what_the_first_is_at(house: House) -> None:
    house.publish(RATE, OLD, files=False)
    with house.ledger.forgetting.alone("retention of charts"), house.ledger.forgetting.alone("retention of what is shared"):
        report = house.keep("charts", "listening")
        assert report.left == ("charts: another run is at it", "landing, failed log, records, history: another run is at it")
        assert (report.looked, house.there(RATE)) == (1, [RATE])


def test_a_dry_run_says_the_same_and_changes_nothing(house: House) -> None:
    house.publish(RATE, OLD, KEPT)
    house.publish(CHART, "2026-10-01", files=False)
    house.land(1, (OLD,), NOW - timedelta(days=8))
    LocalFiles().write(house.landing.path("failed/2026-10-11/r1-1.jsonl"), json.dumps({"event": PLAYED}).encode())
    before = house.everything()
    told: list[str] = []
    dry = house.keep("charts", "listening", dry_run=True, tell=lambda entry: told.append(entry.line))
    assert house.everything() == before
    assert house.engine.asked == 0
    assert told == [each.line for each in dry.dropped]
    real = house.keep("charts", "listening")
    assert [each.line for each in real.dropped if each.what != "listening in the ledger"] == told
    assert {each.what for each in dry.dropped} == {RATE, CHART, "landing", "failed log"}


def test_a_day_later_only_that_day_goes(house: House) -> None:
    first = key_of("hourly", NOW - timedelta(days=5))
    hours = [shift(first, n) for n in range(30)]
    house.publish(RATE, *hours, files=False)
    assert house.keep("charts").dropped == ()
    house.now += timedelta(days=1)
    (entry,) = house.keep("charts").dropped
    assert entry.counts == {"partitions": 24}
