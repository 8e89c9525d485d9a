"""Where things lie, and files written in one piece."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from platform_defs.lake.files import LocalFiles, files_of
from platform_defs.lake.landing import LandingStore, SealManifest, manifest_path
from platform_defs.lake.layout import Lake


def test_lanes_lie_beside_their_table() -> None:
    lake = Lake("/data/lake/")
    assert lake.table("charts/skip_rate") == "/data/lake/charts/skip_rate"
    assert lake.quarantine("charts/skip_rate") == "/data/lake/charts/skip_rate__quarantine"
    assert lake.late("listening/track_played") == "/data/lake/listening/track_played__late"
    assert lake.staging("4f-1", "charts/skip_rate") == "/data/lake/_staging/4f-1-charts.skip_rate"


@pytest.mark.parametrize("key", ["charts", "../x/y", "charts/", "Charts/x", "_records/x", "charts/x/y", "charts/x;y", ""])
def test_what_is_no_endpoint_has_no_path(key: str) -> None:
    with pytest.raises(ValueError, match="no endpoint"):
        Lake("/data").table(key)


@pytest.mark.parametrize("run", ["", "../x", "a/b", ".hidden", "a b"])
def test_what_is_no_run_has_no_staging(run: str) -> None:
    with pytest.raises(ValueError, match="no run id"):
        Lake("/data").staging(run, "charts/skip_rate")


def test_a_lake_has_a_root() -> None:
    with pytest.raises(ValueError, match="no root"):
        Lake("")


def test_files_are_written_in_one_piece_and_privately(tmp_path: Path) -> None:
    files, path = LocalFiles(), tmp_path / "a" / "b" / "c.json"
    files.write(str(path), b"old")
    files.write(str(path), b"new")
    assert files.read(str(path)) == b"new"
    assert files.names(str(path.parent)) == ["c.json"]
    assert [oct(p.stat().st_mode)[-3:] for p in (path, path.parent, path.parent.parent)] == ["600", "700", "700"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, path = LocalFiles(), tmp_path / "c.json"
    files.write(str(path), b"old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk is gone")))
    with pytest.raises(OSError, match="disk is gone"):
        files.write(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["c.json"]


def test_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    files = LocalFiles()
    assert files.names(str(tmp_path / "none")) == []
    assert files.remove(str(tmp_path / "none")) is False
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    assert files.remove(str(tmp_path / "folder")) is True
    assert not (tmp_path / "folder").exists()


def test_folders_with_files_are_told_from_empty_ones(tmp_path: Path) -> None:
    for name in ("full", "hidden", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "part-0.parquet").touch()
    (tmp_path / "hidden" / ".part-0.parquet.crc").touch()
    (tmp_path / "file").touch()
    assert LocalFiles().filled(str(tmp_path), ["full", "hidden", "empty", "file", "none"]) == {"full"}
    assert LocalFiles().filled(str(tmp_path / "none"), ["full"]) == set()


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    assert LocalFiles().remove(str(tmp_path / "link"))
    assert (tmp_path / "kept").is_dir()


def test_other_storages_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="local folder only"):
        files_of("s3a://bucket/lake")


def test_landing_stays_in_its_folder(tmp_path: Path) -> None:
    landing = LandingStore(f"{tmp_path}/")
    assert landing.path("segments/a/b/x.gz") == f"{tmp_path}/segments/a/b/x.gz"
    for out in ("../x", "/etc/passwd", "segments/../../x"):
        with pytest.raises(ValueError, match="out of the landing"):
            landing.path(out)


def test_landing_tells_its_manifests_and_what_is_gone(tmp_path: Path) -> None:
    landing = LandingStore(str(tmp_path))
    assert list(landing.manifests()) == []
    for receiver, seal in (("r2", 1), ("r1", 10), ("r1", 2)):
        said = SealManifest.model_validate(
            {"receiver": receiver, "seal": seal, "sealed_at": "2026-10-01T00:00:00Z", "sealed_until": "2026-10-01T00:00:00Z", "segments": (), "accounts": ()}
        )
        LocalFiles().write(landing.path(manifest_path(receiver, seal)), said.model_dump_json().encode())
    assert [(m.receiver, m.seal) for m in landing.manifests()] == [("r1", 2), ("r1", 10), ("r2", 1)]
    LocalFiles().write(landing.path("segments/x.gz"), b"")
    assert landing.missing(["segments/y.gz", "segments/x.gz"]) == ["segments/y.gz"]
    LocalFiles().write(landing.path(manifest_path("r1", 3)), b'{"receiver": "secret name"}')
    with pytest.raises(ValueError, match=r"000000000003\.json is no manifest") as raised:
        list(landing.manifests())
    assert "secret" not in str(raised.value)
