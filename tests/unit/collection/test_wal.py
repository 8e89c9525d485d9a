"""The write-ahead log: what was acknowledged is read back, whatever became of the file's end or middle."""

from __future__ import annotations

import errno
import os
import tempfile
from concurrent.futures import wait
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_defs.collection.disk import Disk
from platform_defs.collection.wal import LogUnavailable, WriteAheadLog, frame, marker_of, read, spool_key
from tests.fixtures.collecting import Clock

KEY = b"k" * 32
PAYLOADS = st.lists(st.binary(max_size=40), min_size=1, max_size=8)


def log(folder: Path, **more: object) -> WriteAheadLog:
    return WriteAheadLog(folder, key=KEY, **more)  # type: ignore[arg-type]


def contents(of: WriteAheadLog, number: int) -> list[bytes]:
    return [bytes(payload) for payload in of.read(number).payloads]


def written(payloads: list[bytes]) -> tuple[bytes, list[int]]:
    """A file's bytes and where each frame ends."""
    data, ends = b"", []
    for payload in payloads:
        data += frame(marker_of(KEY, 1), b"\1" + payload)
        ends.append(len(data))
    return data, ends


def read_bytes(data: bytes) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wal"
        path.write_bytes(data)
        return [bytes(payload) for payload in read(path, marker_of(KEY, 1)).payloads]


@given(PAYLOADS, st.data())
def test_a_file_cut_at_any_byte_keeps_every_whole_record(payloads: list[bytes], data: st.DataObject) -> None:
    raw, ends = written(payloads)
    cut = data.draw(st.integers(0, len(raw)))
    whole = [payload for payload, end in zip(payloads, ends, strict=True) if end <= cut]
    assert read_bytes(raw[:cut]) == whole
    assert read_bytes(raw[:cut] + b"\0" * 4096) == whole  # a journal may lengthen a file with zeros


@given(PAYLOADS, st.data())
def test_a_damaged_byte_costs_its_own_record_only(payloads: list[bytes], data: st.DataObject) -> None:
    raw, ends = written(payloads)
    at = data.draw(st.integers(0, len(raw) - 1))
    damaged = bytearray(raw)
    damaged[at] ^= data.draw(st.integers(1, 255))
    hurt = next(i for i, end in enumerate(ends) if at < end)
    assert read_bytes(bytes(damaged)) == payloads[:hurt] + payloads[hurt + 1 :]


def test_a_record_cannot_hold_a_record() -> None:
    inner = frame(marker_of(b"g" * 32, 1), b"\1forged")
    raw, _ = written([inner * 3, b"next"])
    assert read_bytes(raw[:20] + raw[21:]) == [b"next"]


def test_rotation_closes_what_was_appended(tmp_path: Path) -> None:
    one = log(tmp_path)
    wait([one.append(b"a"), one.append(b"b")])
    assert one.closed() == []
    one.rotate()
    one.append(b"c").result()
    assert one.closed() == [1]
    assert contents(one, 1) == [b"a", b"b"]
    one.close()


def test_a_rotation_of_nothing_opens_no_file(tmp_path: Path) -> None:
    one = log(tmp_path)
    first = one.rotate()
    assert one.rotate() >= first
    assert one.numbers() == [1]
    one.close()


def test_numbers_go_on_after_a_restart_and_behind_what_was_sealed(tmp_path: Path) -> None:
    one = log(tmp_path)
    one.append(b"a").result()
    one.close()
    two = log(tmp_path)
    assert two.numbers() == [1, 2]
    assert two.closed() == [1]
    two.close()
    three = log(tmp_path / "other", first=8)
    assert three.numbers() == [8]
    three.close()


def test_sealed_until_waits_for_requests_under_way(tmp_path: Path) -> None:
    clock = Clock()
    one = log(tmp_path, clock=clock)
    ticket = one.begin()
    clock.at += timedelta(seconds=30)
    one.append(b"another request").result()
    assert one.rotate() == ticket.received_at
    one.append(b"ours").result()
    one.end(ticket)
    clock.at += timedelta(seconds=30)
    assert one.rotate() > ticket.received_at
    assert one.closed() == [1, 2]
    one.close()


def test_no_event_is_received_before_an_instant_already_given(tmp_path: Path) -> None:
    clock = Clock()
    one = log(tmp_path, clock=clock)
    one.append(b"a").result()
    given_ = one.rotate()
    clock.at -= timedelta(hours=1)  # the machine's clock was set back
    assert one.begin().received_at >= given_
    one.close()
    two = log(tmp_path, clock=clock)
    assert two.begin().received_at >= given_
    two.close()


class Full(Disk):
    """A disk that can be made full, or lose what it was given."""

    writes = syncs = True
    writes_at_most: int | None = None

    def write(self, descriptor: int, data: bytes) -> None:
        if not self.writes:
            os.write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        if not self.syncs:
            raise OSError(errno.EIO, "Input/output error")
        super().sync(descriptor)


@pytest.mark.parametrize("failing", ["writes", "syncs"])
def test_what_is_not_on_the_disk_is_not_acknowledged(tmp_path: Path, failing: str) -> None:
    disk = Full()
    one = log(tmp_path, disk=disk)
    one.append(b"kept").result()
    setattr(disk, failing, False)
    for _ in range(3):
        with pytest.raises(LogUnavailable):
            one.append(b"refused").result()
    assert one.closed() == [1]
    with pytest.raises(LogUnavailable):
        one.rotate()
    assert one.numbers() == [1]
    setattr(disk, failing, True)
    one.append(b"taken again").result()
    one.rotate()
    assert [contents(one, number) for number in one.closed()] == [[b"kept"], [b"taken again"]]
    one.close()


def test_nothing_is_taken_behind_the_end(tmp_path: Path) -> None:
    one = log(tmp_path)
    one.close()
    with pytest.raises(LogUnavailable):
        one.append(b"late").result(timeout=5)


def test_a_full_file_is_announced(tmp_path: Path) -> None:
    one = log(tmp_path, rotate_bytes=1000)
    one.append(b"x" * 500).result()
    assert not one.full.is_set()
    one.append(b"x" * 500).result()
    assert one.full.is_set()
    one.rotate()
    assert not one.full.is_set()
    one.close()


def test_the_receivers_identity_stays_with_its_spool(tmp_path: Path) -> None:
    made = spool_key(tmp_path, Disk())
    assert spool_key(tmp_path, Disk()) == made
    assert (tmp_path / "receiver.json").stat().st_mode & 0o777 == 0o600
