"""What a person sees: New York's flights in Dagster's own pages, in a headless Chromium. Screenshots are kept under artefacts/."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.fixtures.whole import DAYS, Rows, Whole

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH: install Debian's package")
ARTEFACTS = Path(__file__).parents[2] / "artefacts"
# A page's first query may wait for a busy code location.
PATIENCE_MS = 60_000
# Without these Chromium calls home, many times at every start.
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip


@pytest.fixture(scope="module")
def page(whole: Whole, after_late: Rows) -> Iterator[Page]:
    """A page of a browser, wide enough for all columns."""
    ARTEFACTS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        opened = browser.new_page(base_url=str(whole.settings.dagster_url), viewport={"width": 1500, "height": 1000})
        opened.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield opened
        browser.close()


def kept(page: Page, name: str) -> None:
    """Keeps a picture once nothing loads any more."""
    page.wait_for_load_state("networkidle")
    page.screenshot(path=ARTEFACTS / f"{name}.png")


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
    page.goto("/assets/aviation/flight_outcomes?view=partitions&default_range=2026-01-06T00&partition=2026-01-06T13")
    expect(page.get_by_text("2026-01-06T13").first).to_be_visible()
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
    expect(page.get_by_text("Succeeded").or_(page.get_by_text("Completed")).first).to_be_visible()
    kept(page, "backfills")
