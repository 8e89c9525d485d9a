"""What a person clicks in Dagster's pages: a backfill of three days, one refused hour and its repair, a backfill cancelled and taken up again."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.fixtures.browser import browser_page, kept, needs_chromium
from tests.fixtures.dagster import RunningDagster, until

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def page(scripted: RunningDagster) -> Iterator[Page]:
    with browser_page(scripted.url) as opened:
        yield opened


@pytest.fixture
def home(scripted: RunningDagster) -> Path:
    return scripted.settings.home


def launch(page: Page, asset: str, first: str, last: str) -> str:
    """Materialises a range of partitions by hand; the backfill's id."""
    page.goto(f"/assets/{asset}")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_role("textbox").first
    field.wait_for()
    page.wait_for_load_state("networkidle")
    older = dialog.get_by_text("Show all partitions")
    if older.is_visible():  # those older than 90 days are left out otherwise
        older.click()
    field.click()
    field.press("Control+a")
    field.press_sequentially(f"[{first}...{last}]")
    field.press("Enter")
    dialog.get_by_role("button", name="Launch backfill").click()
    return created(page)


def test_one_asset_over_72_hours(page: Page, scripted: RunningDagster) -> None:
    backfill = launch(page, "music/track_played", "2024-11-05T00", "2024-11-07T23")
    assert scripted.wait_backfill(backfill)["status"] == "COMPLETED_SUCCESS"
    page.goto("/assets/music/track_played?view=partitions")
    expect(page.get_by_text("Materialized (72)").first).to_be_visible()
    kept(page, "72-hours")


def test_one_refused_hour_is_seen_and_repaired(page: Page, scripted: RunningDagster, home: Path) -> None:
    refused = "2024-11-05T03"
    (home / "refuse.json").write_text(json.dumps([f"music/plays {refused}"]))
    backfill = launch(page, "music/plays", "2024-11-05T00", "2024-11-05T23")
    assert scripted.wait_backfill(backfill)["status"] == "COMPLETED_FAILED"
    page.goto(f"/assets/music/plays?view=partitions&partition={refused}")
    expect(page.get_by_text("Failed (1)").first).to_be_visible()
    expect(page.get_by_text("Materialized (23)").first).to_be_visible()
    kept(page, "refused-hour")
    page.goto("/assets/music/plays?view=checks&checkDetail=contract")
    expect(page.get_by_text("1 of 24 partitions failed.").first).to_be_visible()
    kept(page, "refused-check")
    (home / "refuse.json").unlink()
    launch_again(page, scripted, backfill)
    page.goto("/assets/music/plays?view=partitions")
    expect(page.get_by_text("Materialized (24)").first).to_be_visible()


def test_cancelled_and_taken_up_again(page: Page, scripted: RunningDagster, home: Path) -> None:
    (home / "hold").touch()
    try:
        backfill = launch(page, "music/track_played", "2024-11-20T00", "2024-11-21T23")
        until(lambda: scripted.backfill_state(backfill)["runs"], 90, "a run of the backfill")
        page.goto(f"/runs/b/{backfill}")
        choose(page, "Cancel backfill")
        page.get_by_role("dialog").get_by_role("button").last.click()
        assert scripted.wait_backfill(backfill)["status"] == "CANCELED"
        kept(page, "cancelled")
    finally:
        (home / "hold").unlink()
    launch_again(page, scripted, backfill)
    page.goto("/assets/music/track_played?view=partitions")
    expect(page.get_by_text("Materialized (120)").first).to_be_visible()


def choose(page: Page, item: str) -> None:
    """Clicks an item of the menu at the top right of a backfill's page."""
    expect(page.get_by_text("Partitions target")).to_be_visible()
    page.get_by_role("button").last.click()
    page.get_by_role("menuitem", name=item).click()


def created(page: Page) -> str:
    """The id of the backfill that the page says it has just made."""
    told = page.get_by_text(re.compile("Created backfill")).first
    backfill = str(told.text_content()).split()[-1]
    told.wait_for(state="detached")  # the next one's would be taken for this one's
    return backfill


def launch_again(page: Page, scripted: RunningDagster, backfill: str) -> None:
    """Re-executes a backfill from failure, on its page; returns when that has ended well."""
    page.goto(f"/runs/b/{backfill}")
    choose(page, "Re-execute from failure")
    assert scripted.wait_backfill(created(page))["status"] == "COMPLETED_SUCCESS"
