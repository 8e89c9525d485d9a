"""What a table's log says, read from files as Delta writes them; the model is checked against all histories of a few partitions."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_defs.lake import delta_log
from platform_defs.lake.delta_log import changed_since, entries, newest, pinned, signature

HOURS = ["2026-10-01T00", "2026-10-01T01", "2026-10-01T02"]


def _commit(table: Path, version: int, said: str | None, operation: str = "WRITE") -> None:
    log = table / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    info = {"timestamp": 1_790_000_000_000 + version, "operation": operation, "operationMetrics": {"numOutputRows": "3"}}
    lines = [json.dumps({"commitInfo": info | ({"userMetadata": said} if said is not None else {})}, separators=(",", ":")), '{"add":{"path":"x"}}']
    (log / f"{version:020d}.json").write_text("\n".join(lines))


def _publish(table: Path, version: int, *keys: str, run: str = "run-1") -> None:
    _commit(table, version, signature(run=run, fence=1, keys=sorted(keys)))


def test_no_table_has_no_version(tmp_path: Path) -> None:
    assert newest(str(tmp_path)) is None
    assert entries(str(tmp_path)) == []


def test_entries_tell_who_committed_what(tmp_path: Path) -> None:
    _commit(tmp_path, 8, signature(apply="x"), "CREATE TABLE")
    _publish(tmp_path, 9, HOURS[0])
    _commit(tmp_path, 10, None, "DELETE")
    _commit(tmp_path, 11, "somebody else's note")
    for beside in ("00000000000000000012.crc", "00000000000000000009.checkpoint.parquet", "_last_checkpoint", ".00000000000000000013.json.tmp"):
        (tmp_path / "_delta_log" / beside).touch()
    assert newest(str(tmp_path)) == 11
    assert [(e.version, e.operation, e.signature and e.signature.get("run")) for e in entries(str(tmp_path), 8)] == [
        (9, "WRITE", "run-1"),
        (10, "DELETE", None),
        (11, "WRITE", None),
    ]


def test_a_commit_that_is_cleaned_away_meanwhile_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _publish(tmp_path, 1, HOURS[0])
    monkeypatch.setattr(delta_log, "_versions", lambda _: [0, 1])
    assert [e.version for e in entries(str(tmp_path))] == [1]


def test_partitions_are_read_at_the_newest_version_that_still_holds_them(tmp_path: Path) -> None:
    _publish(tmp_path, 1, HOURS[0])
    _publish(tmp_path, 2, HOURS[1])
    _commit(tmp_path, 3, signature(apply="x"))
    _commit(tmp_path, 4, signature(retention="2026-09-01T00"))
    assert pinned(str(tmp_path), {HOURS[0]: 1}) == 4
    _publish(tmp_path, 5, HOURS[1])
    assert pinned(str(tmp_path), {HOURS[0]: 1}) == 5
    assert pinned(str(tmp_path), {HOURS[0]: 1, HOURS[1]: 2}) == 4  # the ledger does not know 5 yet
    _commit(tmp_path, 6, None)
    assert pinned(str(tmp_path), {HOURS[0]: 1, HOURS[1]: 5}) == 5
    assert pinned(str(tmp_path / "cleaned"), {HOURS[0]: 1}) == 1
    with pytest.raises(ValueError, match="empty"):
        pinned(str(tmp_path), {})


def _change(table: Path, version: int, *files: tuple[str, str | None, bool]) -> None:
    """A commit from outside: (add or remove, partition, whether rows changed)."""
    _commit(table, version, None, "OPTIMIZE")
    path = table / "_delta_log" / f"{version:020d}.json"
    lines = [json.dumps({kind: {"path": "x", "partitionValues": {"hour": key}, "dataChange": changed}}) for kind, key, changed in files]
    path.write_text("\n".join([path.read_text().splitlines()[0], *lines]))


def test_a_commit_from_outside_touches_the_partitions_whose_files_it_changed(tmp_path: Path) -> None:
    _publish(tmp_path, 1, *HOURS)
    known = dict.fromkeys(HOURS, 1)
    _change(tmp_path, 2, ("remove", HOURS[0], False), ("add", HOURS[0], False))  # a compaction
    _change(tmp_path, 3)  # a property
    assert changed_since(str(tmp_path), known) == {}
    assert pinned(str(tmp_path), known) == 3
    _change(tmp_path, 4, ("remove", HOURS[1], True), ("add", HOURS[0], False))
    assert set(changed_since(str(tmp_path), known)) == {HOURS[1]}
    assert [entry.keys for entry in entries(str(tmp_path), 1)] == [frozenset(), frozenset(), {HOURS[1]}]
    _change(tmp_path, 5, ("add", None, True))
    assert set(changed_since(str(tmp_path), known)) == set(HOURS)


commits = st.lists(st.none() | st.sets(st.sampled_from(HOURS), min_size=1), min_size=1, max_size=8)


@given(commits, st.data())
def test_what_is_told_of_later_commits_is_true_of_every_history(history: list[set[str] | None], data: st.DataObject) -> None:
    """Each commit publishes some hours, or (None) comes from outside. Known: for each hour some version that is not later than the newest."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder)
        for version, keys in enumerate(history):
            if keys is None:
                _commit(table, version, None)
            else:
                _publish(table, version, *keys)
        known = {hour: data.draw(st.integers(0, len(history) - 1)) for hour in HOURS}
        later = {hour: [v for v, keys in enumerate(history) if v > known[hour] and (keys is None or hour in keys)] for hour in HOURS}
        assert {hour: entry.version for hour, entry in changed_since(folder, known).items()} == {h: min(vs) for h, vs in later.items() if vs}
        at = pinned(folder, known)
        assert max(known.values()) <= at < len(history)
        for hour in HOURS:
            assert all(v > at or v <= max(known.values()) for v in later[hour])


def test_a_commit_of_which_nothing_is_left_may_have_touched_anything(tmp_path: Path) -> None:
    for version, hour in enumerate(HOURS):
        _publish(tmp_path, version, hour)
    (tmp_path / "_delta_log" / f"{3:020d}.json").write_bytes(b"")
    assert set(changed_since(str(tmp_path), {hour: version for version, hour in enumerate(HOURS)})) == set(HOURS)
