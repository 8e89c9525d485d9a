"""Sealing: exact, deterministic, and the same whatever step it was interrupted at."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from platform_defs.collection.disk import Disk
from platform_defs.collection.failed import FailedFilter, FailedLog, NoSuchFailedEvent
from platform_defs.collection.record import Batch, Group, Rejected, decode, encode
from platform_defs.collection.sealer import Sealer
from platform_defs.collection.validation import rfc3339
from platform_defs.collection.wal import LogUnavailable, WriteAheadLog, spool_key
from tests.fixtures.collecting import NOW, Clock, MemoryLedger, manifests, sealed_lines

KINDS = ("a/one", "a/two")


class Killed(BaseException):
    """The process ends here."""


class Mortal(Disk):
    """A disk whose n-th step from now is the last one before the process dies, or fails."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.end: Callable[[], BaseException] = Killed
        self.steps = 0

    def _step(self) -> None:
        self.steps += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise self.end()

    def write(self, descriptor: int, data: bytes) -> None:
        self._step()
        super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._step()
        super().sync(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        self._step()
        super().replace(source, target)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def sync_folder(self, folder: Path) -> None:
        self._step()
        super().sync_folder(folder)


class Place:
    """A receiver's spool, landing and ledger, and the process that is on them at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ledger, self.clock, self.disk = folder, MemoryLedger(), Clock(), Mortal()
        self.start()

    def start(self) -> None:
        self.disk.left = None
        self.receiver, key = spool_key(self.folder / "spool", self.disk)
        self.log = WriteAheadLog(self.folder / "spool", key=key, disk=self.disk, clock=self.clock)
        self.sealer = Sealer(self.log, self.receiver, self.folder / "spool", self.folder / "landing", self.ledger, disk=self.disk, clock=self.clock)

    def die(self) -> None:
        """What a killed process leaves: its threads end, nothing is written any more."""
        self.disk.left = None
        self.log.close()

    def send(self, number: int, hours: list[int], bad: int = 0, client: str = "web") -> list[str]:
        """One acknowledged request; the ids in it."""
        ticket = self.log.begin()
        try:
            groups, ids = [], []
            for position, hour in enumerate(hours):
                id_ = f"{number}-{position}"
                at = rfc3339(NOW.replace(minute=0) - timedelta(hours=hour))
                line = json.dumps({"client": client, "id": id_, "time": at, "received_at": rfc3339(ticket.received_at), "data": {}}).encode() + b"\n"
                groups.append(Group(KINDS[number % 2], at[:13], 1, line))
                ids.append(id_)
            refused = tuple(Rejected(KINDS[number % 2], "schema", "d", f"bad {number}-{i}".encode(), 9) for i in range(bad))
            self.log.append(encode(Batch(client, rfc3339(ticket.received_at), tuple(groups), refused))).result()
        finally:
            self.log.end(ticket)
        return ids

    def tree(self) -> dict[str, str]:
        """Everything in landing by its bytes; of manifests, without when they were made."""
        found = {}
        for path in sorted((self.folder / "landing").rglob("*")):
            if path.is_file() and path.suffix != ".tmp":
                data = path.read_bytes()
                if path.suffix == ".json":
                    data = json.dumps({**json.loads(data), "sealed_at": None, "sealed_until": None}).encode()
                found[str(path.relative_to(self.folder / "landing"))] = hashlib.sha256(data).hexdigest()
        return found


@pytest.fixture
def place(tmp_path: Path) -> Any:
    one = Place(tmp_path)
    yield one
    one.die()


def test_a_record_comes_back_as_it_was() -> None:
    batch = Batch("web", "t", (Group("a/b", "h", 2, b"1\n2\n"),), (Rejected(None, "malformed", "d", b"\xff", 1), Rejected("a/b", "too_large", "d", None, 9)))
    again = decode(memoryview(encode(batch)))
    assert [(g.event, g.hour, g.rows, bytes(g.lines)) for g in again.groups] == [("a/b", "h", 2, b"1\n2\n")]
    assert [(r.event, r.reason, r.detail, r.body if r.body is None else bytes(r.body), r.size) for r in again.rejected] == [
        (None, "malformed", "d", b"\xff", 1),
        ("a/b", "too_large", "d", None, 9),
    ]


def test_a_seal_holds_all_that_came_in_order_and_says_so(place: Place) -> None:
    sent = place.send(0, [0, 1, 0], bad=1) + place.send(1, [2]) + place.send(2, [0], bad=2, client="phone")
    assert place.sealer.seal_once()
    (manifest,) = manifests(place.folder / "landing")
    assert [line["id"] for line in sealed_lines(place.folder / "landing")] == ["0-1", "0-0", "0-2", "2-0", "1-0"]
    assert sorted(line["id"] for line in sealed_lines(place.folder / "landing")) == sorted(sent)
    assert [(a.client, a.event, a.received, a.accepted, a.rejected, a.reasons) for a in manifest.accounts] == [
        ("phone", "a/one", 3, 1, 2, {"schema": 2}),
        ("web", "a/one", 4, 3, 1, {"schema": 1}),
        ("web", "a/two", 1, 1, 0, {}),
    ]
    for segment in manifest.segments:
        data = (place.folder / "landing" / segment.path).read_bytes()
        assert (segment.size, segment.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert place.ledger.seals == {(place.receiver, 1): manifest}
    assert place.log.closed() == []
    assert place.sealer.unrecorded() == []


def test_files_are_their_owners_alone(place: Place) -> None:
    place.send(0, [0], bad=1)
    place.sealer.seal_once()
    for root in ("landing", "spool"):
        for path in (place.folder / root).rglob("*"):
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_nothing_received_makes_no_manifest_and_moves_sealed_until(place: Place) -> None:
    for _ in range(2):
        place.clock.at += timedelta(seconds=10)
        assert place.sealer.seal_once()
    assert manifests(place.folder / "landing") == []
    assert place.ledger.beats[1][1] - place.ledger.beats[0][1] >= timedelta(seconds=10)


def test_without_the_ledger_sealing_goes_on_and_recording_is_caught_up_in_order(place: Place) -> None:
    place.ledger.away = True
    for number in range(3):
        place.send(number, [number])
        assert not place.sealer.seal_once()
    assert len(sealed_lines(place.folder / "landing")) == 3
    assert place.log.closed() == []
    assert place.ledger.beats == []
    place.die()
    place.start()
    place.ledger.away = False
    place.ledger.answers = [True, False, True]
    assert not place.sealer.seal_once()
    assert [seal for _, seal in place.ledger.seals] == [1]
    assert place.sealer.seal_once()
    assert [seal for _, seal in place.ledger.seals] == [1, 2, 3]
    assert place.sealer.leave()
    assert place.ledger.gone == [place.receiver]


def test_a_receiver_that_cannot_record_does_not_leave(place: Place) -> None:
    place.send(0, [0])
    place.ledger.away = True
    assert not place.sealer.leave()
    assert place.ledger.gone == []


def test_a_full_landing_leaves_the_log_and_is_caught_up(place: Place) -> None:
    place.send(0, [0])
    place.disk.left, place.disk.end = 12, lambda: OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        place.sealer.seal_once()
    assert place.ledger.seals == {}
    place.disk.left = None
    place.send(1, [1])
    assert place.sealer.seal_once()
    assert {line["id"] for line in sealed_lines(place.folder / "landing")} == {"0-0", "1-0"}


def test_a_full_spool_does_not_keep_back_what_is_acknowledged(place: Place) -> None:
    place.send(0, [0])
    place.disk.left, place.disk.end = 0, lambda: OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(LogUnavailable):
        place.send(1, [0])
    place.disk.left = None
    assert place.sealer.seal_once()
    assert [line["id"] for line in sealed_lines(place.folder / "landing")] == ["0-0"]


def test_damage_costs_its_record_and_the_file_is_kept(place: Place) -> None:
    for number in range(3):
        place.send(number, [0])
    place.log.rotate()
    path = place.log.path(1)
    data = bytearray(path.read_bytes())
    data[data.index(b'"1-0"') + 1] ^= 1
    path.write_bytes(data)
    place.sealer.seal_once()
    assert {line["id"] for line in sealed_lines(place.folder / "landing")} == {"0-0", "2-0"}
    assert (place.folder / "spool" / "damaged-000000000001.log").read_bytes() == data


def test_an_interrupted_seal_done_again_changes_nothing(tmp_path: Path) -> None:
    """Dies before each step of a seal in turn; the next process ends with the same landing and ledger."""

    def seal(folder: Path, dies_after: int | None) -> tuple[dict[str, str], list[int], int]:
        one = Place(folder)
        (folder / "spool" / "receiver.json").write_text(json.dumps({"receiver": "r", "key": "00" * 32}))
        one.die()
        one.start()
        one.send(0, [0, 1], bad=1)
        one.send(1, [2])
        one.disk.steps, one.disk.left = 0, dies_after
        with contextlib.suppress(Killed, LogUnavailable):
            one.sealer.seal_once()
        steps = one.disk.steps
        one.die()
        one.start()
        assert one.sealer.seal_once()
        one.die()
        return one.tree(), [seal for _, seal in one.ledger.seals], steps

    wanted, seals, steps = seal(tmp_path / "whole", None)
    assert steps > 20
    for left in range(steps):
        assert seal(tmp_path / f"step{left}", left)[:2] == (wanted, seals), f"died after {left} steps"


class Life(RuleBasedStateMachine):
    """A receiver that takes requests, seals, loses its ledger, its disk or its life at any step, and starts again."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="life-"))
        self.place = Place(self.folder)
        self.number = 0
        self.acknowledged: dict[str, datetime] = {}
        self.refused = 0

    @rule(hours=st.lists(st.integers(0, 3), max_size=4), bad=st.integers(0, 2))
    def send(self, hours: list[int], bad: int) -> None:
        self.number += 1
        for id_ in self.place.send(self.number, hours, bad):
            self.acknowledged[id_] = self.place.clock()
        self.refused += bad

    @rule()
    def seal(self) -> None:
        assert self.place.sealer.seal_once() is not self.place.ledger.away

    @rule()
    def leave(self) -> None:
        self.place.sealer.leave()
        self.restart()

    @rule()
    def restart(self) -> None:
        self.place.die()
        self.place.start()

    @rule(steps=st.integers(0, 40))
    def die_sealing(self, steps: int) -> None:
        self.place.disk.left, self.place.disk.end = steps, Killed
        with contextlib.suppress(Killed):
            self.place.sealer.seal_once()
        self.restart()

    @rule(steps=st.integers(0, 40))
    def seal_on_a_failing_disk(self, steps: int) -> None:
        self.place.disk.left, self.place.disk.end = steps, lambda: OSError(errno.ENOSPC, "No space left on device")
        with contextlib.suppress(OSError):
            self.place.sealer.seal_once()
        self.place.disk.left = None

    @rule()
    def refuse(self) -> None:
        self.place.disk.left, self.place.disk.end = 0, lambda: OSError(errno.EIO, "Input/output error")
        with pytest.raises(LogUnavailable):
            self.place.send(10_000, [0])
        self.place.disk.left = None

    @rule(away=st.booleans())
    def ledger(self, away: bool) -> None:
        self.place.ledger.away = away

    @rule(answers=st.lists(st.booleans(), min_size=1, max_size=4))
    def seal_with_a_faltering_ledger(self, answers: list[bool]) -> None:
        self.place.ledger.answers = answers
        self.place.sealer.seal_once()
        self.place.ledger.answers = []

    @rule(hours=st.lists(st.integers(0, 3), min_size=1, max_size=2))
    def send_and_close_the_file(self, hours: list[int]) -> None:
        self.send(hours, 0)
        self.place.log.rotate()

    @rule(seconds=st.integers(1, 100))
    def time(self, seconds: int) -> None:
        self.place.clock.at += timedelta(seconds=seconds)

    @invariant()
    def what_is_said_to_be_sealed_is_recorded(self) -> None:
        if not hasattr(self, "place"):
            return
        seals = list(self.place.ledger.seals.values())
        said = [until for _, until in self.place.ledger.beats] + [manifest.sealed_until for manifest in seals]
        if said:
            recorded = {line["id"] for line in sealed_lines(self.folder / "landing", seals)}
            assert {id_ for id_, at in self.acknowledged.items() if at < max(said)} <= recorded

    def teardown(self) -> None:
        if not hasattr(self, "place"):
            return
        self.place.ledger.away = False
        self.restart()
        assert self.place.sealer.leave()
        landing = self.folder / "landing"
        found = [line["id"] for line in sealed_lines(landing) if not line["id"].startswith("10000-")]
        assert sorted(found) == sorted(self.acknowledged)
        accounts = [account for manifest in manifests(landing) for account in manifest.accounts]
        assert all(account.received == account.accepted + account.rejected for account in accounts)
        assert len(list(FailedLog(landing).list())) == sum(account.rejected for account in accounts) == self.refused
        assert list(self.place.ledger.seals.values()) == manifests(landing)
        files = {str(path.relative_to(landing)) for path in landing.rglob("*.jsonl.gz")}
        assert files == {segment.path for manifest in manifests(landing) for segment in manifest.segments}
        self.place.die()
        shutil.rmtree(self.folder)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_the_failed_log_lists_and_shows_what_was_refused(place: Place) -> None:
    place.send(0, [0], bad=2)
    place.sealer.seal_once()
    place.clock.at += timedelta(days=1)
    place.send(1, [], bad=1, client="phone")
    place.sealer.seal_once()
    log = FailedLog(place.folder / "landing")
    every = list(log.list())
    assert [(one.client, one.event, one.body, one.reason) for one in every] == [
        ("web", "a/one", b"bad 0-0", "schema"),
        ("web", "a/one", b"bad 0-1", "schema"),
        ("phone", "a/two", b"bad 1-0", "schema"),
    ]
    assert [log.show(one.id) for one in every] == every
    assert list(log.list(FailedFilter(since=NOW + timedelta(hours=20)))) == every[2:]
    assert list(log.list(FailedFilter(until=NOW + timedelta(hours=20), limit=1))) == every[:1]
    assert list(log.list(FailedFilter(client="phone", event="a/two", reason="schema"))) == every[2:]
    assert list(log.list(FailedFilter(reason="malformed"))) == []


@pytest.mark.parametrize("id", ["", "x", "2026-10-01/none:1", "../manifests:1", "2026-10-01/../../x:1"])
def test_no_such_failed_event(place: Place, id: str) -> None:
    with pytest.raises(NoSuchFailedEvent, match="backline failed list"):
        FailedLog(place.folder / "landing").show(id)
