"""End to end, small: three receivers, one killed for an hour, stragglers for two days, one refused hour repaired later; the tables equal the oracle.

Real receivers, Spark, Delta, Postgres; Dagster's schedules, sensor and runs. Only the clock is shifted. All tests read one world that was played once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import dagster as dg
import duckdb
import pytest

from platform_defs.build.instance import open_instance, write_instance_config
from platform_defs.contracts.partitions import keys_between
from platform_defs.lake.layout import Lane
from platform_defs.ledger import Ledger
from platform_defs.ledger.embedded import EmbeddedPostgres
from platform_defs.ledger.looking import look
from platform_defs.planning.states import PartitionState as S
from platform_defs.privacy.keys import FileKek
from platform_defs.privacy.vault import Vault
from resources.settings import Settings
from resources.spark import SparkEngines
from tests.fixtures.kiosks import SELF_TEST, TOLD_AGAIN, at, copies
from tests.oracles.kiosks import oracle
from tests.system.dagster.kiosk_world import CUP_SOLD, SALES, SALES_DAY, World
from tests.system.dagster.ticking import Place

ALL_HOURS = keys_between("2024-10-07T00", "2024-10-09T13")
DAYS = ["2024-10-07", "2024-10-08"]
EVENT, SUMS = ("hour", "time", "received", "kiosk", "drink", "cents"), ("hour", "drink", "cups", "cents", "dearest")
# Table, lane, the oracle's table, columns.
TABLES: tuple[tuple[str, Lane, str, tuple[str, ...]], ...] = (
    (CUP_SOLD, "table", "cup_sold", EVENT),
    (CUP_SOLD, "late", "late", EVENT),
    (SALES, "table", "sales", SUMS),
    (SALES_DAY, "table", "sales_day", ("day", "drink", "cups", "cents")),
)


@pytest.fixture(scope="module")
def small_world(
    postgres: EmbeddedPostgres, spark_server: str, engines: SparkEngines, instance_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """The world after its two days."""
    home = tmp_path_factory.mktemp("small")
    names = {name: f"{name}_small_world" for name in ("dagster", "ledger", "vault")}
    for name in names.values():
        postgres.create_database(name, template=instance_template if name == names["dagster"] else "template1")
    settings = Settings(
        home=home,
        landing=str(home / "landing"),
        lake=str(home / "lake"),
        ledger_url=postgres.uri(names["ledger"]),
        vault_url=postgres.uri(names["vault"]),
        storage_url=postgres.uri(names["dagster"]),
        spark_intake=spark_server,
        spark_lake=spark_server,
        collector_url="http://127.0.0.1:1",
        assets=home / "assets",
    )
    settings.write()
    write_instance_config(settings)
    ledger, vault = Ledger(settings.ledger_url), Vault(settings.vault_url, FileKek.load_or_create(settings.kek_file))
    ledger.create()
    vault.create()
    with open_instance(settings) as instance:
        world = World(settings, ledger, vault, engines, instance)
        try:
            world.play()
            yield world
        finally:
            world.close()
    vault.close()
    ledger.close()


@pytest.fixture(scope="module")
def truth(small_world: World) -> Iterator[duckdb.DuckDBPyConnection]:
    with oracle(small_world.accepted, [each.at for each in small_world.looks.values()]) as connection:
        yield connection


def rows_of(truth: duckdb.DuckDBPyConnection, table: str, *columns: str) -> Counter[tuple[Any, ...]]:
    return Counter(truth.sql(f"select {', '.join(columns)} from {table}").fetchall())


@pytest.mark.parametrize(("endpoint", "lane", "table", "columns"), TABLES, ids=[table for _, _, table, _ in TABLES])
def test_every_partition_equals_the_oracle(
    endpoint: str, lane: Lane, table: str, columns: tuple[str, ...], small_world: World, truth: duckdb.DuckDBPyConnection
) -> None:
    rows = small_world.rows(endpoint, lane)
    if endpoint == CUP_SOLD:
        rows = [{**row, "received": row["received_at"].replace(microsecond=0)} for row in rows]
        assert lane == "late" or len({row["event_id"] for row in rows}) == len(rows)
    expected = rows_of(truth, table, *columns)
    found = Counter(tuple(row[column] for column in columns) for row in rows)
    assert expected
    for partition in sorted({row[0] for row in (*expected, *found)}):
        assert {row: n for row, n in found.items() if row[0] == partition} == {row: n for row, n in expected.items() if row[0] == partition}, partition


def test_every_partition_that_is_over_is_published_and_nothing_is_left_to_ask_for(small_world: World) -> None:
    """Sales that the old code had built are listed as outdated by the new one; everything else is current."""
    keys = {CUP_SOLD: ALL_HOURS, SALES: ALL_HOURS, SALES_DAY: DAYS}
    places = [(endpoint, key) for endpoint, mine in keys.items() for key in mine]
    assert {endpoint: set(small_world.ledger.partitions.published(endpoint, mine)) for endpoint, mine in keys.items()} == {
        endpoint: set(mine) for endpoint, mine in keys.items()
    }
    found = look(small_world.ledger, places, small_world.harness.now)
    assert not [place for place, decision in found.items() if decision.ask]
    repaired = at("08T00:20")
    old = {(SALES, hour) for hour, times in small_world.builds(SALES).items() if times[-1] < repaired}
    assert old
    assert {place: decision.state for place, decision in found.items()} == {place: S.OUTDATED if place in old else S.CURRENT for place in places}


def test_every_accepted_event_is_accounted_for(small_world: World, truth: duckdb.DuckDBPyConnection) -> None:
    sides = ("landed", "good", "duplicate", "conflict", "parked")
    expected = {hour: dict(zip(sides, numbers, strict=True)) for hour, *numbers in truth.sql(f"select hour, {', '.join(sides)} from accounted").fetchall()}
    totals = {side: sum(each[side] for each in expected.values()) for side in sides}
    assert all(totals.values()), totals  # each of them is in this world
    assert totals["landed"] == len(small_world.accepted) == len(copies()) - small_world.refused
    assert totals["landed"] > 2000
    for hour, version in small_world.ledger.partitions.published(CUP_SOLD, ALL_HOURS).items():
        assert version.counts is not None
        numbers = asdict(version.counts)
        assert {side: numbers.pop(side) for side in sides} == expected.get(hour, dict.fromkeys(sides, 0)), hour
        assert not any(numbers.values()), hour
    landing = small_world.ledger.landing
    accounts = landing.accounts("2024-10-07", "2024-10-09")
    assert sum(each.accepted for each in accounts) == len(small_world.accepted)
    assert sum(each.rejected for each in accounts) == small_world.refused > 0
    assert landing.unbalanced() == []
    assert [(each.id, each.state) for each in landing.receivers()] == [("r1", "gone"), ("r2", "gone"), ("r3", "gone")]


def test_an_hour_waits_for_the_receiver_that_was_killed_and_loses_nothing(small_world: World) -> None:
    hour = "2024-10-07T20"
    without = small_world.looks["07T21:10"]
    assert "2024-10-07T19" in without.of(CUP_SOLD)
    assert hour not in without.of(CUP_SOLD) | without.of(SALES)
    told = small_world.told["07T21:10", (CUP_SOLD, hour)]
    assert (told.state, told.built) == (S.WAITING, None)
    assert told.reason.startswith("receiver r2 silent since 2024-10-07 20:10: restart it or give it up")
    (waits,) = small_world.told["07T21:10", (SALES, hour)].waits_for
    assert (waits.endpoint, waits.partitions, waits.reasons) == (CUP_SOLD, (hour,), (told.reason,))

    # Nobody gave it up and its hold was not over: its hour is built once, whole, and check `complete` has nothing to warn of.
    assert {(CUP_SOLD, hour), (SALES, hour)} <= small_world.looks["08T00:10"].asked
    assert small_world.ledger.partitions.published(CUP_SOLD, [hour])[hour].checks_failed == 0
    assert len(small_world.builds(CUP_SOLD)[hour]) == 1
    # It had acknowledged these and not sealed them, and these its kiosks kept while it was away.
    before = [each for each in small_world.accepted if each["receiver"] == "r2" and at("07T20:10") < each["handed_in"] < at("07T20:45")]
    after = [each for each in small_world.accepted if each["receiver"] == "r2" and each["handed_in"] == at("07T21:46")]
    assert before
    assert after
    published = Counter((row["kiosk"], row["time"]) for row in small_world.rows(CUP_SOLD))
    assert all(published[each["kiosk"], each["time"].replace(tzinfo=None)] == 1 for each in (*before, *after))


def test_late_rows_rebuild_the_hours_they_touch_at_their_ages_and_nothing_else(small_world: World) -> None:
    looks = small_world.looks
    first, again, late = "2024-10-07T04", TOLD_AGAIN[1], {"2024-10-07T09", "2024-10-07T10"}
    # Sealed half an hour after the build of 06:11: held until the first settle age, at 07:11.
    assert looks["07T06:45"].asked == set()
    fresh = set(keys_between("2024-10-07T06", "2024-10-07T19"))
    assert looks["07T21:10"].of(CUP_SOLD) == {first, again} | fresh
    # Of the other hour there came copies of what was there: its content is the same, and nothing that reads it is built.
    assert looks["07T21:10"].of(SALES) == {first} | fresh
    fresh = set(keys_between("2024-10-07T20", "2024-10-07T23"))
    assert looks["08T00:10"].of(CUP_SOLD) == looks["08T00:10"].of(SALES) == late | fresh
    # A day that was built follows its hours. What came beyond the last age is parked, and no table that anybody reads has changed.
    touched, parked = {"2024-10-08T13", "2024-10-08T14"}, {"2024-10-07T14", "2024-10-07T15"}
    fresh = set(keys_between("2024-10-09T00", "2024-10-09T13"))
    assert looks["09T14:10"].of(CUP_SOLD) == touched | parked | fresh
    assert looks["09T14:10"].of(SALES) == touched | fresh
    assert looks["09T14:10"].of(SALES_DAY) == {"2024-10-08"}

    def twice(endpoint: str) -> set[str]:
        builds = small_world.builds(endpoint)
        assert all(len(times) in (1, 2) for times in builds.values())
        return {key for key, times in builds.items() if len(times) == 2}

    assert twice(CUP_SOLD) == {first, again} | late | touched | parked
    assert twice(SALES) == {first} | late | touched
    assert twice(SALES_DAY) == {"2024-10-08"}


def test_a_refused_hour_holds_its_day_back_until_it_is_repaired(small_world: World) -> None:
    looks, day = small_world.looks, (SALES_DAY, SELF_TEST[:10])
    assert [ended for when, each in looks.items() for ended in each.ended if ended[1] is not dg.DagsterRunStatus.SUCCESS] == [
        (frozenset({SALES}), dg.DagsterRunStatus.FAILURE)
    ]
    assert (frozenset({SALES}), dg.DagsterRunStatus.FAILURE) in looks["07T21:10"].ended
    refused = small_world.told["08T00:10", (SALES, SELF_TEST)]
    assert (refused.state, refused.built) == (S.REFUSED, None)
    assert "dearest" in refused.reason
    assert "waits for new input, new code or a person" in refused.reason
    assert "99900" not in refused.reason
    waiting = small_world.told["08T00:10", day]
    assert (waiting.state, waiting.reason) == (S.WAITING, f"waits for {SALES} {SELF_TEST}")
    (root,) = waiting.waits_for
    assert (root.endpoint, root.partitions, root.state, root.reasons) == (SALES, (SELF_TEST,), S.REFUSED, (refused.reason,))

    def asked(place: Place) -> list[str]:
        return [when for when, each in looks.items() for asked_for in each.rounds if place in asked_for]

    assert asked((SALES, SELF_TEST)) == ["07T21:10", "08T00:20"]  # not once between: nothing it depends on had changed
    assert asked(day) == ["08T00:20"]
    first, rest = (small_world.builds(endpoint)[key] for endpoint, key in ((SALES, SELF_TEST), day))
    assert at("08T00:20") < first[0] < rest[0] < at("08T00:20") + timedelta(minutes=10)
