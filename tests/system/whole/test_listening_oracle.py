"""Generated listeners through the whole platform, built by its schedules: published tables equal the generator's own truth."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from platform_defs.contracts.partitions import keys_between
from tests.fixtures.whole import Rows, Whole
from tests.oracles.listening import Truth, tracks


@pytest.fixture(scope="module")
def truth(heard: tuple[datetime, datetime]) -> Truth:
    return Truth(*heard)


@pytest.fixture(scope="module")
def there(whole: Whole, heard: tuple[datetime, datetime]) -> dict[str, set[str]]:
    """Partitions of the last days that are published. Looked at once, and before the rows: schedules go on, and publish more at any moment."""
    now, contracts = datetime.now(UTC), whole.ledger.registry.current()
    found = {}
    for key, contract in contracts.items():
        form = "%Y-%m-%dT%H" if contract.cadence == "hourly" else "%Y-%m-%d"
        found[key] = set(whole.ledger.partitions.published(key, keys_between((now - timedelta(days=3)).strftime(form), now.strftime(form))))
    return found


@pytest.fixture(scope="module")
def listening(whole: Whole, there: dict[str, set[str]]) -> Rows:
    tables = {**whole.tables("listening"), **whole.tables("charts"), **whole.tables("catalogue")}
    return {key: [row for row in rows if row.get("hour", row.get("day")) in there[key]] for key, rows in tables.items()}


def of(rows: list[dict[str, Any]], *columns: str) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row[column] for column in columns) for row in rows)


@pytest.mark.parametrize("name", ["track_started", "track_played", "app_opened"])
def test_event_tables_hold_what_phones_handed_in(name: str, there: dict[str, set[str]], listening: Rows, truth: Truth) -> None:
    hours, rows = there[f"listening/{name}"], listening[f"listening/{name}"]
    expected = [row for _, row in truth.table(name) if row["hour"] in hours]
    assert expected
    columns = sorted(expected[0])
    plain = [{**row, "time": row["time"].replace(tzinfo=UTC)} for row in rows]
    assert of(plain, *columns) == of(expected, *columns)


def test_a_person_is_one_pseudonym_and_a_pseudonym_one_person(listening: Rows, truth: Truth) -> None:
    """By the plays, which say whose they are: in every table of the domain the same person is the same pseudonym, and no two share one."""
    people: dict[str, set[str]] = {}
    for name in ("track_started", "track_played"):
        said = {row["play_id"]: person for person, row in truth.table(name)}
        for row in listening[f"listening/{name}"]:
            people.setdefault(said[row["play_id"]], set()).add(row["user_id"])
    assert len(people) > 20
    assert all(len(pseudonyms) == 1 for pseudonyms in people.values())
    assert len({pseudonym for (pseudonym,) in people.values()}) == len(people)


def test_skip_rate(there: dict[str, set[str]], listening: Rows, truth: Truth) -> None:
    hours = there["charts/skip_rate"]
    expected = Counter({row: 1 for row in truth.skip_rate() if row[0] in hours})
    assert expected
    assert of(listening["charts/skip_rate"], "hour", "track_id", "starts", "plays") == expected


def test_daily_listeners(there: dict[str, set[str]], listening: Rows, truth: Truth) -> None:
    days = there["charts/daily_listeners"]
    assert days
    expected = Counter({row: 1 for row in truth.daily_listeners() if row[0] in days})
    assert of(listening["charts/daily_listeners"], "day", "track_id", "listeners", "plays", "minutes") == expected


def test_snapshots_of_tracks(there: dict[str, set[str]], listening: Rows) -> None:
    days = there["catalogue/tracks"]
    assert days
    for day in days:
        rows = [row for row in listening["catalogue/tracks"] if row["day"] == day]
        assert of(rows, "track_id", "title", "licensed") == tracks(day)
