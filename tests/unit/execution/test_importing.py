"""Which partitions of an existing table are imported, and what its folders say of its format."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from platform_defs.execution.existing import Existing, ImportRefused
from platform_defs.execution.importing import Extent, extent
from tests.fixtures.contracts import DAY, endpoint

NOW = datetime(2026, 10, 4, 10, 30, tzinfo=UTC)
TABLE = Existing("/old/rate", "parquet")
HOURLY = endpoint("charts/rate", start="2026-10-01", retention_seconds=400 * DAY)
DAILY = endpoint("charts/day", cadence="daily", start="2026-01-01", retention_seconds=30 * DAY)


def chosen(found: dict[str | None, int], contract: Any = HOURLY, **given: Any) -> Extent:
    return extent(found, TABLE, "dt", contract, NOW, **given)


def refused(found: dict[str | None, int], contract: Any = HOURLY, **given: Any) -> str:
    with pytest.raises(ImportRefused) as error:
        chosen(found, contract, **given)
    return str(error.value)


def test_what_has_rows_is_imported_in_order() -> None:
    found = chosen({"2026-10-01T02": 3, "2026-10-01T00": 1, "2026-10-01T01": 2})
    assert found == Extent(("2026-10-01T00", "2026-10-01T01", "2026-10-01T02"), {"2026-10-01T00": 1, "2026-10-01T01": 2, "2026-10-01T02": 3})


def test_holes_are_told_and_imported_as_empty_only_when_asked() -> None:
    rows: dict[str | None, int] = {"2026-10-01T00": 1, "2026-10-01T03": 1}
    assert chosen(rows).keys == ("2026-10-01T00", "2026-10-01T03")
    assert chosen(rows).notes == ("2 partitions between have no row, and are left as they are (first 2026-10-01T01): --empty imports them as empty",)
    assert chosen(rows, empty=True) == Extent(
        tuple(f"2026-10-01T0{n}" for n in range(4)), {"2026-10-01T00": 1, "2026-10-01T01": 0, "2026-10-01T02": 0, "2026-10-01T03": 1}
    )
    assert len(chosen(rows, empty=True, first="2026-10-01", last="2026-10-01").keys) == 24
    assert chosen({}, DAILY, empty=True, first="2026-10-01", last="2026-10-02").keys == ("2026-10-01", "2026-10-02")


def test_a_day_stands_for_its_hours() -> None:
    rows: dict[str | None, int] = {"2026-10-01T23": 1, "2026-10-02T00": 1, "2026-10-02T23": 1, "2026-10-03T00": 1}
    assert chosen(rows, first="2026-10-02", last="2026-10-02").keys == ("2026-10-02T00", "2026-10-02T23")
    assert chosen(rows, first="2026-10-02T05").keys == ("2026-10-02T23", "2026-10-03T00")
    assert chosen(rows, last="2026-10-01").keys == ("2026-10-01T23",)


def test_what_the_endpoint_does_not_have_is_left_out_and_told() -> None:
    found = chosen({"2026-09-30T22": 1, "2026-09-30T23": 1, "2026-10-04T09": 1, "2026-10-04T10": 1})
    assert found.keys == ("2026-10-04T09",)
    assert found.notes[:2] == (
        "2 partitions left out: before the start of charts/rate (2026-10-01): 2026-09-30T22 to 2026-09-30T23",
        "1 partition left out: not over yet: 2026-10-04T10",
    )
    assert chosen({"2026-09-01": 1, "2026-10-03": 1}, DAILY).notes[0] == "1 partition left out: past its retention (30d): 2026-09-01"
    assert "nothing of /old/rate can be imported\n1 partition left out: not over yet" in refused({"2026-10-04T10": 1})


def test_rows_of_no_partition_refuse_the_whole() -> None:
    for rows, words in (
        ({None: 2, "2026-10-01T00": 1}, "2 rows without an hour in dt"),
        ({"2026-13-01T00": 1}, "1 row without an hour"),
        ({"": 1}, "without an hour"),
    ):
        assert words in refused(rows)  # type: ignore[arg-type]
    assert "without a day in dt" in refused({"2026-10-01T00": 1}, DAILY)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"first": "2026-10-02", "last": "2026-10-01"}, "--first 2026-10-02 is later than --last 2026-10-01: change their places"),
        ({"first": "yesterday"}, "--first 'yesterday' is no partition: write an hour as 2026-10-01T03"),
        ({"last": "2026-10-01T3"}, "--last '2026-10-01T3' is no partition"),
        ({"first": "2026-10-03"}, "/old/rate has no row from 2026-10-03T00"),
        ({"first": "2026-10-03", "last": "2026-10-03"}, "/old/rate has no row from 2026-10-03T00 to 2026-10-03T23"),
    ],
)
def test_ends_that_are_wrong(given: dict[str, str], words: str) -> None:
    assert words in refused({"2026-10-01T00": 1}, **given)


def test_a_daily_endpoint_has_no_hours() -> None:
    assert refused({"2026-10-01": 1}, DAILY, first="2026-10-01T05") == "--first 2026-10-01T05: charts/day is daily: write the day, 2026-10-01"


def test_the_format_is_told_by_names(tmp_path: Path) -> None:
    def table(*names: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return str(folder)

    assert Existing.at(table("day=2026-10-01/part-0.snappy.parquet", "_SUCCESS", "day=2026-10-01/.part-0.snappy.parquet.crc")).format == "parquet"
    assert Existing.at(table("a.csv.gz", "b.csv")).format == "csv"
    assert Existing.at(f"{table('a.csv')}/a.csv").format == "csv"
    delta = table(f"_delta_log/{0:020d}.json", f"_delta_log/{1:020d}.json", "part-0.parquet")
    assert (Existing.at(delta).format, Existing.at(delta).version, Existing.at(delta, "parquet").version) == ("delta", 1, None)
    assert Existing.at("s3a://bucket/old", "parquet", "dt") == Existing("s3a://bucket/old", "parquet", "dt")
    for path, form, words in (
        (table("a.csv", "b.parquet"), None, "files of both kinds: say its format with --from-format"),
        (table("a.txt"), None, "neither Parquet nor CSV files by their names"),
        (table("a.parquet"), "delta", "is no Delta table"),
        (str(tmp_path / "none"), None, "does not exist"),
        ("s3a://bucket/old", None, "is not on this machine: say its format"),
    ):
        with pytest.raises(ImportRefused, match=words):
            Existing.at(path, form)  # type: ignore[arg-type]
