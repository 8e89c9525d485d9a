"""What any run launcher must do, asked of the warm one and of Dagster's default: one suite, through the real daemon, web server and processes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from platform_defs.build.dagster_private import WorkerStatus
from platform_defs.build.instance import Launcher, open_instance
from platform_defs.ledger.embedded import EmbeddedPostgres
from platform_defs.running import services, web_pages
from platform_defs.running.processes import Children
from platform_defs.running.run_sockets import ask
from tests.fixtures.dagster import CHECKOUT, RunningDagster, running_dagster, until
from tests.system.dagster.conftest import settings_in
from tests.system.dagster.domains import write_domains

MODULE = "tests.system.dagster.scripted"
DOMAIN, PRICES, ROYALTIES_DAY = "sales", "sales/prices", "sales/royalties_day"


@dataclass
class Launched:
    """A Dagster with one of the launchers, over the scripted builder."""

    kind: Launcher
    dagster: RunningDagster
    days: Iterator[int] = field(default_factory=lambda: iter(range(1, 32)))

    @property
    def home(self) -> Path:
        return self.dagster.settings.home

    @property
    def children(self) -> Children:
        assert self.dagster.children is not None
        return self.dagster.children

    @property
    def host(self) -> int:
        """The process that serves the location's code, and with the warm launcher forks its runs."""
        return self.children.pids()[services.code_server_name(DOMAIN)]

    def start_host(self) -> None:
        """What the supervisor starts in the place of one that was killed or is to be drained."""
        make = services.host if self.kind == "warm" else services.code_server
        self.children.start(make(self.dagster.settings, DOMAIN, CHECKOUT, MODULE))

    def reload(self) -> None:
        """Loads the location anew, as a save does."""
        old, port = self.host, int(self.dagster.url.rpartition(":")[2])
        if self.kind == "warm":
            self.children.retire(services.code_server_name(DOMAIN))
            self.start_host()
        web_pages.reload_location(port, DOMAIN)
        if self.kind == "warm":
            os.kill(old, signal.SIGUSR1)

    def day(self) -> str:
        """A day that nobody had yet."""
        return f"2024-10-{next(self.days):02}"

    def launch(self, *keys: str, day: str = "") -> str:
        """A run of one day."""
        return self.dagster.launch(DOMAIN, keys or [PRICES], {"dagster/partition": day or self.day()})

    def asked(self, run: str) -> set[str]:
        """The assets whose builder has been asked in a run."""
        return {path.name.rpartition(run)[2].removesuffix(".json")[1:].replace(".", "/") for path in (self.home / "built").glob(f"*{run}*")}

    def held(self, *keys: str, day: str = "") -> tuple[str, psutil.Process]:
        """A run in the middle of its work, and its process."""
        (self.home / "hold").touch()
        run = self.launch(*keys, day=day)
        until(lambda: self.asked(run) == {*(keys or [PRICES])}, 90, "the builders are asked")
        return run, psutil.Process(until(lambda: self.dagster.process_of(run), 30, "the run's process is known"))

    def release(self) -> None:
        (self.home / "hold").unlink(missing_ok=True)

    def health(self, run: str) -> WorkerStatus | None:
        """What the launcher knows of a run's process; None where it cannot know."""
        with open_instance(self.dagster.settings) as instance:
            found = instance.get_run_by_id(run)
            assert found is not None
            launcher = instance.run_launcher
            return launcher.check_run_worker_health(found).status if launcher.supports_check_run_worker_health else None


def gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # between the two questions
        return True


@pytest.fixture(scope="module", params=["warm", "default"])
def launched(request: pytest.FixtureRequest, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    home = tmp_path_factory.mktemp("runs")
    write_domains(home)
    settings = settings_in(home, postgres, f"dagster_runs_{request.param}")
    settings.write()
    with running_dagster(settings, [DOMAIN], MODULE, request.param) as dagster:
        yield Launched(request.param, dagster)


@pytest.fixture(autouse=True)
def nothing_held(launched: Launched) -> Iterator[None]:
    yield
    launched.release()


def test_a_run_succeeds_and_its_page_shows_what_it_printed(launched: Launched) -> None:
    run = launched.launch()
    assert launched.dagster.wait_run(run) == "SUCCESS"
    assert f"{PRICES}: asked for 1 partitions" in launched.dagster.output_of(run)


def test_a_run_fails_in_words(launched: Launched) -> None:
    day = launched.day()
    (launched.home / "refuse.json").write_text(json.dumps([f"{PRICES} {day}"]))
    try:
        run = launched.launch(day=day)
        assert launched.dagster.wait_run(run) == "FAILURE"
    finally:
        (launched.home / "refuse.json").unlink()
    assert f"{PRICES}: 1 of 1 partition not published (1 refused)" in launched.dagster.failure_of(run)


def test_a_terminated_run_ends_with_all_its_builds(launched: Launched) -> None:
    day = launched.day()
    run, process = launched.held(PRICES, ROYALTIES_DAY, day=day)
    assert launched.health(run) in (WorkerStatus.RUNNING, None)
    launched.dagster.terminate(run)
    assert launched.dagster.wait_run(run) == "CANCELED"
    until(lambda: gone(process), 30, "the run's process ends")
    assert not {day} & {*launched.dagster.materialised(PRICES), *launched.dagster.materialised(ROYALTIES_DAY)}


def test_a_killed_run_is_found_and_failed(launched: Launched) -> None:
    run, process = launched.held()
    process.kill()
    until(lambda: gone(process), 30, "the run's process ends")
    assert launched.health(run) in (WorkerStatus.NOT_FOUND, None)
    assert launched.dagster.wait_run(run) == "FAILURE"


def test_runs_of_before_a_reload_end_where_they_began(launched: Launched) -> None:
    (before, process), old = launched.held(), psutil.Process(launched.host)
    launched.reload()
    after, other = launched.held()
    if launched.kind == "warm":
        assert (process.ppid(), other.ppid()) == (old.pid, launched.host)
        assert ask(launched.dagster.settings.run, DOMAIN, {"op": "status"}) == {"pid": launched.host, "running": 1}
    launched.release()
    assert [launched.dagster.wait_run(run) for run in (before, after)] == ["SUCCESS", "SUCCESS"]
    if launched.kind == "warm":
        until(lambda: gone(old), 30, "the old host ends")


def test_runs_go_on_when_what_started_them_crashes(launched: Launched) -> None:
    """The last one: what is killed here is the run host, or the default launcher's code server."""
    one, process = launched.held()
    two, other = launched.held()
    psutil.Process(process.ppid()).kill()
    if launched.kind == "warm":
        launched.children.stop_one(services.code_server_name(DOMAIN))  # its name is free, its group ended, as the supervisor does
        launched.start_host()
        assert launched.health(two) is WorkerStatus.RUNNING
        launched.dagster.terminate(two)
        assert launched.dagster.wait_run(two) == "CANCELED"
        until(lambda: gone(other), 30, "the terminated run's process ends")
    launched.release()
    assert launched.dagster.wait_run(one) == "SUCCESS"
    if launched.kind == "warm":
        assert launched.dagster.wait_run(launched.launch()) == "SUCCESS"
