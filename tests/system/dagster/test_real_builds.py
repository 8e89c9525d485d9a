"""The same pages over real builds: Spark, Delta, the ledger, code locations that load applied copies. What is published equals what landed."""

import gzip
import json
import os
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from platform_defs.contracts.partitions import keys_between, start_of
from platform_defs.lake.landing import SealManifest, Segment, manifest_path, segment_path
from platform_defs.lake.layout import Lake
from platform_defs.ledger import Ledger
from platform_defs.ledger.embedded import EmbeddedPostgres
from platform_defs.privacy.keys import FileKek
from platform_defs.privacy.vault import Vault
from platform_defs.running.applying import apply
from resources.settings import Settings
from resources.spark import SparkEngines
from tests.fixtures.dagster import RunningDagster, running_dagster, until
from tests.system.dagster.domains import write_domains

PLAYED, PLAYS, PLAYS_DAY, ROYALTIES, ROYALTIES_DAY = "music/track_played", "music/plays", "music/plays_day", "sales/royalties", "sales/royalties_day"
TRACKS = ("trk_aaaaaaaa", "trk_bbbbbbbb")
FIRST, LAST = "2024-10-05T00", "2024-10-09T23"
# More plays of one track than the contract of music/plays allows in an hour.
TOO_MANY = "2024-10-09T05"


def plays_of(hour: str) -> Counter[str]:
    """What was played in an hour: one to three of the first track, one of the second in even hours."""
    number = start_of(hour).hour
    return Counter({TRACKS[0]: 5 if hour == TOO_MANY else number % 3 + 1, TRACKS[1]: 1 - number % 2}) + Counter()


@dataclass
class Platform:
    """A platform with events in its landing."""

    dagster: RunningDagster
    settings: Settings
    ledger: Ledger
    engines: SparkEngines
    seals: int = 0

    def land(self, hours: dict[str, Counter[str]]) -> None:
        """One seal with these plays."""
        self.seals += 1
        at = datetime.now(UTC)
        segments = []
        for hour, plays in hours.items():
            lines = [
                {
                    "client": "web",
                    "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{hour}/{self.seals}/{track}/{number}")),
                    "time": (start_of(hour) + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                    "received_at": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                    "data": {"track_id": track, "ms_played": 1000},
                }
                for track, count in plays.items()
                for number in range(count)
            ]
            data = gzip.compress("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode())
            relative = segment_path(PLAYED, hour, "r1", self.seals)
            path = Path(self.settings.landing, relative)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            segments.append(Segment(event=PLAYED, hour=hour, path=relative, rows=len(lines), size=len(data), sha256=sha256(data).hexdigest()))
        manifest = SealManifest(receiver="r1", seal=self.seals, sealed_at=at, sealed_until=at, segments=tuple(segments), accounts=())
        file = Path(self.settings.landing, manifest_path("r1", self.seals))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(manifest.model_dump_json())
        self.ledger.landing.beat("r1", at, at)
        self.ledger.landing.record_seal(manifest)

    def rows(self, key: str, column: str, *values: str) -> Counter[tuple[str, ...]]:
        """The published rows of a table, as texts."""
        session = self.engines.engine("lake").session("test-real-builds")
        frame = session.read.format("delta").load(Lake(self.settings.lake).table(key)).select(column, *values)
        return Counter(tuple(str(value) for value in row) for row in frame.collect())


@pytest.fixture(scope="module")
def platform(postgres: EmbeddedPostgres, spark_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The two small domains, applied, served, and five days of plays in the landing."""
    home = tmp_path_factory.mktemp("real")
    names = {name: f"{name}_real_builds" for name in ("dagster", "ledger", "vault")}
    for name in names.values():
        postgres.create_database(name)
    settings = Settings(
        home=home,
        landing=str(home / "landing"),
        lake=str(home / "lake"),
        ledger_url=postgres.uri(names["ledger"]),
        vault_url=postgres.uri(names["vault"]),
        storage_url=postgres.uri(names["dagster"]),
        spark_intake=spark_server,
        spark_lake=spark_server,
        collector_url="http://127.0.0.1:1",
        assets=write_domains(home),
    )
    settings.write()
    ledger = Ledger(settings.ledger_url)
    ledger.create()
    vault = Vault(settings.vault_url, FileKek.load_or_create(settings.kek_file))
    vault.create()
    vault.close()
    apply(settings, settings.assets)
    engines = SparkEngines(spark_server, spark_server)
    with running_dagster(settings, ["music", "sales"]) as dagster:
        for domain, cadence in (("music", "hourly"), ("music", "daily"), ("sales", "hourly"), ("sales", "daily")):
            dagster.stop_schedule(domain, f"{domain}_{cadence}")  # they would build the empty hours of the last two days beside every test
        built = Platform(dagster, settings, ledger, engines)
        built.land({hour: plays_of(hour) for hour in keys_between(FIRST, LAST)})
        yield built
    engines.engine("lake").release("test-real-builds")
    ledger.close()


def expected_plays(first: str, last: str) -> Counter[tuple[str, ...]]:
    return Counter({(hour, track, str(count)): 1 for hour in keys_between(first, last) for track, count in plays_of(hour).items()})


def within(rows: Counter[tuple[str, ...]], first: str, last: str) -> Counter[tuple[str, ...]]:
    return Counter({row: count for row, count in rows.items() if first <= row[0] <= last})


def test_one_asset_over_72_hours(platform: Platform) -> None:
    first, last = "2024-10-05T00", "2024-10-07T23"
    state = platform.dagster.wait_backfill(platform.dagster.backfill({PLAYED: (first, last)}))
    assert state["status"] == "COMPLETED_SUCCESS", (state, [platform.dagster.failure_of(run["runId"]) for run in state["runs"] if run["status"] == "FAILURE"])
    assert len(state["runs"]) == 3
    landed = Counter({(hour, track): count for hour in keys_between(first, last) for track, count in plays_of(hour).items()})
    assert within(platform.rows(PLAYED, "hour", "track_id"), first, last) == landed
    shown = platform.dagster.materialised(PLAYED)
    assert {hour: shown[hour]["dagster/partition_row_count"] for hour in keys_between(first, last)} == {
        hour: plays_of(hour).total() for hour in keys_between(first, last)
    }
    assert shown[first]["median seconds a partition"] > 0
    for name, check in platform.dagster.checks(PLAYED).items():
        ranges = check["partitionStatuses"]["ranges"]
        assert {"status": "SUCCEEDED", "startKey": first, "endKey": last} in ranges, (name, ranges)


def test_four_assets_of_two_domains_over_30_hours_across_midnight(platform: Platform) -> None:
    hours = ("2024-10-06T23", "2024-10-08T04")
    later = ("2024-10-07T00", hours[1])
    ranges = {PLAYED: hours, PLAYS: hours, ROYALTIES: later, ROYALTIES_DAY: ("2024-10-07", "2024-10-07")}
    state = platform.dagster.wait_backfill(platform.dagster.backfill(ranges))
    assert state["status"] == "COMPLETED_SUCCESS", (state, [platform.dagster.failure_of(run["runId"]) for run in state["runs"] if run["status"] == "FAILURE"])
    assert within(platform.rows(PLAYS, "hour", "track_id", "plays"), *hours) == expected_plays(*hours)
    owed = {hour: plays_of(hour) + plays_of(keys_between("2024-10-05T00", hour)[-2]) for hour in keys_between(*later)}
    royalties = Counter({(hour, track, str(count)): 1 for hour, counts in owed.items() for track, count in counts.items()})
    assert within(platform.rows(ROYALTIES, "hour", "track_id", "owed"), *later) == royalties
    day = sum((owed[hour] for hour in keys_between("2024-10-07T00", "2024-10-07T23")), Counter[str]())
    assert platform.rows(ROYALTIES_DAY, "day", "track_id", "owed") == Counter({("2024-10-07", track, str(count)): 1 for track, count in day.items()})


def test_one_refused_hour(platform: Platform) -> None:
    first, last = "2024-10-09T00", "2024-10-09T11"
    state = platform.dagster.wait_backfill(platform.dagster.backfill({PLAYED: (first, last), PLAYS: (first, last)}))
    assert state["status"] == "COMPLETED_FAILED"
    (failed,) = [run for run in state["runs"] if run["status"] == "FAILURE"]
    told = platform.dagster.failure_of(failed["runId"])
    assert f"{PLAYS}: 1 of 12 partitions not published (1 refused)" in told
    assert TOO_MANY in told
    assert "plays" in told
    assert set(keys_between(first, last)) - set(platform.dagster.materialised(PLAYS)) == {TOO_MANY}
    assert TOO_MANY not in {row[0] for row in platform.rows(PLAYS, "hour")}
    ranges = platform.dagster.checks(PLAYS)["contract"]["partitionStatuses"]["ranges"]
    assert {"status": "FAILED", "startKey": TOO_MANY, "endKey": TOO_MANY} in ranges
    published = platform.ledger.partitions.published(PLAYS, keys_between(first, last))
    assert TOO_MANY not in published


def test_a_day_with_a_missing_hour_waits_and_names_it(platform: Platform) -> None:
    run = platform.dagster.launch("music", [PLAYS_DAY], {"dagster/partition": "2024-10-09"})
    assert platform.dagster.wait_run(run) == "FAILURE"
    told = platform.dagster.failure_of(run)
    assert f"waits for {PLAYS} {TOO_MANY}" in told
    assert f"{PLAYS} 2024-10-09T12" in told


def test_cancelled_and_resumed(platform: Platform) -> None:
    first, last = "2024-10-08T05", "2024-10-08T23"
    backfill = platform.dagster.backfill({PLAYED: (first, last), PLAYS: (first, last)})
    until(lambda: platform.dagster.backfill_state(backfill)["runs"], 60, "a run of the backfill")
    platform.dagster.cancel_backfill(backfill)
    state = platform.dagster.wait_backfill(backfill)
    assert state["status"] == "CANCELED"
    again = platform.dagster.wait_backfill(platform.dagster.backfill({PLAYED: (first, last), PLAYS: (first, last)}))
    assert again["status"] == "COMPLETED_SUCCESS", [platform.dagster.failure_of(run["runId"]) for run in again["runs"] if run["status"] == "FAILURE"]
    assert within(platform.rows(PLAYS, "hour", "track_id", "plays"), first, last) == expected_plays(first, last)
    assert not platform.ledger.leases.holders()


def test_a_run_killed_in_the_middle_leaves_nothing_half_done(platform: Platform) -> None:
    """Killed while it holds the lease: the next run takes over once Dagster has seen the end, and the tables are as if nothing had been."""
    first, last = "2024-10-05T00", "2024-10-05T23"
    run = platform.dagster.launch("music", [PLAYS], {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last})
    pid = until(lambda: platform.dagster.process_of(run), 60, "the run executes")
    until(lambda: run in platform.ledger.leases.holders(), 60, "the run holds its lease")
    os.kill(pid, signal.SIGKILL)
    assert platform.dagster.wait_run(run) == "FAILURE"
    again = platform.dagster.launch("music", [PLAYS], {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last})
    assert platform.dagster.wait_run(again) == "SUCCESS", platform.dagster.failure_of(again)
    assert within(platform.rows(PLAYS, "hour", "track_id", "plays"), first, last) == expected_plays(first, last)
    until(lambda: not platform.ledger.leases.holders(), 60, "nobody holds a lease")


def test_late_rows_rebuild_their_hour_and_what_stands_on_it(platform: Platform) -> None:
    """The sensor runs as everywhere: nobody asks for these rebuilds."""
    hour = "2024-10-07T09"
    before = platform.ledger.partitions.published(PLAYED, keys_between("2024-10-07T00", "2024-10-07T23"))
    platform.land({hour: Counter({TRACKS[1]: 2})})

    def rebuilt() -> bool:
        (day,) = platform.ledger.partitions.published(ROYALTIES_DAY, ["2024-10-07"]).values()
        return day.changed_at is not None and day.first_built_at is not None and day.changed_at > day.first_built_at

    until(rebuilt, 600, "the wave reaches the day")
    owed = [row for row in platform.rows(ROYALTIES, "hour", "track_id", "owed") if row[1] == TRACKS[1] and row[0] in (hour, "2024-10-07T10")]
    assert sorted(owed) == [(hour, TRACKS[1], "3"), ("2024-10-07T10", TRACKS[1], "3")]
    after = platform.ledger.partitions.published(PLAYED, keys_between("2024-10-07T00", "2024-10-07T23"))
    assert {key for key in after if after[key].run_id != before[key].run_id} == {hour}
