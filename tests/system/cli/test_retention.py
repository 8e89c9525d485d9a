"""`backline retention`: what `docs/on-call.md` says of it, row by row."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest

from platform_defs.lake.files import LocalFiles
from platform_defs.lake.landing import LandingStore, SealManifest, manifest_path
from platform_defs.running.supervisor import CHECKOUT
from tests.fixtures.contracts import DAY, endpoint
from tests.system.cli.conftest import DAILY, PLAYED, RATE, Desk

HEADING = "## What is dropped by itself"
HELD = {
    "retention --dry-run": "tests/system/cli/test_retention.py::test_a_dry_run_shows_it_and_changes_nothing",
    "retention": "tests/system/cli/test_retention.py::test_everything_past_retention_goes_now",
    "retention DOMAIN": "tests/system/cli/test_retention.py::test_one_domain_leaves_what_is_shared",
    "DOMAIN_retention in the web pages": "tests/unit/build/test_housekeeping.py::test_a_trouble_fails_the_run_after_all_the_rest",
}


def test_every_row_is_held_and_every_held_row_is_there() -> None:
    page = (CHECKOUT / "docs" / "on-call.md").read_text(encoding="utf-8").partition(HEADING)[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| ")][1:]
    assert [row[0].replace("`", "").strip() for row in rows] == list(HELD)
    assert all(len(row) == 3 for row in rows)
    for where in HELD.values():
        file, _, name = where.partition("::")
        assert re.search(rf"^def {name}\(", (CHECKOUT / file).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture
def old(desk: Desk) -> str:
    """An hour that `charts/rate` and landing keep no longer; the hour."""
    hour = desk.hour(9 * 24)
    contracts = dict(desk.ledger.registry.current()) | {RATE: endpoint(RATE, *desk.ledger.registry.current()[RATE].inputs, retention_seconds=5 * DAY)}
    desk.ledger.registry.apply(contracts.values(), "shorter")
    desk.publish(RATE, hour, desk.hour(3))
    desk.publish(DAILY, desk.day(8))
    desk.land(hour, 10, desk.now - timedelta(days=8))
    (segment,) = desk.ledger.landing.segments(PLAYED, [hour])[hour]
    LocalFiles().write(landing(desk).path(segment.segment.path), b"raw")
    at = segment.sealed_at
    manifest = SealManifest(receiver="r1", seal=1, sealed_at=at, sealed_until=at, segments=(segment.segment,), accounts=())
    LocalFiles().write(landing(desk).path(manifest_path("r1", 1)), manifest.model_dump_json().encode())
    return hour


def landing(desk: Desk) -> LandingStore:
    return LandingStore(str(Path(desk.lake.root).parent / "landing"))


def test_a_dry_run_shows_it_and_changes_nothing(desk: Desk, old: str) -> None:
    said = desk.run("retention", "--dry-run")
    assert re.search(rf"^{RATE}: 1 partition before \d{{4}}-\d\d-\d\dT\d\d$", said, re.MULTILINE)
    assert re.search(rf"^landing: 1 segment \(9 bytes\) and 1 manifest; {PLAYED}: 1 hour never built \({old}\) cannot be built any more", said, re.MULTILINE)
    assert said.endswith("4 datasets looked at; past retention: 2 places, 9 bytes of files. Nothing was dropped: this was a dry run.\n")
    assert set(desk.ledger.partitions.published(RATE, [old])) == {old}
    assert landing(desk).receivers() == ["r1"]
    told = desk.json("retention", "--dry-run")
    assert (told["dry_run"], told["looked"], [each["what"] for each in told["dropped"]]) == (True, 4, [RATE, "landing"])
    assert told["dropped"][1]["counts"] == {"segments": 1, "manifests": 1, "bytes": 9}


def test_everything_past_retention_goes_now(desk: Desk, old: str) -> None:
    said = desk.run("retention")
    assert "4 datasets looked at; past retention:" in said
    assert desk.ledger.partitions.published(RATE, [old]) == {}
    assert set(desk.ledger.partitions.published(RATE, [desk.hour(3)])) == {desk.hour(3)}
    assert set(desk.ledger.partitions.published(DAILY, [desk.day(8)])) == {desk.day(8)}
    assert landing(desk).receivers() == []
    assert desk.ledger.landing.expired(PLAYED, [old]) == {old}
    # Again, also on the same day: there is nothing left.
    assert desk.run("retention") == "4 datasets looked at; nothing is past its retention\n"


def test_what_killed_runs_left_is_shown_then_goes(desk: Desk) -> None:
    home, long_ago = Path(desk.lake.root).parent, (desk.now - timedelta(days=31)).timestamp()
    left = [f"landing/private/run-1.{PLAYED.replace('/', '.')}", f"lake/_staging/run-1-{RATE.replace('/', '.')}", "dagster/compute_logs/run-1"]
    for folder in left:
        LocalFiles().write(f"{home}/{folder}/some/file", b"raw")
        for path in (home / folder / "some" / "file", home / folder / "some", home / folder):
            os.utime(path, (long_ago, long_ago))
    said = [f"{what}: 1 file (3 bytes) of 1 run" for what in ("private files", "staging", "captured output")]
    assert desk.run("retention", "--dry-run").splitlines()[:-1] == said
    assert [folder for folder in left if (home / folder).exists()] == left
    assert desk.run("retention").splitlines()[:-1] == said
    assert not [folder for folder in left if (home / folder).exists()]


def test_one_domain_leaves_what_is_shared(desk: Desk, old: str) -> None:
    assert "past retention" in desk.run("retention", "charts")
    assert desk.ledger.partitions.published(RATE, [old]) == {}
    assert landing(desk).receivers() == ["r1"]
    for name, told in ((RATE, f"{RATE} is a dataset: name its domain, charts"), ("chart", "there is no domain chart: did you mean charts?")):
        assert told in desk.run("retention", name, code=2)


def test_what_could_not_be_dropped_is_said_and_fails(desk: Desk, old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that have waited long enough are for Spark to find, which does not answer; all else goes."""
    monkeypatch.setenv("BACKLINE_SPARK_LAKE", "sc://localhost:1/;token=none")
    LocalFiles().write(f"{desk.lake.table(RATE)}/hour={desk.hour(30 * 24)}/part-0.parquet", b"x")
    said = desk.run("retention", code=1)
    assert re.search(rf"^{RATE}: failed: EngineError: Spark at localhost:1 does not answer", said, re.MULTILINE)
    assert said.endswith("; 1 failed\n")
    assert desk.ledger.partitions.published(RATE, [old]) == {}
    assert landing(desk).receivers() == []
