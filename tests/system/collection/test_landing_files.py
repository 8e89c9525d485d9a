"""Old files become seals of a receiver that is nobody: judged as live events, landed once however often and however interrupted, known to the ledger."""

from __future__ import annotations

import gzip
import itertools
import json
import stat
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_defs.collection.disk import Disk
from platform_defs.collection.failed import FailedLog
from platform_defs.collection.landing_files import FileLander, FileRefused, LandedFile, LandingForgets
from platform_defs.lake.landing import SealManifest
from platform_defs.ledger import Ledger
from platform_defs.planning.closing import closing
from tests.fixtures.collecting import CONTRACTS, NOW, PLAYED, RATED, Clock, manifests, played, rated, sealed_lines

KEY = PLAYED.key
OLD = "2026-09-21T05:30:00Z"


def silent(read: int) -> None:
    """Progress that nobody sees."""


def file(folder: Path, lines: Iterable[Any], name: str = "old.jsonl", packed: bool = False) -> Path:
    text = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    path = folder / name
    path.write_bytes(gzip.compress(text) if packed else text)
    return path


class Desk:
    """Lands files of `listening/track_played`, eight days after the last events that a receiver would take."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.root, self.ledger, self.clock = folder / "landing", ledger, Clock()
        ledger.registry.apply(CONTRACTS.values(), "ref")

    def lander(self, client: str | None = "web", disk: Disk | None = None, **more: Any) -> FileLander:
        return FileLander(PLAYED, list(CONTRACTS), client, self.root, self.ledger.landing, self.clock, disk=disk, **more)

    def land(self, path: Path, client: str | None = "web", *, dry_run: bool = False, **more: Any) -> LandedFile:
        lander = self.lander(client, **more)
        return lander.land(lander.know(path, silent), silent, dry_run=dry_run)

    @property
    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.root)): path.read_bytes() for path in sorted(self.root.rglob("*")) if path.is_file()}

    def known(self, *hours: str) -> dict[str, int]:
        return {hour: sum(row.segment.rows for row in rows) for hour, rows in self.ledger.landing.segments(KEY, hours).items()}


@pytest.fixture
def desk(tmp_path: Path, ledger: Ledger) -> Desk:
    return Desk(tmp_path, ledger)


def test_old_events_are_sealed_by_hour_and_recorded(desk: Desk, tmp_path: Path) -> None:
    plain = {"id": "p1", "time": "2026-09-21T06:10:00+00:00", "data": played(9)["data"]}
    landed = desk.land(file(tmp_path, [played(1, at=OLD), plain, played(2, at="2026-09-21T07:59:59.5+02:00")]))
    assert (landed.accepted, landed.rejected, dict(landed.hours)) == (3, 0, {"2026-09-21T05": 2, "2026-09-21T06": 1})
    assert landed.receiver.startswith("import-")
    (manifest,) = manifests(desk.root)
    assert (manifest.receiver, manifest.seal) == (landed.receiver, 1)
    lines = sealed_lines(desk.root)
    assert [(line["client"], line["id"], line["time"]) for line in lines] == [
        ("web", "e1", "2026-09-21T05:30:00.000000Z"),
        ("web", "e2", "2026-09-21T05:59:59.500000Z"),
        ("web", "p1", "2026-09-21T06:10:00.000000Z"),
    ]
    assert all(line["received_at"].startswith("2026-10-01T03:30:00") for line in lines)
    assert desk.known("2026-09-21T05", "2026-09-21T06", "2026-09-21T07") == {"2026-09-21T05": 2, "2026-09-21T06": 1, "2026-09-21T07": 0}
    assert [(each.client, each.received, each.accepted) for each in desk.ledger.landing.accounts("2026-10-01", "2026-10-01")] == [("web", 3, 3)]
    assert {change.hour for change in desk.ledger.landing.changed_since(0)[0]} == {"2026-09-21T05", "2026-09-21T06"}
    modes = {stat.S_IMODE(path.stat().st_mode) for path in desk.root.rglob("*") if path.is_file()}
    assert modes == {0o600}


def test_it_holds_no_hour_open(desk: Desk, tmp_path: Path) -> None:
    desk.land(file(tmp_path, [played(1, at=OLD)]))
    assert desk.ledger.landing.receivers() == []
    assert closing("2026-10-01T02", NOW + timedelta(minutes=5), desk.ledger.landing.receivers(), None).closed


def test_landing_again_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    lines = [played(1, at=OLD), played(2, at=OLD, id=""), b"nonsense"]
    first = desk.land(file(tmp_path, lines))
    before = desk.files
    change = desk.ledger.landing.changed_since(0)
    desk.clock.at += timedelta(days=2)
    for again in (file(tmp_path, lines), file(tmp_path, lines, "other.jsonl"), file(tmp_path, lines, "old.jsonl.gz", packed=True)):
        landed = desk.land(again)
        assert (landed.receiver, landed.landed_at, landed.accepted, landed.rejected) == (first.receiver, manifests(desk.root)[0].sealed_at, 1, 2)
        assert landed.hours == first.hours
    assert desk.files == before
    assert desk.ledger.landing.changed_since(0) == change
    assert desk.known("2026-09-21T05") == {"2026-09-21T05": 1}
    # Another client's are other events; one more line makes another file.
    assert desk.land(file(tmp_path, lines), "android").receiver != first.receiver
    assert desk.land(file(tmp_path, [*lines, played(3, at=OLD)])).landed_at is None


def test_rejected_lines_are_kept_as_they_came(desk: Desk, tmp_path: Path) -> None:
    rows: list[tuple[Any, str, str]] = [
        (b'{"id":"SECRET"', "malformed", "a line is one JSON object"),
        (b'["SECRET"]', "malformed", "a line is one JSON object"),
        ({"time": OLD, "data": played()["data"]}, "malformed", "missing: id"),
        (played(1, at="2026-09-19T23:00:00Z"), "out_of_range", "too_old: time"),
        (played(2, at="2026-10-01T03:30:01Z"), "out_of_range", "in_future: time"),
        ({"id": "e3", "time": OLD, "data": {**played()["data"], "track_id": "SECRET"}}, "schema", "string_pattern_mismatch: data.track_id"),
        ({"id": "e4", "time": OLD, "SECRET": 1, **played()["data"]}, "schema", "extra_forbidden: data.<unknown field>"),
        (played(5, at=OLD, data={"x": "y" * 300_000}), "too_large", ""),
    ]
    landed = desk.land(file(tmp_path, [*(row[0] for row in rows), b"", played(6, at=OLD), b"z" * (6 << 20)]))
    assert (landed.accepted, landed.rejected) == (1, 9)
    assert landed.reasons == {"malformed": 3, "out_of_range": 2, "schema": 2, "too_large": 2}
    kept = {one.body: one for one in FailedLog(desk.root).list()}
    assert len(kept) == 9
    for line, reason, detail in rows:
        one = kept[line if isinstance(line, bytes) else json.dumps(line).encode()]
        assert (one.reason, one.client) == (reason, "web")
        assert detail in one.detail
    assert kept[None].size == 6 << 20
    assert [one.line for one in landed.refusals] == [1, 2, 3, 4, 5, 6, 7, 8, 11]
    assert "SECRET" not in repr(landed.refusals)
    assert desk.ledger.landing.unbalanced() == []


def test_each_line_may_say_its_client(desk: Desk, tmp_path: Path) -> None:
    lines = [played(1, at=OLD, client="web"), {"id": "e1", "time": OLD, "client": "android", **played(1)["data"]}]
    landed = desk.land(file(tmp_path, lines), None)
    assert landed.accepted == 2
    assert sorted((line["client"], line["id"]) for line in sealed_lines(desk.root)) == [("android", "e1"), ("web", "e1")]
    before = desk.files
    for bad, told in (
        (played(3, at=OLD), "line 3 says no client"),
        (b"half", "line 3 is no JSON object"),
        (played(3, client="A b"), "line 3: its client is no"),
    ):
        with pytest.raises(FileRefused, match=told):
            desk.land(file(tmp_path, [*lines, bad]), None)
    assert desk.files == before
    # With a name given nobody looks at the lines' own.
    assert desk.land(file(tmp_path, [*lines, played(3, at=OLD)]), "ios").accepted == 3


def test_other_types_are_left_out_and_counted(desk: Desk, tmp_path: Path) -> None:
    landed = desk.land(file(tmp_path, [played(1, at=OLD), rated(1), rated(2), rated(3) | {"type": "SECRET/x"}]))
    assert (landed.accepted, landed.rejected, dict(landed.others)) == (1, 0, {RATED.key: 2, None: 1})
    landed = desk.land(file(tmp_path, [rated(1)]), None)  # nor does one of them need a client
    assert (landed.accepted, landed.seals) == (0, 0)


def test_a_dry_run_writes_nothing(desk: Desk, tmp_path: Path) -> None:
    path = file(tmp_path, [played(1, at=OLD), played(2, at=OLD, id="")])
    said = desk.land(path, dry_run=True)
    assert (said.accepted, said.rejected, dict(said.hours), said.seals) == (1, 1, {"2026-09-21T05": 1}, 1)
    assert not desk.root.exists()
    assert desk.known("2026-09-21T05") == {"2026-09-21T05": 0}
    assert desk.land(path).landed_at is None
    assert desk.land(path, dry_run=True).landed_at is not None


def test_what_cannot_be_read_is_refused_before_anything_is_landed(desk: Desk, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(b"\n".join(json.dumps(played(n, at=OLD)).encode() for n in range(2000)))[:-100])
    turned = tmp_path / "turned.gz"
    turned.write_bytes(gzip.compress(json.dumps(played(1, at=OLD)).encode() * 9)[:-8] + b"\0" * 8)
    for path, told in (
        (cut, "is damaged"),
        (turned, "is damaged"),
        (tmp_path / "none", "cannot be read: No such file"),
        (file(tmp_path, [b" ", b""]), "holds no event"),
    ):
        with pytest.raises(FileRefused, match=told):
            desk.land(path)
    assert not desk.root.exists()


def test_hours_whose_landing_is_lost_take_nothing_more(desk: Desk, tmp_path: Path) -> None:
    desk.land(file(tmp_path, [played(1, at=OLD)]))
    (segment,) = desk.ledger.landing.segments(KEY, ["2026-09-21T05"])["2026-09-21T05"]
    desk.ledger.landing.expire([segment.segment.path])
    landed = desk.land(file(tmp_path, [played(2, at=OLD), played(3, at="2026-09-21T06:00:00Z")]))
    assert (landed.accepted, [(one.reason, one.detail) for one in landed.refusals]) == (1, [("out_of_range", "landing_expired: time")])
    assert desk.known("2026-09-21T05", "2026-09-21T06") == {"2026-09-21T05": 0, "2026-09-21T06": 1}


def test_a_seal_that_is_being_forgotten_is_not_taken_for_landed(desk: Desk, tmp_path: Path) -> None:
    path = file(tmp_path, [played(1, at=OLD)])
    landed = desk.land(path)
    manifest = desk.root / "manifests" / landed.receiver / "000000000001.json"
    manifest.unlink()
    with pytest.raises(LandingForgets, match="backline retention"):
        desk.land(path)
    assert not manifest.exists()
    desk.ledger.forgetting.forget_seals([(landed.receiver, 1)])
    desk.ledger.landing.expire([])  # its rows went before
    with desk.ledger.store.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM segments")
    assert desk.land(path).accepted == 1


class Failing(Disk):
    """Dies in its nth write, as a process that is killed."""

    def __init__(self, at: int) -> None:
        self.left = at

    def put(self, path: Path, chunks: Iterable[bytes]) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        super().put(path, chunks)


def content(root: Path) -> dict[str, Any]:
    """What lies in landing, less the instants: of segments their lines, of failed files their lines, of manifests what they list."""
    found: dict[str, Any] = {}
    for path in sorted(each for each in root.rglob("*") if each.is_file()):
        name = str(path.relative_to(root))
        if name.startswith("segments"):
            found[name] = [{**json.loads(line), "received_at": ""} for line in gzip.decompress(path.read_bytes()).splitlines()]
        elif name.startswith("failed"):
            found[path.name] = [*found.get(path.name, []), *({**json.loads(line), "at": ""} for line in path.read_bytes().splitlines())]
        else:
            manifest = SealManifest.model_validate_json(path.read_bytes())
            found[name] = ([(each.path, each.rows) for each in manifest.segments], manifest.accounts)
    return found


def test_however_it_is_stopped_the_next_call_ends_as_if_it_had_not_been(new_ledger: Callable[[], Ledger], tmp_path: Path) -> None:
    """Three seals; killed in every single write and before the ledger heard, the rest done days later."""
    lines = [line for n in range(6) for line in (played(n, at=f"2026-09-21T{n:02d}:00:00Z"), played(n, at=OLD, id=""))]
    path = file(tmp_path, lines)
    size = path.stat().st_size // 3
    whole = Desk(tmp_path / "whole", new_ledger())
    whole.land(path, seal_bytes=size)
    assert len(manifests(whole.root)) == 3
    wanted = content(whole.root)
    hours = [f"2026-09-21T{n:02d}" for n in range(6)]
    for step in itertools.count():
        desk = Desk(tmp_path / f"at-{step}", new_ledger())
        try:
            desk.land(path, seal_bytes=size, disk=Failing(step))
            break
        except KeyboardInterrupt:
            desk.clock.at += timedelta(days=3)
        again = desk.land(path, seal_bytes=size)
        assert again.landed_at is None
        assert content(desk.root) == wanted
        assert desk.known(*hours) == whole.known(*hours)
        assert desk.ledger.landing.unbalanced() == []
    assert step == len(wanted)  # it was killed in the writing of every file


def test_killed_before_the_ledger_heard(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, [played(1, at=OLD)])
    with monkeypatch.context() as patched:
        patched.setattr(type(desk.ledger.landing), "record_seal", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            desk.land(path)
    assert desk.known("2026-09-21T05") == {"2026-09-21T05": 0}
    assert desk.land(path).landed_at is None
    assert desk.known("2026-09-21T05") == {"2026-09-21T05": 1}
    assert desk.land(path).landed_at is not None


def test_retention_counts_from_landing(desk: Desk, tmp_path: Path) -> None:
    from platform_defs.lake.landing import LandingStore
    from platform_defs.lake.retention import expired_seals

    landed = desk.land(file(tmp_path, [played(1, at=OLD)]))
    store, kept = LandingStore(str(desk.root)), {KEY: 7 * 86400}
    at = datetime(2026, 10, 8, 3, 29, tzinfo=UTC)
    assert list(expired_seals(store, landed.receiver, kept, 7 * 86400, at)) == []
    (seal,) = expired_seals(store, landed.receiver, kept, 7 * 86400, at + timedelta(minutes=5))
    assert seal.whole
