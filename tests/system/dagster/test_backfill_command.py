"""`backline backfill` through the real daemon: both cadences in one command, gaps, refusals, left and resumed, its place in the queue."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from platform_defs.cli.main import cli
from platform_defs.contracts.loading import load_domain
from platform_defs.contracts.partitions import day_of, hours_of, key_of, shift
from platform_defs.ledger import Ledger, Outcome, Published, RunInfo
from tests.fixtures.dagster import CHECKOUT, RunningDagster, until
from tests.system.dagster.test_over_graphql import asked

NOW = datetime.now(UTC)


def day(ago: int) -> str:
    """Each test has days of its own, within retention."""
    return key_of("daily", NOW - timedelta(days=ago))


@pytest.fixture(scope="module")
def ledger(scripted: RunningDagster) -> Any:
    """The ledger of the two small domains, in which nothing is built; the scripted builder tells it nothing."""
    found = Ledger(scripted.settings.ledger_url)
    found.create()
    assets = scripted.settings.home / "assets"
    found.registry.apply([contract for domain in ("music", "sales") for contract in load_domain(assets / domain).contracts], "ref")
    yield found
    found.close()


@pytest.fixture(autouse=True)
def surroundings(scripted: RunningDagster, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKLINE_HOME", str(scripted.settings.home))
    monkeypatch.setenv("BACKLINE_LEDGER_URL", scripted.settings.ledger_url)
    monkeypatch.setenv("BACKLINE_DAGSTER_URL", scripted.url)


def backfill(*words: str, code: int = 0) -> dict[str, Any]:
    """Runs the command to its end; its JSON."""
    done = CliRunner().invoke(cli, ["backfill", *words, "--json"])
    assert done.exit_code == code, f"{done.output}{done.exception!r}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def publish(ledger: Ledger, endpoint: str, *keys: str, code: str | None = None) -> None:
    """The ledger is told that these are built, by the code of today unless said otherwise."""
    contract = ledger.registry.current()[endpoint]
    outcomes = [
        Outcome(endpoint, key, "published", published=Published(b"c", b"", 7, 1, code or contract.code_version, NOW, "run-0"), seconds=1.0) for key in keys
    ]
    ledger.partitions.record(outcomes, RunInfo("run-0", "schedule", NOW - timedelta(seconds=5), NOW))


def built(dagster: RunningDagster, endpoint: str) -> set[str]:
    return set(dagster.materialised(endpoint))


def test_hours_and_days_of_two_domains_in_one_command(scripted: RunningDagster, ledger: Ledger) -> None:
    first, last = day(20), day(19)
    publish(ledger, "music/plays", shift(hours_of(first)[0], -1))  # what the first hour of royalties reads beside its own
    words = ("music/track_played", "music/plays", "sales/royalties", "sales/royalties_day")
    found = backfill(*words, "--from", first, "--to", last)
    assert found["backfill"]["status"] == "COMPLETED_SUCCESS"
    assert found["backfill"]["built"] == found["backfill"]["targeted"] == found["plan"]["partitions"] == 3 * 48 + 2
    hours = {*hours_of(first), *hours_of(last)}
    assert hours <= built(scripted, "music/track_played") & built(scripted, "music/plays") & built(scripted, "sales/royalties")
    assert {first, last} <= built(scripted, "sales/royalties_day")
    runs = scripted.backfill_state(found["backfill"]["id"])["runs"]
    tags = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in runs]
    assert {(one["backline/trigger"], one["backline/lane"], one["dagster/priority"]) for one in tags} == {("command", "backfill", "-1")}
    mine = [call for call in asked(scripted) if set(call["keys"]) & {*hours, first, last}]  # type: ignore[call-overload]
    assert {(call["trigger"], call["force"]) for call in mine} == {("command", False)}
    # Two runs of hours for both of music's, two for royalties, one for its days: cut otherwise only where one ends before another.
    assert found["plan"]["runs"] == 5
    assert len(runs) in (5, 6)


def test_only_what_needs_it_is_built_gap_by_gap(scripted: RunningDagster, ledger: Ledger) -> None:
    one = day(16)
    hours = hours_of(one)
    publish(ledger, "music/track_played", *hours)
    publish(ledger, "music/plays", *hours)
    publish(ledger, "music/plays", hours[2], hours[3], hours[11], code="older")
    found = backfill("music/plays", "--from", one, "--to", one, "--outdated")
    assert found["plan"]["datasets"][0]["ranges"] == [[hours[2], hours[3]], [hours[11], hours[11]]]
    assert found["backfill"]["built"] == 3
    assert sorted(key for call in asked(scripted) for key in call["keys"] if day_of(key) == one) == [hours[2], hours[3], hours[11]]  # type: ignore[attr-defined]


def test_force_reaches_the_builder(scripted: RunningDagster, ledger: Ledger) -> None:
    one = day(14)
    publish(ledger, "music/plays", *hours_of(one))
    publish(ledger, "music/track_played", *hours_of(one))
    backfill("music/plays", "--from", hours_of(one)[5], "--to", hours_of(one)[6], "--force")
    assert asked(scripted)[-1] | {"run": None} == {
        "key": "music/plays",
        "keys": hours_of(one)[5:7],
        "spared": [],
        "trigger": "command",
        "force": True,
        "request_id": None,
        "run": None,
    }


def test_what_is_refused_is_named_and_resumed_once_it_is_mended(scripted: RunningDagster, ledger: Ledger) -> None:
    one = day(12)
    publish(ledger, "music/track_played", *hours_of(one))
    script = scripted.settings.home / "refuse.json"
    script.write_text(json.dumps([f"music/plays {hours_of(one)[3]}"]))
    try:
        found = backfill("music/plays", "--from", one, "--to", one, code=1)
    finally:
        script.unlink()
    assert found["backfill"]["unbuilt"] == {"music/plays": 1}
    again = backfill("--resume", found["backfill"]["id"])
    assert (again["backfill"]["targeted"], again["backfill"]["built"]) == (1, 1)
    assert asked(scripted)[-1]["keys"] == [hours_of(one)[3]]
    assert "nothing of it is left to build" in CliRunner().invoke(cli, ["backfill", "--resume", again["backfill"]["id"]]).stdout


def test_an_unknown_id_is_answered(scripted: RunningDagster) -> None:
    from platform_defs.running.dagster_client import DagsterRefused

    done = CliRunner().invoke(cli, ["backfill", "--resume", "nosuchid"])
    assert isinstance(done.exception, DagsterRefused)  # main() says it in a line


def test_left_by_ctrl_c_it_goes_on_cancelled_it_stops_and_is_resumed(scripted: RunningDagster, ledger: Ledger) -> None:
    first, last = day(10), day(9)
    home: Path = scripted.settings.home
    (home / "hold").touch()
    command = [sys.executable, "-m", "platform_defs.cli", "backfill", "music/track_played", "--from", first, "--to", last]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    child = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what it puts in the background deaf to Ctrl-C, and children inherit that: as a person's shell would start it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        until(lambda: any(hours_of(first)[0] in call["keys"] for call in asked(scripted)), 120, "the builder was asked")  # type: ignore[operator]
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
        assert child.returncode == 130, out + err
        identity = err.partition("--resume ")[2].partition(";")[0]
        assert f"backfill {identity} is started: {scripted.url}/runs/b/{identity}" in out
        assert "48 partitions in about 2 runs" in out
        assert f"The backfill goes on. Watch or resume it: ./backline backfill --resume {identity}; cancel it:" in err
        assert scripted.backfill_state(identity)["status"] == "REQUESTED"
        cancelled = backfill("--cancel", identity)
        assert (cancelled["backfill"]["status"], cancelled["backfill"]["built"]) == ("CANCELED", 0)
    finally:
        child.kill()
        (home / "hold").unlink()
    resumed = backfill("--resume", identity)
    assert resumed["backfill"]["status"] == "COMPLETED_SUCCESS"
    assert {*hours_of(first), *hours_of(last)} <= built(scripted, "music/track_played")
