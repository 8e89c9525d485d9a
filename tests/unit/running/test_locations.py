"""Locations: what was applied is loaded by one host a domain, whatever the web server does and whether the new code starts. Scripts stand for the hosts."""

from __future__ import annotations

import errno
import functools
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_defs.build.snapshot import activate, snapshot, withdraw
from platform_defs.running import locations, services
from platform_defs.running.home import Home, wait_until
from platform_defs.running.locations import Locations
from platform_defs.running.processes import Children, Spec
from platform_defs.running.run_process import started_at
from resources.settings import Settings

# Loads the applied file, says who it is, ends when it is drained.
HOST = """
import os, pathlib, signal, sys
pids, ready, applied = map(pathlib.Path, sys.argv[1:])
with pids.open("a") as file:
    file.write(f"{os.getpid()}\\n")
exec(applied.read_text())
signal.signal(signal.SIGUSR1, lambda *_: sys.exit())
ready.touch()
while True:
    signal.pause()
"""
GOOD, BROKEN = "number = {}", "raise SystemExit('it does not start')"


@dataclass
class Web:
    """A web server that answers as Dagster's does when it loads a location or the list of them, or that says it cannot."""

    well: bool = True
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        web = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name = sent["variables"].get("name")
                web.asked.append(name or "all")
                answer: dict[str, Any] = {"reloadRepositoryLocation": {"__typename": "WorkspaceLocationEntry"}, "reloadWorkspace": {"__typename": "Workspace"}}
                body = json.dumps({"data": answer} if web.well else {"errors": [{"message": "it starts"}]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@dataclass
class World:
    """Locations over a home of their own, with the domains that are applied in it."""

    root: Path
    web: Web
    children: Children
    settings: Settings
    told: list[str] = field(default_factory=list)

    @functools.cached_property
    def locations(self) -> Locations:
        return Locations(self.children, self.settings, self.root, self.web.port, self.told.append)

    def apply(self, text: str, domain: str = "shop") -> None:
        folder = self.settings.assets / domain
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "domain.py").write_text(text)
        activate(self.settings.home, snapshot(self.settings.home, self.settings.assets, domain))

    def open_pages(self) -> None:
        self.children.start(Spec(services.WEB, (sys.executable, "-c", "import signal; signal.pause()")))

    def spec(self, settings: Settings, domain: str, checkout: Path) -> Spec:
        ready = self.root / f"ready-{domain}-{len(self.hosts(domain))}"
        current = (settings.home / "applied" / domain / "current").read_text()
        file = settings.home / "applied" / domain / current / "assets" / domain / "domain.py"
        command = (sys.executable, "-c", HOST, str(self.root / f"pids-{domain}"), str(ready), str(file))
        return Spec(services.code_server_name(domain), command, ready=ready.exists)

    def hosts(self, domain: str = "shop") -> list[int]:
        """All hosts of a domain that were ever started, the newest last."""
        pids = self.root / f"pids-{domain}"
        return [int(line) for line in pids.read_text().split()] if pids.exists() else []


def ended(pid: int) -> bool:
    return wait_until(lambda: started_at(pid) is None, 30)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="loc-") as name:  # short: a home's path may not be long
        home = Home(Path(name))
        home.prepare()
        nowhere = "postgresql://nobody@127.0.0.1:1/none"
        settings = Settings(
            home=home.root,
            landing=str(home.root / "landing"),
            lake=str(home.root / "lake"),
            ledger_url=nowhere,
            vault_url=nowhere,
            storage_url=nowhere,
            spark_intake="sc://localhost:1",
            spark_lake="sc://localhost:1",
            collector_url="http://127.0.0.1:1",
            assets=tmp_path / "assets",
        )
        settings.assets.mkdir()
        web, children = Web(), Children(home.logs, f"test-{os.getpid()}-{tmp_path.name}", lambda _: None)
        made = World(tmp_path, web, children, settings)
        monkeypatch.setattr(services, "host", made.spec)
        try:
            yield made
        finally:
            children.hurry()
            children.stop([])
            web.server.shutdown()
            web.server.server_close()


def test_a_saved_file_is_one_new_host_and_the_end_of_the_old_one(world: World) -> None:
    world.apply(GOOD.format(1))
    assert world.locations.follow() == ["shop"]
    world.open_pages()
    world.apply(GOOD.format(2))
    assert world.locations.follow() == ["shop"]
    assert world.locations.follow() == []
    old, new = world.hosts()
    assert ended(old)
    assert world.children.pids()["code-shop"] == new
    assert (world.web.asked, world.told) == (["shop"], [])


def test_a_web_server_that_does_not_answer_costs_no_host_and_is_asked_until_it_does(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "_SHOW_PAUSES", (0.0,))
    world.apply(GOOD.format(1))
    world.locations.follow()
    world.open_pages()
    world.web.well = False
    world.apply(GOOD.format(2))
    assert [world.locations.follow() for _ in range(4)] == [[]] * 4
    old, new = world.hosts()
    assert ended(old)
    assert started_at(new) is not None
    assert world.told == ["the web pages do not show shop as it is now (it starts): they are asked again until they do"]
    world.web.well = True
    assert [world.locations.follow() for _ in range(2)] == [["shop"], []]
    assert world.hosts() == [old, new]
    assert world.web.asked == ["shop"] * 5


def test_new_code_that_does_not_start_leaves_the_old_host_until_a_mended_one_is_there(world: World) -> None:
    world.apply(GOOD.format(1))
    world.locations.follow()
    world.open_pages()
    world.apply(BROKEN)
    assert [world.locations.follow() for _ in range(3)] == [[]] * 3
    old, _ = world.hosts()
    assert started_at(old) is not None
    [told] = world.told
    assert "shop was not loaded" in told
    assert "it does not start" in told
    world.apply(GOOD.format(2))
    assert world.locations.follow() == ["shop"]
    assert ended(old)
    assert world.children.pids()["code-shop"] == world.hosts()[-1]
    assert len(world.hosts()) == 3


def test_going_back_to_the_old_code_is_a_host_that_is_looked_after(world: World) -> None:
    world.apply(GOOD.format(1))
    world.locations.follow()
    world.open_pages()
    for text, live in ((BROKEN, []), (GOOD.format(1), ["shop"])):
        world.apply(text)
        assert world.locations.follow() == live
    assert ended(world.hosts()[0])
    assert world.children.pids()["code-shop"] == world.hosts()[-1]


def test_what_does_not_start_is_tried_again_after_a_pause_that_grows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "_START_PAUSES", (0.0, 0.0, 3600.0))
    assert world.locations.follow() == []
    world.open_pages()
    world.apply(BROKEN)
    for _ in range(6):
        assert world.locations.follow() == []
    assert len(world.hosts()) == 3
    assert [told.partition("again in ")[2].partition(" s")[0] for told in world.told] == ["0", "0", "3600"]
    assert world.web.asked == ["all"]


def test_a_domain_that_came_or_went_is_told_until_the_web_server_knows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "_SHOW_PAUSES", (0.0,))
    assert world.locations.follow() == []
    world.open_pages()
    world.web.well = False
    world.apply(GOOD.format(1))
    assert world.locations.follow() == []
    world.web.well = True
    assert world.locations.follow() == ["shop"]
    assert world.web.asked == ["all", "all", "shop"]
    assert domains_of_served(world) == ["shop"]
    withdraw(world.settings.home, "shop")
    assert world.locations.follow() == ["shop"]
    assert ended(world.hosts()[-1])
    assert (world.web.asked[3:], domains_of_served(world)) == (["all"], [])


def test_a_domain_that_goes_while_its_new_code_does_not_start_leaves_no_host(world: World) -> None:
    world.apply(GOOD.format(1))
    world.locations.follow()
    world.open_pages()
    world.apply(BROKEN)
    world.locations.follow()
    withdraw(world.settings.home, "shop")
    assert world.locations.follow() == ["shop"]
    assert ended(world.hosts()[0])


def test_a_list_that_could_not_be_written_is_written_by_the_next_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    write = locations.served_workspace

    def full(*_: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    world.open_pages()
    assert world.locations.follow() == []
    world.apply(GOOD.format(1))
    monkeypatch.setattr(locations, "served_workspace", full)
    with pytest.raises(OSError, match="No space left"):
        world.locations.follow()
    monkeypatch.setattr(locations, "served_workspace", write)
    assert world.locations.follow() == ["shop"]
    assert (world.web.asked, domains_of_served(world)) == (["all", "shop"], ["shop"])


def domains_of_served(world: World) -> list[str]:
    return [entry["grpc_server"]["location_name"] for entry in yaml.safe_load(world.locations.workspace.read_text())["load_from"]]
