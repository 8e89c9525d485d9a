"""What was changed in a table past the platform, found from its log and folders as Delta writes them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from platform_defs.lake.delta_log import signature
from platform_defs.lake.layout import Lake
from platform_defs.ledger import Ledger, outside
from platform_defs.ledger.leases import Fence
from platform_defs.ledger.looking import look
from platform_defs.ledger.outside import changed_outside, note_changes
from platform_defs.planning.states import PartitionState as S
from sensors.late_data import Cursor, look_outside
from tests.system.ledger.conftest import Clock
from tests.system.ledger.telling import EVENT, H2, H3, H4, H5, NOON, counts, failed, published, run


class Table:
    """The event type's table on disk: its log, and a folder a partition."""

    def __init__(self, lake: Lake) -> None:
        self.lake, self.path, self.version = lake, Path(lake.table(EVENT)), 0

    def publish(self, *keys: str, run_id: str = "run-1") -> int:
        """A run's commit; the version."""
        for key in keys:
            (self.path / f"hour={key}").mkdir(parents=True, exist_ok=True)
            (self.path / f"hour={key}" / f"part-{run_id}.parquet").touch()
            (self.path / f"hour={key}" / f".part-{run_id}.parquet.crc").touch()
        return self.commit("WRITE", *keys, said=signature(run=run_id, fence=1, keys=sorted(keys)))

    def commit(self, operation: str, *keys: str, said: str | None = None, changed: bool = True) -> int:
        self.version += 1
        info = {"timestamp": NOON.timestamp() * 1000, "operation": operation} | ({"userMetadata": said} if said is not None else {})
        files = [{"remove": {"path": "x", "partitionValues": {"hour": key}, "dataChange": changed}} for key in keys]
        log = self.path / "_delta_log"
        log.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(each, separators=(",", ":")) for each in ({"commitInfo": info}, *files)]
        (log / f"{self.version:020d}.json").write_text("\n".join(lines))
        return self.version


@pytest.fixture
def table(filled: Ledger, tmp_path: Path) -> Table:
    """Four hours are published, the last of them without a row and one imported; the table was looked at."""
    made = Table(Lake(str(tmp_path / "lake")))
    version = made.publish(H2, H3, H4)
    rows = {"version": version, "counts": counts(7)}
    outcomes = [published(EVENT, H2, **rows), published(EVENT, H3, **rows), published(EVENT, H5, rows=0, version=version, counts=counts(0))]
    filled.partitions.record([*outcomes, published(EVENT, H4, origin="imported", version=version)], run())
    assert found(filled, made) == []
    return made


def found(ledger: Ledger, table: Table) -> list[str]:
    return [each.partition for each in note_changes(ledger, table.lake, [EVENT])]


def state(ledger: Ledger, key: str) -> tuple[S, bool, str]:
    decision = look(ledger, [(EVENT, key)], NOON)[EVENT, key]
    return decision.state, decision.ask, decision.reason


def test_rows_deleted_by_hand_make_their_partition_stale_until_it_is_built(filled: Ledger, table: Table) -> None:
    version = table.commit("DELETE", H3)
    assert found(filled, table) == [H3]
    assert state(filled, H3) == (S.STALE, True, f"changed outside: DELETE at 2026-10-01 12:00, table version {version}, not by the platform; rebuilt")
    assert state(filled, H2)[:2] == (S.CURRENT, False)
    assert [each.became for partition, each in filled.transitions.of(EVENT, "hourly") if partition == H3] == ["failed"]
    assert found(filled, table) == []
    assert changed_outside(filled, "listening") == {(EVENT, H3)}
    assert changed_outside(filled, "charts") == set()
    filled.partitions.record([published(EVENT, H3, version=table.publish(H3, run_id="run-2"), counts=counts(7), run_id="run-2")], run("run-2"))
    assert (found(filled, table), state(filled, H3)[0], changed_outside(filled, "listening")) == ([], S.CURRENT, set())


def test_what_changes_no_row_is_no_change(filled: Ledger, table: Table) -> None:
    table.commit("OPTIMIZE", H2, H3, changed=False)
    table.commit("SET TBLPROPERTIES")
    table.commit("DELETE", H2, said=signature(retention=H2))
    assert found(filled, table) == []


def test_a_partition_whose_files_are_gone_is_found_and_one_without_rows_has_none(filled: Ledger, table: Table) -> None:
    shutil.rmtree(table.path / f"hour={H2}")
    assert found(filled, table) == [H2]
    assert state(filled, H2) == (S.STALE, True, f"changed outside: its files are gone from {table.path}; rebuilt")
    (table.path / f"hour={H3}" / "part-run-1.parquet").unlink()  # the folder stays, and the sum of the file that nobody sees
    assert found(filled, table) == [H3]


def test_of_more_folders_than_a_look_opens_all_come_by_in_time(filled: Ledger, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "_OPENED", 1)
    (table.path / f"hour={H3}" / "part-run-1.parquet").unlink()
    assert [H3] in (found(filled, table) for _ in range(200))


def test_a_commit_nobody_recorded_is_found_once_nobody_is_at_it(filled: Ledger, table: Table) -> None:
    fence = filled.leases.acquire(EVENT, [H3], "run-9")
    assert isinstance(fence, Fence)
    version = table.publish(H3, run_id="run-9")
    assert found(filled, table) == []  # it may be about to record it
    filled.leases.end_run("run-9")
    assert found(filled, table) == [H3]
    assert f"run run-9 wrote it at 2026-10-01 12:00, table version {version}, and ended before it was recorded" in state(filled, H3)[2]


def test_an_imported_partition_waits_for_a_person(filled: Ledger, table: Table) -> None:
    table.commit("DELETE", H4)
    assert found(filled, table) == [H4]
    became, ask, reason = state(filled, H4)
    assert (became, ask) == (S.STUCK, False)
    assert f"./backline import {EVENT} --from PATH --first {H4} --last {H4} brings it back" in reason


def test_what_is_in_trouble_already_keeps_its_words(filled: Ledger, table: Table) -> None:
    filled.partitions.record([failed(EVENT, H3, "refused")], run("run-2"))
    table.commit("DELETE", H3)
    assert found(filled, table) == []
    assert state(filled, H3)[0] == S.REFUSED


def test_the_sensor_looks_once_a_minute_and_holds_what_it_found(filled: Ledger, table: Table, clock: Clock) -> None:
    cursor = look_outside(filled, table.lake, "listening", Cursor(), clock.now)
    assert cursor.partitions == set()
    table.commit("DELETE", H3)
    assert look_outside(filled, table.lake, "listening", cursor, clock.now).partitions == set()
    clock.now = clock.now.replace(minute=1)
    assert look_outside(filled, table.lake, "listening", cursor, clock.now).partitions == {(EVENT, H3)}
