"""The demo's steps, each of which may be done alone: send, build, send late, wait until all is current. How they are shown is the command's matter."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from platform_defs.cli.demo import flights
from platform_defs.cli.demo.aviation import FIRST_HOUR
from platform_defs.cli.demo.crowd import CLIENT, Crowd
from platform_defs.cli.demo.sent import Sent
from platform_defs.cli.demo.table import Row, rows
from platform_defs.collection.sdk import Client
from platform_defs.collection.tokens import add_client
from platform_defs.lake.layout import Lake
from platform_defs.ledger import Ledger
from platform_defs.ledger.decisions import pause, resume
from platform_defs.planning.states import PartitionState, decide
from platform_defs.running.dagster_client import DagsterClient

if TYPE_CHECKING:
    from resources.settings import Settings

Say = Callable[[str], None]
# Shows one step while it goes on: given what it does, yields a callable for how far it is.
Step = Callable[[str], AbstractContextManager[Say]]

_LOOK_SECONDS = 1.0
_BACKFILL_SECONDS = 2.0  # asked more often, the web server works for the demo's progress line instead of for runs
_PATIENCE_SECONDS = 900.0
# The newest hour closes only after its grace of two minutes; what ended this long ago must be there.
_JUST_ENDED = timedelta(minutes=5)
_LOOK_BACK = timedelta(hours=48)
_HISTORY = "the demo's flights are history: no new hour comes"
_LISTENING = ("catalogue", "listening", "charts")


class DemoStuck(RuntimeError):
    """A step did not come to its end; the message says what it waits for and where to look."""


def silent(words: str) -> AbstractContextManager[Say]:
    """Shows nothing."""
    return nullcontext(lambda more: None)


class Demo:
    """One demo in a running Backline.

    Args:
        days: of flights, from 2026-01-06.
    """

    def __init__(self, settings: Settings, days: int, step: Step = silent) -> None:
        self._settings, self._days, self._step = settings, flights.Days(days), step
        self._ledger = Ledger(settings.ledger_url)
        self._sent = Sent.load(settings.home)
        self._saving = threading.Lock()

    def run(self) -> list[Row]:
        """Does what is not done yet; the closing table's rows. Listeners must be at it already (`listeners`)."""
        self.rest_schedules()
        self.send_flights()
        self.build_flights()
        self.send_late_flights()
        self.leave_flights()
        self.settle_listening()
        return rows(self._ledger, datetime.now(UTC))

    @contextmanager
    def listeners(self, go_on: bool = True) -> Iterator[Crowd]:
        """Listeners who hand in the last hours at once and, if `go_on`, more while this is open."""
        with self._client(CLIENT) as (phones, _):
            crowd = Crowd(phones, self._sent, lambda until: self._note(listening_until=until))
            with self._step("listeners' phones hand in the last hours") as say:
                say(f"{crowd.catch_up():,} events")
            if go_on:
                crowd.start()
            try:
                yield crowd
            finally:
                crowd.stop()

    def leave_flights(self) -> None:
        """Pauses aviation: flights are history, and the hours since then, of which nothing comes, are nobody's trouble. A person's builds go on."""
        pause(self._ledger, Lake(self._settings.lake), flights.DOMAIN, _HISTORY)

    def take_up_flights(self) -> None:
        """Ends that pause, so that late events are followed again."""
        if any(one.name == flights.DOMAIN and one.why == _HISTORY for one in self._ledger.pauses.open()):
            resume(self._ledger, Lake(self._settings.lake), flights.DOMAIN, "late flights come")

    def rest_schedules(self) -> None:
        """Switches aviation's schedules off: they would build all the hours since. Backfills build flights, the late-data sensor rebuilds them."""
        with DagsterClient(str(self._settings.dagster_url)) as dagster:
            for cadence in ("hourly", "daily"):
                dagster.stop_schedule(flights.DOMAIN, f"{flights.DOMAIN}_{cadence}")

    def send_flights(self) -> None:
        """Sends the flights and the weather but for those that come late; waits until they are sealed."""
        if self._sent.flights_until is not None and self._sent.flights_until >= self._days.sent_until:
            return
        with self._step("flights and weather go to the collector") as say, self._client(flights.CLIENT) as (tower, token):
            count = flights.send(self._days, self._sent, tower, self._settings, token, lambda done, total: say(f"{done:,} of {total:,}"))
            self.wait_sealed()
            self._note(flights_until=self._days.sent_until)
            say(f"{count:,} events, sealed")

    def build_flights(self) -> None:
        """Has Dagster backfill what is not built yet."""
        contracts = self._ledger.registry.current()
        ranges = flights.missing(flights.targets(self._days, contracts), contracts, self._ledger.partitions.ranges)
        if not ranges:
            return
        with self._step("a Dagster backfill builds them") as say, DagsterClient(str(self._settings.dagster_url)) as dagster:

            def asked() -> int:
                return flights.backfill(dagster, ranges, lambda done, total: say(f"{done} of {total} partitions"), lambda: _pause(_BACKFILL_SECONDS))

            try:
                built = asked()
            except flights.NotBuilt as error:  # a passing error, or another run held a partition: asked again, what is current is left alone
                say(f"{error}: asking again")
                built = asked()
            say(f"{built} partitions")

    def send_late_flights(self) -> None:
        """Sends those that come late; waits until the planner has rebuilt what they touch."""
        if self._sent.late_until is not None and self._sent.late_until >= self._days.sent_until:
            return
        self.take_up_flights()
        with self._step("late events arrive") as say, self._client(flights.CLIENT) as (tower, _):
            count = flights.send_late(self._days, self._sent, tower)
            self.wait_sealed()
            say(f"{count} events")
        with self._step("what they touch is rebuilt") as say:
            self._settle((flights.DOMAIN,), FIRST_HOUR - timedelta(days=1), self._days.sent_until, say)
        self._note(late_until=self._days.sent_until)

    def settle_listening(self) -> None:
        """Waits until the schedules have built what listeners did up to a few minutes ago."""
        with self._step("schedules build listening and charts") as say:
            now = datetime.now(UTC)
            self._settle(_LISTENING, now - _LOOK_BACK, now - _JUST_ENDED, say)

    def wait_sealed(self) -> None:
        """Waits until all that was acknowledged so far is sealed and recorded."""
        acknowledged, begun = datetime.now(UTC), time.monotonic()
        while True:
            live = [one for one in self._ledger.landing.receivers() if one.state == "live"]
            if live and all(one.sealed_until is not None and one.sealed_until >= acknowledged for one in live):
                return
            if time.monotonic() - begun > _PATIENCE_SECONDS:
                raise DemoStuck(f"the collector does not seal: see {self._settings.logs}/collector.log")
            _pause()

    def _settle(self, domains: tuple[str, ...], since: datetime, until: datetime, say: Say) -> None:
        """Waits until the planner asks for nothing in these domains and nothing of theirs is in flight."""
        keys = [key for key, contract in self._ledger.registry.current().items() if contract.domain in domains]
        moving = {PartitionState.REQUESTED, PartitionState.RUNNING}
        begun, quiet = time.monotonic(), 0
        while quiet < 2:  # twice in a row: between two levels of a wave there is an instant with nothing to do
            now = datetime.now(UTC)
            left = [one for one in decide(self._ledger.facts(keys, since, until), now) if one.ask or one.state in moving]
            quiet = 0 if left else quiet + 1
            say(f"{len(left)} partitions to go" if left else "all current")
            if time.monotonic() - begun > _PATIENCE_SECONDS:
                names = ", ".join(sorted({one.endpoint for one in left}))
                raise DemoStuck(f"still not built after {_PATIENCE_SECONDS / 60:.0f} minutes: {names}. ./backline status says why")
            _pause()

    @contextmanager
    def _client(self, name: str) -> Iterator[tuple[Client, str]]:
        token = add_client(self._settings.home / "clients.json", name)
        buffer = self._settings.home / "demo" / f"{name}.db"
        buffer.parent.mkdir(mode=0o700, exist_ok=True)
        with Client(str(self._settings.collector_url), token, buffer) as client:
            yield client, token

    def _note(self, **changed: datetime) -> None:
        with self._saving:
            self._sent = self._sent.model_copy(update=changed)
            self._sent.save(self._settings.home)


def _pause(seconds: float = _LOOK_SECONDS) -> None:
    threading.Event().wait(seconds)
