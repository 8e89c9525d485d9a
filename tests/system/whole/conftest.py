"""The whole platform in a home of its own, started once for all tests that need all of it and ended after the last of them; what it published from
New York's flights before and after the late ones arrived, and from listeners."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from platform_defs.cli.demo.job import Demo
from platform_defs.ledger import Ledger
from platform_defs.running.supervisor import Progress, Supervisor
from resources.settings import checkout
from tests.fixtures.whole import DAYS, Rows, Whole

# Flights are of early January. A tick before the schedules rest asks for the airports of the last two days too: these are nobody's subject here.
LAST = "2026-01-31"


@pytest.fixture(scope="package")
def whole() -> Iterator[Whole]:
    told = list[Progress]()
    # Not pytest's folder: another session closes it to the account that an embedded Postgres runs under.
    with (
        tempfile.TemporaryDirectory(prefix="backline-whole-") as home,
        Supervisor(Path(home), checkout() / "assets", tell=told.append, brief=True, web_port=0, collector_port=0) as supervisor,
    ):
        ledger = Ledger(supervisor.settings.ledger_url)
        yield Whole(supervisor.settings, ledger, Demo(supervisor.settings, DAYS), told)
        ledger.close()


@pytest.fixture(scope="package")
def first_build(whole: Whole) -> Rows:
    """Aviation as it was after the backfill, before the late events arrived."""
    whole.demo.rest_schedules()
    whole.demo.send_flights()
    whole.demo.build_flights()
    return whole.tables("aviation", LAST)


@pytest.fixture(scope="package")
def after_late(whole: Whole, first_build: Rows) -> Rows:
    """Aviation after the late events arrived and the planner rebuilt what they touch."""
    whole.demo.send_late_flights()
    return whole.tables("aviation", LAST)


@pytest.fixture(scope="package")
def heard(whole: Whole) -> tuple[datetime, datetime]:
    """What listeners' phones handed in from the first instant to the second was sent, once, and built by the schedules."""
    with whole.demo.listeners(go_on=False) as crowd:
        whole.demo.wait_sealed()
        whole.demo.settle_listening()
        return crowd.begun, crowd.until
