"""Records: written whole, joined by run, read back in order. How long they are kept is in test_retention."""

from __future__ import annotations

import string
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from platform_defs.lake.layout import Lake
from platform_defs.lake.records import BuildRecord, DecisionRecord, PublishedPartition, RecordError, RefusedPartition, read_records, write_record

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


def published(key: str, version: int = 1) -> PublishedPartition:
    return PublishedPartition(key=key, content="00ff", inputs="ab" * 16, rows=3, version=version, code="c1", built_at=NOON, counts={"landed": 3})


def refused(key: str) -> RefusedPartition:
    return RefusedPartition(key=key, reason="plays: 3 rows below 0", inputs="ab", code="c1", at=NOON)


def build(run: str = "run-1", at: datetime = NOON, **said: object) -> BuildRecord:
    return BuildRecord.model_validate({"endpoint": "charts/skip_rate", "run_id": run, "fence": 7, "trigger": "schedule", "at": at, **said})


def test_records_come_back_in_the_order_of_their_time(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    later = build("run-2", NOON + timedelta(hours=1), published=(published("2026-10-01T03", 2),))
    next_day = DecisionRecord(id="d1", decision="lost", role="team:platform", note="disk died", at=NOON + timedelta(days=1))
    first = build("run-9", published=(published("2026-10-01T03"),), refused=(refused("2026-10-01T04"),))
    for record in (next_day, later, first):
        write_record(lake, record)
    assert list(read_records(lake)) == [first, later, next_day]
    assert list(read_records(lake, "2026-10-02")) == [next_day]
    assert list(read_records(lake, last_day="2026-10-01")) == [first, later]


def test_one_run_and_endpoint_is_one_file_and_the_last_word_stays(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    write_record(lake, build(published=(published("2026-10-01T03"),), refused=(refused("2026-10-01T04"), refused("2026-10-01T05"))))
    path = write_record(lake, build(published=(published("2026-10-01T04", 2),)))
    assert Path(path).name == "run-1-charts.skip_rate.json"
    (record,) = read_records(lake)
    assert isinstance(record, BuildRecord)
    assert [(p.key, p.version) for p in record.published] == [("2026-10-01T03", 1), ("2026-10-01T04", 2)]
    assert [r.key for r in record.refused] == ["2026-10-01T05"]


def test_writing_the_same_again_changes_nothing(tmp_path: Path) -> None:
    lake, record = Lake(str(tmp_path)), build(published=(published("2026-10-01T03"),))
    before = Path(write_record(lake, record)).read_bytes()
    assert Path(write_record(lake, record)).read_bytes() == before


def test_what_is_no_record_is_named_and_no_value_shown(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    path = Path(write_record(lake, build()))
    path.write_text('{"kind": "build", "secret": "name"}')
    with pytest.raises(RecordError, match=rf"{path} is no record") as raised:
        list(read_records(lake))
    assert "name" not in str(raised.value).replace(str(path), "")


def test_an_unfinished_write_is_no_record(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    path = Path(write_record(lake, build()))
    (path.parent / ".half.tmp").write_bytes(b'{"kind"')
    assert len(list(read_records(lake))) == 1


@pytest.mark.parametrize("bad", [{"id": "../x"}, {"id": ""}, {"at": "2026-10-01T12:00:00"}])
def test_a_decision_has_an_id_that_is_a_file_name_and_a_zone(bad: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        DecisionRecord.model_validate({"id": "d1", "decision": "lost", "at": NOON, **bad})


names = st.text(string.ascii_lowercase, min_size=1, max_size=8)
instants = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - zone by the strategy
builds = st.builds(
    BuildRecord,
    endpoint=st.builds("{}/{}".format, names, names),
    run_id=names,
    fence=st.integers(0, 2**62),
    trigger=names,
    caused_by=st.none() | st.text(max_size=20),
    at=instants,
    published=st.lists(
        st.builds(
            PublishedPartition,
            key=names,
            content=st.binary(max_size=16).map(bytes.hex),
            inputs=st.binary(max_size=16).map(bytes.hex),
            rows=st.integers(0, 2**62),
            version=st.integers(0, 2**62),
            code=st.text(max_size=20),
            built_at=instants,
            counts=st.none() | st.dictionaries(names, st.integers(0, 2**62)),
            pins=st.dictionaries(names, st.text(max_size=20)),
        ),
        max_size=3,
    ).map(tuple),
)


@given(builds)
def test_a_record_reads_back_as_it_was_written(record: BuildRecord) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_record(Lake(folder), record)
        assert list(read_records(Lake(folder))) == [record]
