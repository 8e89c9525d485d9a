"""What belongs to no endpoint, over a real ledger and real files: landing, logs, records, history, and what killed runs left."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_defs.execution import sweeping
from platform_defs.execution.leasing import take
from platform_defs.lake.files import LocalFiles
from platform_defs.lake.landing import manifest_path
from platform_defs.lake.records import BuildRecord, write_record
from platform_defs.ledger import Fence
from tests.system.execution.house import CONTRACTS, KEPT, NOW, OLD, PLAYED, RATE, House, aged, days, lines
from tests.system.ledger.telling import published, run


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
    for age, key in ((8, RATE), (8, PLAYED)):
        write_record(house.lake, BuildRecord(endpoint=key, run_id="run-1", fence=1, trigger="schedule", at=NOW - timedelta(days=age)))
    for name, age in (("old", 8), ("new", 1)):
        LocalFiles().write(f"{house.platform.run_logs}/{name}.log", b"text")
        at = (NOW - timedelta(days=age)).timestamp()
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
    captured = house.folder / "captured"
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
