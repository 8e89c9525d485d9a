"""What a commit says of its files: bounds that no row lies outside of, of measured columns alone; and files that do not belong are refused."""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_defs.lake import commits, delta_log, files
from platform_defs.lake.commits import NotOfTable, bring
from platform_defs.lake.files import files_of

HOUR = "2026-10-01T03"


def brought(folder: Path, table: pa.Table, measured: list[str], filled: tuple[str, ...] = (), rows_a_group: int = 2) -> dict[str, Any]:
    """The statistics of a table as the only file of an hour."""
    staged = folder / "staged.parquet"
    pq.write_table(table, staged, row_group_size=rows_a_group)
    size = staged.stat().st_size
    (file,) = bring(str(folder / "table"), "hour", {HOUR: [str(staged)]}, measured, filled)
    assert (file.key, file.rows, file.size) == (HOUR, table.num_rows, size)
    assert (folder / "table" / file.path).stat().st_size == size
    assert not staged.exists()
    return dict(json.loads(file.statistics))


def test_bounds_go_outwards_and_are_of_measured_columns_alone(tmp_path: Path) -> None:
    instants = [datetime(2026, 10, 1, 3, 0, 0, 1, UTC), datetime(2026, 10, 1, 3, 59, 59, 999_001, UTC), None]
    table = pa.table(
        {
            "n": [3, -7, None],
            "at": pa.array(instants, pa.timestamp("us", tz="UTC")),
            "day": [date(1, 1, 1), date(9999, 12, 31), None],
            "share": [0.5, -0.0, 2.5],
            "price": [Decimal("1.10"), Decimal("2.20"), None],
            "person": [1, 2, 3],
            "nothing": pa.array([None, None, None], pa.int64()),
        }
    )
    told = brought(tmp_path, table, ["n", "at", "day", "share", "price", "nothing"])
    assert told["numRecords"] == 3
    assert told["minValues"] == {"n": -7, "at": "2026-10-01T03:00:00.000Z", "day": "0001-01-01", "share": -0.0}
    assert told["maxValues"] == {"n": 3, "at": "2026-10-01T04:00:00.000Z", "day": "9999-12-31", "share": 2.5}
    assert told["nullCount"] == {"n": 1, "at": 1, "day": 1, "share": 0, "price": 1, "nothing": 3}


def test_instants_that_have_no_bound_make_no_partition_unpublishable(tmp_path: Path) -> None:
    last = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999
    for value in (last, last + 1, -62_135_596_800_000_001):
        folder = tmp_path / str(value)
        folder.mkdir()
        told = brought(folder, pa.table({"at": pa.array([value], pa.timestamp("us", tz="UTC"))}), ["at"])
        assert "minValues" not in told


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats()), min_size=1, max_size=12))
def test_no_number_lies_outside_what_is_told_of_it(tmp_path_factory: pytest.TempPathFactory, numbers: list[float | None]) -> None:
    told = brought(tmp_path_factory.mktemp("bounds"), pa.table({"x": pa.array(numbers, pa.float64())}), ["x"])
    for number in numbers:
        if number is not None and number == number and "x" in told.get("minValues", {}):
            assert told["minValues"]["x"] <= number <= told["maxValues"]["x"]


def test_a_part_whose_greatest_is_no_number_has_no_bound() -> None:
    assert commits._spelled([1.0, float("nan")], up=True) is None
    assert commits._spelled([1.0, float("inf")], up=True) is None


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pa.table({"hour": [HOUR, "2026-10-01T04"], "n": [1, 2]}), "holds rows of 2026-10-01T03 to 2026-10-01T04"),
        (pa.table({"hour": [HOUR, HOUR], "n": [1, None]}), "1 rows of 2026-10-01T03 have no n"),
    ],
)
def test_a_file_that_does_not_belong_is_refused_and_stays_where_it_was(tmp_path: Path, table: pa.Table, words: str) -> None:
    with pytest.raises(NotOfTable, match=words):
        brought(tmp_path, table, [], ("n",))
    assert (tmp_path / "staged.parquet").exists()
    assert not (tmp_path / "table").exists()


def test_what_was_moved_before_a_move_failed_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = []
    for number in range(2):
        pq.write_table(pa.table({"n": [number]}), tmp_path / f"{number}.parquet")
        staged.append(str(tmp_path / f"{number}.parquet"))
    real = os.rename

    def rename(source: str, target: str) -> None:
        if source == staged[1]:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="No space left"):
        bring(str(tmp_path / "table"), "hour", {HOUR: staged}, [], [])
    assert list((tmp_path / "table").rglob("*.parquet")) == []


def test_a_file_is_moved_between_mounts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "from").write_bytes(b"rows")
    (tmp_path / "there").mkdir()

    def apart(*_: str) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "rename", apart)
    files_of(str(tmp_path)).move(f"{tmp_path}/from", f"{tmp_path}/there/to")
    assert [(path.name, path.read_bytes(), path.stat().st_mode & 0o777) for path in (tmp_path / "there").iterdir()] == [("to", b"rows", 0o600)]
    assert not (tmp_path / "from").exists()


@pytest.mark.parametrize(("words", "kind"), [("\x1b[31mwrite failed\x1b[0m: (os error 28)", OSError), ("endpoint is gone", commits.NotCommitted)])
def test_what_the_storage_says_is_known_again(words: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as raised, commits._told("/lake/table"):
        raise OSError(words)
    assert "\x1b" not in str(raised.value)
    assert not isinstance(raised.value, OSError) or raised.value.errno == errno.ENOSPC


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is on the disk, in the order in which it came there."""
    paths: list[str] = []
    monkeypatch.setattr(files, "_sync", lambda path: paths.append(str(path)))
    return paths


def test_what_is_brought_is_on_the_disk(tmp_path: Path, synced: list[str]) -> None:
    staged, table = tmp_path / "staged.parquet", tmp_path / "table"
    pq.write_table(pa.table({"n": [1, 2]}), staged)
    [file] = bring(str(table), "hour", {HOUR: [str(staged)]}, ["n"], ())
    assert {f"{table}/{file.path}", f"{table}/hour={HOUR}", str(table)} <= set(synced)  # the table's folder names the partition's


def test_commits_are_on_the_disk_with_the_checkpoints_made_on_the_way(tmp_path: Path, synced: list[str]) -> None:
    table, log = str(tmp_path / "table"), f"{tmp_path / 'table'}/_delta_log"
    write_deltalake(table, pa.table({"n": [0]}))
    write_deltalake(table, pa.table({"n": [1]}), mode="append")
    delta_log.settle(table)
    assert synced == [f"{log}/{1:020d}.json", log]
    synced.clear()
    DeltaTable(table).create_checkpoint()
    delta_log.settle(table, since=-1)
    assert synced[-1] == log
    assert set(synced) == {*(f"{log}/{name}" for name in (f"{0:020d}.json", f"{1:020d}.json", f"{1:020d}.checkpoint.parquet", "_last_checkpoint")), log}
