"""What is past its retention, found without Spark: partitions by their folders and logs, landing, the failed log, records."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.registry_file import read_registry_files
from platform_defs.lake.delta_log import signature
from platform_defs.lake.files import LocalFiles
from platform_defs.lake.landing import Account, LandingStore, SealManifest, Segment, manifest_path, segment_path
from platform_defs.lake.layout import Lake
from platform_defs.lake.records import BuildRecord, DecisionRecord, write_record
from platform_defs.lake.retention import (
    ExpiredRows,
    drop_failed,
    drop_records,
    drop_seals,
    expired_failed,
    expired_records,
    expired_rows,
    expired_seals,
    first_kept,
)
from platform_defs.running.supervisor import CHECKOUT
from tests.fixtures.contracts import contract, event

DAY = 86_400
SEALED = datetime(2026, 10, 1, 12, tzinfo=UTC)
PLAYED, STARTED = "listening/track_played", "listening/track_started"


# --- tables ----------------------------------------------------------------------------------------------------------------------------------

SHORT = event("listening/played", retention_seconds=2 * DAY)
NOW = datetime(2026, 10, 3, 4, 30, tzinfo=UTC)
H2, H3, H4 = (f"2026-10-01T0{n}" for n in (2, 3, 4))


def _file(lake: Lake, lane: str, key: str, size: int = 10) -> None:
    LocalFiles().write(f"{lake.lane(SHORT.key, lane)}/hour={key}/part-0.parquet", b"x" * size)  # type: ignore[arg-type]


def _commit(lake: Lake, version: int, said: str | None, lane: str = "table", touched: str | None = None) -> None:
    info = {"timestamp": 1_790_000_000_000, "operation": "WRITE", **({"userMetadata": said} if said else {})}
    line = json.dumps({"commitInfo": info}, separators=(",", ":"))
    if touched is not None:
        line += "\n" + json.dumps({"add": {"path": "x", "partitionValues": {"hour": touched}, "dataChange": True}}, separators=(",", ":"))
    LocalFiles().write(f"{lake.lane(SHORT.key, lane)}/_delta_log/{version:020d}.json", line.encode())  # type: ignore[arg-type]


def _publish(lake: Lake, version: int, *keys: str, lane: str = "table") -> None:
    _commit(lake, version, signature(run="r", fence=1, keys=sorted(keys)), lane)
    for key in keys:
        _file(lake, lane, key)


def _expired(lake: Lake, now: datetime = NOW) -> ExpiredRows:
    return expired_rows(lake, SHORT, now)


@pytest.mark.parametrize(
    ("cadence", "now", "first"),
    [
        ("hourly", datetime(2026, 10, 3, 4, 30, tzinfo=UTC), "2026-10-01T04"),
        ("hourly", datetime(2026, 10, 3, 4, 0, tzinfo=UTC), "2026-10-01T04"),  # 03 ended exactly two days ago
        ("hourly", datetime(2026, 10, 3, 3, 59, 59, tzinfo=UTC), "2026-10-01T03"),
        ("daily", datetime(2026, 10, 3, 23, tzinfo=UTC), "2026-10-01"),
        ("daily", datetime(2026, 10, 4, 0, tzinfo=UTC), "2026-10-02"),
    ],
)
def test_a_partition_is_kept_until_it_ended_longer_ago_than_its_retention(cadence: str, now: datetime, first: str) -> None:
    assert first_kept(contract("a/b", cadence=cadence, retention_seconds=2 * DAY), now) == first


def test_where_nothing_was_written_nothing_is_expired(tmp_path: Path) -> None:
    assert _expired(Lake(str(tmp_path))) == ExpiredRows(H4, (), (), 0, 0, 0, 0, (), ())


def test_expired_partitions_are_found_in_every_lane(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    _publish(lake, 1, H2, H4)
    _publish(lake, 1, H3, lane="late")
    found = _expired(lake)
    assert (found.partitions, found.lanes, found.files, found.size) == ((H2, H3), ("table", "late"), 2, 20)
    assert (found.sweeps, found.ripe_files) == ((), 0)


def test_what_was_dropped_is_not_dropped_again_while_its_files_wait(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    _publish(lake, 1, H2, H3)
    _commit(lake, 2, signature(retention=H3))
    assert _expired(lake).partitions == (H3,)
    _commit(lake, 3, signature(retention=H4))
    _commit(lake, 4, signature(apply="x"))
    _publish(lake, 5, "2026-10-03T03")
    found = _expired(lake)
    assert (found.partitions, found.lanes, found.files) == ((), (), 2)


def test_what_was_written_since_is_dropped_again(tmp_path: Path) -> None:
    """A contract that kept longer for a while; a commit that is not the platform's."""
    lake = Lake(str(tmp_path))
    _publish(lake, 1, H2, H3)
    _commit(lake, 2, signature(retention=H4))
    _publish(lake, 3, H2)
    assert _expired(lake).partitions == (H2,)
    _commit(lake, 4, None, touched=H3)
    assert _expired(lake).partitions == (H2, H3)


def test_files_are_swept_once_two_weeks_have_gone(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    _publish(lake, 1, H2, H3)
    _commit(lake, 2, signature(retention=H4))
    assert _expired(lake, NOW + timedelta(days=14) - timedelta(hours=2)).sweeps == ()
    found = _expired(lake, NOW + timedelta(days=14) - timedelta(hours=1))
    assert (found.sweeps, found.ripe_files, found.files) == (("table",), 1, 2)


def test_empty_folders_are_told_and_others_left_alone(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    for folder in (f"hour={H2}", f"hour={H4}", "day=2026-09-01", "_delta_log", "hour=__HIVE_DEFAULT_PARTITION__"):
        Path(lake.table(SHORT.key), folder).mkdir(parents=True)
    assert _expired(lake).empty == (f"{lake.table(SHORT.key)}/hour={H2}",)


# --- landing ---------------------------------------------------------------------------------------------------------------------------------


def _seal(
    landing: LandingStore, seal: int, events: list[str], sealed_at: datetime = SEALED, hour: str = "2026-10-01T11", rejected: tuple[str | None, ...] = ()
) -> list[str]:
    paths = [segment_path(each, hour, "r1", seal) for each in events]
    for path in paths:
        LocalFiles().write(landing.path(path), b"x")
    segments = tuple(Segment(event=each, hour=hour, path=path, rows=1, size=1, sha256="") for each, path in zip(events, paths, strict=True))
    accounts = tuple(Account(client="web", event=each, received=1, accepted=0, rejected=1) for each in rejected)
    manifest = SealManifest(receiver="r1", seal=seal, sealed_at=sealed_at, sealed_until=sealed_at, segments=segments, accounts=accounts)
    LocalFiles().write(landing.path(manifest_path("r1", seal)), manifest.model_dump_json().encode())
    return paths


def _seals(landing: LandingStore) -> list[int]:
    return [manifest.seal for manifest in landing.manifests()]


def _drop(landing: LandingStore, kept: dict[str, int], after: timedelta) -> list[str]:
    """Drops what has expired by then; the segments."""
    found = list(expired_seals(landing, "r1", kept, 7 * DAY, SEALED + after))
    drop_seals(landing, found)
    drop_seals(landing, found)  # harmless
    return [segment.path for each in found for segment in each.segments]


def test_segments_go_by_the_age_of_their_seal_and_type(tmp_path: Path) -> None:
    landing = LandingStore(str(tmp_path))
    played, started = _seal(landing, 1, [PLAYED, STARTED])
    kept = {PLAYED: 7 * DAY, STARTED: 10 * DAY}
    assert _drop(landing, kept, timedelta(days=7)) == []
    assert _drop(landing, kept, timedelta(days=8)) == [played]
    assert landing.missing([played, started]) == [played]
    assert not Path(landing.path(played)).parent.exists()
    assert _seals(landing) == [1]  # a segment of it is left
    assert _drop(landing, kept, timedelta(days=8)) == []
    assert _drop(landing, kept, timedelta(days=11)) == [started]
    assert _seals(landing) == []


def test_an_old_event_that_came_late_has_as_long_as_any_other(tmp_path: Path) -> None:
    landing = LandingStore(str(tmp_path))
    (late,) = _seal(landing, 1, [PLAYED], SEALED + timedelta(days=30), hour="2026-10-01T11")
    assert _drop(landing, {PLAYED: 7 * DAY}, timedelta(days=31)) == []
    assert _drop(landing, {PLAYED: 7 * DAY}, timedelta(days=38)) == [late]


def test_what_nobody_ever_declared_stays(tmp_path: Path) -> None:
    landing = LandingStore(str(tmp_path))
    _seal(landing, 1, ["gone/event"])
    assert _drop(landing, {PLAYED: DAY}, timedelta(days=999)) == []
    assert _drop(landing, {}, timedelta(days=999)) == []
    assert _seals(landing) == [1]


def test_one_types_long_landing_keeps_no_other_seal(tmp_path: Path) -> None:
    """A manifest is kept as long as what it names, not as long as anything."""
    landing = LandingStore(str(tmp_path))
    _seal(landing, 1, [], rejected=(None,))
    _seal(landing, 2, [PLAYED])
    _seal(landing, 3, [PLAYED], rejected=("history/flown",))
    _drop(landing, {PLAYED: DAY, "history/flown": 3650 * DAY}, timedelta(days=2))
    assert _seals(landing) == [1, 3]
    _drop(landing, {PLAYED: DAY, "history/flown": 3650 * DAY}, timedelta(days=8))
    assert _seals(landing) == [3]


def test_a_seal_that_cannot_be_read_names_its_file(tmp_path: Path) -> None:
    landing = LandingStore(str(tmp_path))
    LocalFiles().write(landing.path(manifest_path("r1", 1)), b"{")
    with pytest.raises(ValueError, match=r"000000000001\.json is no manifest"):
        _drop(landing, {PLAYED: DAY}, timedelta(days=2))


def test_the_failed_log_goes_when_the_last_of_a_files_types_may(tmp_path: Path) -> None:
    landing = LandingStore(str(tmp_path))

    def write(day: str, name: str, *types: str | None) -> None:
        lines = [json.dumps({"event": each, "body": None}) for each in types]
        LocalFiles().write(landing.path(f"failed/{day}/{name}.jsonl"), "".join(line + "\n" for line in lines).encode())

    write("2026-10-01", "r1-1", PLAYED, None)
    write("2026-10-01", "r1-2", PLAYED, "history/flown")
    write("2026-10-02", "r1-3", PLAYED)
    LocalFiles().write(landing.path("failed/2026-10-01/r1-4.jsonl"), b"damaged\n")
    kept = {PLAYED: 2 * DAY, "history/flown": 100 * DAY}

    def expired(now: datetime) -> list[str]:
        return [each.path for each in expired_failed(landing, kept, 7 * DAY, now)]

    assert expired(datetime(2026, 10, 4, 23, tzinfo=UTC)) == []
    assert expired(datetime(2026, 10, 5, tzinfo=UTC)) == ["failed/2026-10-02/r1-3.jsonl"]
    late = datetime(2026, 10, 9, tzinfo=UTC)
    assert expired(late) == ["failed/2026-10-01/r1-1.jsonl", "failed/2026-10-01/r1-4.jsonl", "failed/2026-10-02/r1-3.jsonl"]
    drop_failed(landing, expired_failed(landing, kept, 7 * DAY, late))
    assert LocalFiles().names(landing.path("failed")) == ["2026-10-01"]
    assert LocalFiles().names(landing.path("failed/2026-10-01")) == ["r1-2.jsonl"]


# --- records ---------------------------------------------------------------------------------------------------------------------------------


def test_a_record_goes_when_the_last_of_its_partitions_is_gone(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    contracts = {each.key: each for each in (contract("charts/short", retention_seconds=10 * DAY), contract("charts/long", retention_seconds=30 * DAY))}

    def build(run: str, days: int, endpoint: str) -> None:
        write_record(lake, BuildRecord(endpoint=endpoint, run_id=run, fence=1, trigger="schedule", at=SEALED + timedelta(days=days)))

    build("run-1", 0, "charts/short")
    build("run-2", 1, "charts/short")
    build("run-2", 1, "charts/long")
    build("run-3", 2, "charts/undeclared")
    write_record(lake, DecisionRecord(id="d-1", decision="pause", endpoint="charts/short", at=SEALED + timedelta(days=3)))

    def drop(days: float) -> list[str]:
        found = expired_records(lake, contracts, SEALED + timedelta(days=days))
        drop_records(lake, found)
        return [each.path.removeprefix(f"{lake.records}/") for each in found]

    assert drop(11) == []
    assert drop(12) == ["2026-10-01/run-1-charts.short.json"]
    assert LocalFiles().names(lake.records) == ["2026-10-02", "2026-10-03", "2026-10-04"]
    assert drop(13) == ["2026-10-02/run-2-charts.short.json"]
    assert drop(33) == ["2026-10-02/run-2-charts.long.json"]
    assert drop(36) == ["2026-10-03/run-3-charts.undeclared.json", "2026-10-04/decision-d-1.json"]
    assert expired_records(lake, {}, SEALED + timedelta(days=3650)) == []


# --- what is promised in this checkout -----------------------------------------------------------------------------------------------------------


def test_the_demonstrations_january_is_kept() -> None:
    """Its events are of January 2026, read until a year later at least, and its landing is what they can be built from again."""
    now = datetime(2027, 6, 1, tzinfo=UTC)
    contracts: dict[str, Contract] = {key: each for key, each in read_registry_files(CHECKOUT / "assets").items() if each.domain == "aviation"}
    assert contracts
    for each in contracts.values():
        assert first_kept(each, now) < each.start
        if each.kind == "event":
            assert each.lateness is not None
            assert datetime(2026, 1, 5, tzinfo=UTC) > now - timedelta(seconds=each.lateness.landing_seconds)
