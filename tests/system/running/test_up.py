"""`backline up` as people use it: one start, saved files, a second one refused, dead parts coming back; no process and no personal value is left however
it ends. The tests are one story, in this order: a start costs half a minute of processors."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from platform_defs.running import keeper
from platform_defs.running.dagster_client import DagsterClient
from platform_defs.running.home import HomeLock, wait_until
from resources.settings import Settings, run_file
from tests.fixtures.scan import holding
from tests.fixtures.up import PATIENCE, Up
from tests.system.running import planting
from tests.system.running.planting import CANARY

DOMAIN = """
from platform_defs.contracts import Domain
domain = Domain(owner="team:shop", purpose="product", start="{today}", retention="30d")
"""
EVENTS = """
from pydantic import Field
from platform_defs.contracts import Event

class OrderPlaced(Event):
    \"\"\"A customer placed an order.\"\"\"

    item: str = Field(pattern=r"^[a-z]{1,9}$")
    amount: int = Field(ge=0)
"""
MORE = (
    EVENTS
    + """
class OrderReturned(Event):
    \"\"\"An order came back.\"\"\"

    item: str = Field(pattern=r"^[a-z]{1,9}$")
"""
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # Not pytest's: another session closes it to the account that an embedded Postgres runs under.
    with tempfile.TemporaryDirectory(prefix="backline-up-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[Up]:
    made = Up(folder)
    made.events.parent.mkdir(parents=True)
    (made.events.parent / "domain.py").write_text(DOMAIN.format(today=f"{datetime.now(UTC):%Y-%m-%d}"))
    made.events.write_text(EVENTS)
    planting.write_domain(made.root / "assets")
    try:
        made.start("Ctrl-C stops it")
        yield made
    finally:
        if not made.ended:
            made.end(signal.SIGINT)


def test_all_of_it_answers_and_its_addresses_are_private(up: Up) -> None:
    assert wait_until(lambda: up.json("status")["services"]["silent"] == [], PATIENCE, pause=1.0)
    status = up.json("status")
    assert status["services"]["unloaded"] == {}
    assert [row["name"] for row in status["endpoints"]] == ["care/call_made", "care/members", "shop/order_placed"]
    assert status["services"]["web"] in up.said
    assert run_file(up.home).stat().st_mode & 0o777 == 0o600
    assert json.loads((up.events.parent / "contracts.json").read_text())["contracts"][0]["key"] == "shop/order_placed"


def test_each_process_says_what_it_holds(up: Up) -> None:
    told = up.json("status", "--processes")
    held = {part["name"]: part for part in told["processes"]}
    assert {"supervisor", "postgres", "spark", "spark heap", "collector", "code-shop", "daemon", "webserver"} <= held.keys()
    assert "others" not in held
    assert all(0 < part["idle"] <= part["now"] <= part["peak"] for part in held.values())
    assert held["spark heap"]["now"] <= 1024**3  # --memory 1g
    together, beside_heap = told["totals"]
    assert together["now"] - beside_heap["now"] == held["spark heap"]["now"]


def test_a_second_one_in_the_same_home_is_refused(up: Up) -> None:
    assert up.process is not None
    done = up.run("up")
    assert done.returncode == 1
    assert f"already runs in {up.home} (process {up.process.pid}, since" in done.stderr


def test_sent_events_get_their_verdicts(up: Up) -> None:
    done = up.run("send", "shop/order_placed", "-", "--json", given='{"item": "tea", "amount": 1}\n{"item": "TEA", "amount": 1}\n{"item": "milk", "amount": 2}')
    said = json.loads(done.stdout)
    assert (done.returncode, said["accepted"], [(one["line"], one["reason"]) for one in said["rejected"]]) == (1, 2, [(2, "schema")])
    assert wait_until(lambda: bool(up.json("failed", "list")), PATIENCE, pause=1.0)
    [kept] = up.json("failed", "list")
    assert '"TEA"' in up.run("failed", "show", kept["id"]).stdout
    assert "TEA" not in up.run("failed", "list").stdout


def test_a_saved_file_is_live_and_a_broken_one_changes_nothing(up: Up) -> None:
    assert not up.takes("shop/order_returned")
    up.events.write_text(MORE)
    assert wait_until(lambda: up.takes("shop/order_returned"), PATIENCE, pause=1.0)
    up.events.write_text(MORE.replace("class OrderReturned", "class Order Returned"))
    assert wait_until(lambda: "the saved files are not applied" in up.said, PATIENCE)
    assert "assets/shop/events.py:" in up.said
    assert up.takes("shop/order_returned")
    assert "assets/shop/events.py:" in up.json("status")["services"]["refused"]
    assert "the saved files are not applied" in up.run("status").stdout
    up.events.write_text(MORE)
    assert wait_until(lambda: up.json("status")["services"]["refused"] is None, PATIENCE, pause=1.0)


def test_a_part_that_is_killed_comes_back(up: Up) -> None:
    killed = Settings.load(up.home, environ={}).processes["collector"]
    os.kill(killed, signal.SIGKILL)
    assert wait_until(lambda: "collector started again" in up.said, PATIENCE)
    assert "collector died (killed by SIGKILL)" in up.said
    assert wait_until(lambda: Settings.load(up.home, environ={}).processes["collector"] != killed, PATIENCE)
    assert up.run("send", "shop/order_placed", "-", given='{"item": "tea", "amount": 1}').returncode == 0


def test_a_schedule_that_is_switched_off_is_named(up: Up) -> None:
    assert up.json("status")["services"]["switched_off"] == []
    with DagsterClient(str(Settings.load(up.home, environ={}).dagster_url)) as dagster:
        dagster.stop_schedule("shop", "shop_retention")
    told: list[dict[str, str]] = []
    assert wait_until(lambda: bool(told.extend(up.json("status")["services"]["switched_off"]) or told), PATIENCE, pause=1.0)
    assert [(each["kind"], each["name"], each["undone"]) for each in told] == [
        ("schedule", "shop_retention", "nothing of shop is dropped when its time is over")
    ]
    assert "schedule shop_retention is switched off" in up.run("status").stdout.replace("\n", " ")


def test_planted_values_reach_tables_and_outputs_as_pseudonyms(up: Up) -> None:
    planting.plant(up, 1)
    assert wait_until(lambda: planting.taken(up, 1), PATIENCE, pause=1.0), up.run("status").stdout
    assert CANARY not in planting.databases(up)
    assert CANARY not in up.run("status").stdout + up.run("failed", "list").stdout + up.run("read", "care/call_made").stdout


def test_ctrl_c_leaves_no_process_and_says_so(up: Up) -> None:
    mark = up.mark
    assert keeper.marked(mark)
    assert up.end(signal.SIGINT) == 0
    assert keeper.marked(mark) == []
    assert not run_file(up.home).exists()
    assert "Backline is not running" in up.run("status").stderr


def test_after_a_stop_only_landing_holds_what_was_planted(up: Up) -> None:
    assert planting.astray(up.home) == []
    landing = up.home / "landing"
    seen = {path.relative_to(landing).parts[0] for path in holding(landing, CANARY)}
    assert {"segments", "failed"} <= seen  # the scan finds what is there to be found


def test_ctrl_c_while_it_starts_leaves_no_process(up: Up) -> None:
    up.start("postgres")
    mark = up.mark
    assert up.end(signal.SIGINT) == 130
    assert keeper.marked(mark) == []


def test_kill_9_while_it_starts_leaves_no_process_and_the_next_start_goes_on(up: Up) -> None:
    up.start("tables")
    killed(up)
    assert HomeLock(up.home / "run" / "lock").holder() is None
    up.start("Ctrl-C stops it")
    assert [row["name"] for row in up.json("status")["endpoints"]] == ["care/call_made", "care/members", "shop/order_placed", "shop/order_returned"]


def test_after_kill_9_and_a_restart_only_landing_holds_what_was_planted(up: Up) -> None:
    planting.plant(up, 2)
    killed(up)
    up.start("Ctrl-C stops it")
    assert wait_until(lambda: planting.taken(up, 2), PATIENCE, pause=1.0), up.run("status").stdout
    assert CANARY not in planting.databases(up)
    assert up.run("down").returncode == 0
    assert up.process is not None
    assert up.process.wait(PATIENCE) == 0
    assert planting.astray(up.home) == []


def killed(up: Up) -> None:
    """Kills it and waits until nothing of it is left."""
    mark = up.mark
    assert up.end(signal.SIGKILL) == -signal.SIGKILL
    assert wait_until(lambda: not keeper.marked(mark), PATIENCE)
