"""Landing and the failed log past their retention."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from platform_defs.lake.files import LocalFiles
from platform_defs.lake.landing import LandingStore, SealManifest, Segment, manifest_path, segment_path
from platform_defs.lake.retention import drop_failed, drop_landing

DAY = 86_400
SEALED = datetime(2026, 10, 1, 12, tzinfo=UTC)


def _seal(landing: LandingStore, seal: int, events: list[str], sealed_at: datetime = SEALED, hour: str = "2026-10-01T11") -> list[str]:
    paths = [segment_path(event, hour, "r1", seal) for event in events]
    for path in paths:
        LocalFiles().write(landing.path(path), b"x")
    segments = tuple(Segment(event=event, hour=hour, path=path, rows=1, size=1, sha256="") for event, path in zip(events, paths, strict=True))
    manifest = SealManifest(receiver="r1", seal=seal, sealed_at=sealed_at, sealed_until=sealed_at, segments=segments, accounts=())
    LocalFiles().write(landing.path(manifest_path("r1", seal)), manifest.model_dump_json().encode())
    return paths


def _seals(landing: LandingStore) -> list[int]:
    return [manifest.seal for manifest in landing.manifests()]


def test_segments_go_by_the_age_of_their_seal_and_type(tmp_path: Path) -> None:
    landing = LandingStore(str(tmp_path))
    played, started = _seal(landing, 1, ["listening/track_played", "listening/track_started"])
    kept = {"listening/track_played": 7 * DAY, "listening/track_started": 10 * DAY}
    assert drop_landing(landing, kept, SEALED + timedelta(days=7)) == []
    assert drop_landing(landing, kept, SEALED + timedelta(days=8)) == [played]
    assert landing.missing([played, started]) == [played]
    assert _seals(landing) == [1]  # a segment of it is left
    assert drop_landing(landing, kept, SEALED + timedelta(days=8)) == []
    assert drop_landing(landing, kept, SEALED + timedelta(days=11)) == [started]
    assert _seals(landing) == []


def test_an_old_event_that_came_late_has_as_long_as_any_other(tmp_path: Path) -> None:
    landing = LandingStore(str(tmp_path))
    (late,) = _seal(landing, 1, ["listening/track_played"], SEALED + timedelta(days=30), hour="2026-10-01T11")
    kept = {"listening/track_played": 7 * DAY}
    assert drop_landing(landing, kept, SEALED + timedelta(days=31)) == []
    assert drop_landing(landing, kept, SEALED + timedelta(days=38)) == [late]


def test_what_nobody_declares_stays(tmp_path: Path) -> None:
    landing = LandingStore(str(tmp_path))
    _seal(landing, 1, ["gone/event"])
    assert drop_landing(landing, {"listening/track_played": DAY}, SEALED + timedelta(days=999)) == []
    assert drop_landing(landing, {}, SEALED + timedelta(days=999)) == []
    assert _seals(landing) == [1]


def test_a_seal_without_segments_keeps_its_accounts_as_long_as_any(tmp_path: Path) -> None:
    landing = LandingStore(str(tmp_path))
    _seal(landing, 1, [])
    kept = {"a/short": DAY, "a/long": 5 * DAY}
    drop_landing(landing, kept, SEALED + timedelta(days=2))
    assert _seals(landing) == [1]
    drop_landing(landing, kept, SEALED + timedelta(days=6))
    assert _seals(landing) == []


def test_the_failed_log_goes_by_whole_days(tmp_path: Path) -> None:
    landing = LandingStore(str(tmp_path))
    for day in ("2026-10-01", "2026-10-02"):
        LocalFiles().write(landing.path(f"failed/{day}/r1-1.jsonl"), b"x")
    assert drop_failed(landing, 7 * DAY, datetime(2026, 10, 8, 23, tzinfo=UTC)) == []
    assert drop_failed(landing, 7 * DAY, datetime(2026, 10, 9, 0, tzinfo=UTC)) == ["2026-10-01"]
    assert LocalFiles().names(landing.path("failed")) == ["2026-10-02"]
