"""What a person sees: New York's flights in Dagster's own pages, in a headless Chromium. Screenshots are kept under artefacts/."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from platform_defs.cli.demo.aviation import FIRST_HOUR
from platform_defs.contracts.partitions import key_of
from tests.fixtures.browser import browser_page, kept, needs_chromium
from tests.fixtures.whole import DAYS, Rows, Whole

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def page(whole: Whole, after_late: Rows) -> Iterator[Page]:
    """A page of a browser on the whole platform's pages."""
    with browser_page(str(whole.settings.dagster_url)) as opened:
        yield opened


def test_an_assets_page_says_what_the_contract_says(page: Page) -> None:
    page.goto("/assets/aviation/flight_outcomes")
    expect(page.get_by_text("Each landing counted to its departure, by route.")).to_be_visible()
    for column in ("hour", "origin", "destination", "departures", "landed", "air_minutes", "late_arrivals"):
        expect(page.get_by_role("cell", name=column, exact=True)).to_be_visible()
    for words in ("aviation.flight_outcomes", "cadence: hourly", "tier: normal", "aviation_hourly", "aviation_late_data"):
        expect(page.get_by_text(words).first).to_be_visible()
    for metadata in ("inputs", "dagster/partition_row_count", "median seconds a partition"):
        expect(page.get_by_text(metadata, exact=True).first).to_be_attached()
    kept(page, "asset")


def test_its_partitions_are_all_there(page: Page) -> None:
    # A tick before the demo rests the schedules builds hours of today too: the page is asked for the demo's days.
    last = key_of("hourly", FIRST_HOUR + timedelta(days=DAYS) - timedelta(hours=1))
    days = f"[{key_of('hourly', FIRST_HOUR)}...{last}]"
    page.goto(f"/assets/aviation/flight_outcomes?view=partitions&partition=2026-01-06T13&default_range={quote(days)}")
    expect(page.get_by_text("2026-01-06T13").first).to_be_visible()
    expect(page.get_by_text(f"{24 * DAYS} Partitions Selected")).to_be_visible()
    expect(page.get_by_text(f"Materialized ({24 * DAYS})").first).to_be_visible()
    expect(page.get_by_text("dagster/partition_row_count", exact=True).first).to_be_visible()
    kept(page, "partitions")


def test_its_checks_have_passed(page: Page) -> None:
    page.goto("/assets/aviation/flight_departed?view=checks")
    for check in ("accounting", "complete", "contract", "volume"):
        expect(page.get_by_text(check, exact=True).first).to_be_visible()
    expect(page.get_by_text("Succeeded")).to_have_count(4)
    kept(page, "checks")


def test_its_lineage_is_the_catalogue(page: Page) -> None:
    page.goto("/assets/aviation/flight_outcomes?view=lineage")
    for name in ("flight_departed", "flight_landed", "flight_outcomes"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    kept(page, "lineage")


def test_the_backfill_is_where_dagsters_users_look(page: Page) -> None:
    page.goto("/runs?view=backfills")
    expect(page.get_by_text("Manually launched").first).to_be_visible()
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    kept(page, "backfills")
