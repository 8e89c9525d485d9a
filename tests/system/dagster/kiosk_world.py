"""The kiosks' two days on the whole platform: receivers in processes of their own, the planner through Dagster's schedules and sensor, builds on Spark.

What happens is in `play`, by a shifted clock that receivers, ledger, planner and builds share. What the kiosks sell is in fixtures.kiosks; what must come
of it is told by the tests.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from textwrap import dedent
from typing import Any

import dagster as dg
import httpx

from platform_defs.collection.tokens import add_client
from platform_defs.contracts.loading import load_domain
from platform_defs.execution.platform import Platform
from platform_defs.lake.landing import LandingStore
from platform_defs.lake.layout import Lake, Lane
from platform_defs.lake.reading import read_rows
from platform_defs.ledger import Ledger
from platform_defs.ledger.explaining import Explanation, explain
from platform_defs.privacy.vault import Vault
from platform_defs.privacy.workers import Deriver
from platform_defs.running.applying import apply
from resources.settings import Settings
from resources.spark import SparkEngines
from tests.fixtures.kiosks import BEGIN, CLIENT, RECEIVERS, SELF_TEST, Copy, at, copies
from tests.fixtures.receivers import ReceiverProcess
from tests.system.dagster.ticking import Place, TickHarness, places_of

CUP_SOLD, SALES, SALES_DAY = "kiosk/cup_sold", "kiosk/sales", "kiosk/sales_day"
# More rounds of ticks at one instant than any wave through three levels takes.
_MOST_TICKS = 12
_READER = "test-small-world"
_DOMAIN = {
    "domain.py": """
        from platform_defs.contracts import Domain, Lateness

        late = Lateness(settle=["1h", "6h", "24h"], share=0.4, hold="6h")
        domain = Domain(owner="team:kiosk", purpose="product", start="2024-10-07", retention="400d", readers=["group:analysts"], lateness=late)
        """,
    "events.py": """
        from typing import Literal

        from pydantic import Field

        from platform_defs.contracts import Event


        class CupSold(Event):
            \"\"\"A kiosk sold a cup.\"\"\"

            kiosk: str = Field(pattern=r"^k[0-9]{2}$")
            drink: Literal["coffee", "tea", "cocoa"]
            cents: int = Field(ge=0, le=100_000)
        """,
    "sales.py": """
        from pyspark.sql import DataFrame
        from pyspark.sql import functions as F

        from platform_defs.contracts import Schema, T, endpoint, field


        class Sales(Schema):
            \"\"\"Cups by drink.\"\"\"

            drink: T.StringType = field()
            cups: T.LongType = field(ge=1)
            cents: T.LongType = field(ge=0)
            dearest: T.LongType = field(le=2_000, description="What the dearest of them cost: no drink costs more than 20")

            class Config(Schema.Config):
                unique = ["drink"]


        @endpoint(schema=Sales, partitions="hourly", inputs={"sold": "kiosk/cup_sold"})
        def sales(sold: DataFrame) -> DataFrame:
            \"\"\"Sales of each drink.\"\"\"
            return sold.groupBy("drink").agg(F.count("*").alias("cups"), F.sum("cents").alias("cents"), F.max("cents").alias("dearest"))
        """,
    "days.py": """
        from pyspark.sql import DataFrame
        from pyspark.sql import functions as F

        from platform_defs.contracts import Schema, T, endpoint, field


        class SalesDay(Schema):
            \"\"\"Cups by drink and day.\"\"\"

            drink: T.StringType = field()
            cups: T.LongType = field(ge=1)
            cents: T.LongType = field(ge=0)

            class Config(Schema.Config):
                unique = ["drink"]


        @endpoint(schema=SalesDay, partitions="daily", inputs={"sales": "kiosk/sales"})
        def sales_day(sales: DataFrame) -> DataFrame:
            \"\"\"Sales of each drink in a day.\"\"\"
            return sales.groupBy("drink").agg(F.sum("cups").alias("cups"), F.sum("cents").alias("cents"))
        """,
}
# What its author does about the refused hour: a till's test of itself is no sale.
_BEFORE, _MENDED = 'sold.groupBy("drink")', 'sold.where("cents <= 2000").groupBy("drink")'


@dataclass
class Look:
    """What the planner asked for from one instant on until it had nothing left to ask for: partitions by the ticks that asked, and how runs ended."""

    at: datetime
    rounds: list[set[Place]] = field(default_factory=list)
    ended: list[tuple[frozenset[str], dg.DagsterRunStatus]] = field(default_factory=list)

    @property
    def asked(self) -> set[Place]:
        return set().union(*self.rounds)

    def of(self, endpoint: str) -> set[str]:
        return {key for name, key in self.asked if name == endpoint}


class World:
    """The platform and the kiosks before it.

    Attributes:
        accepted: the copies that receivers have accepted, in that order, as the oracle takes them. refused: how many they have not.
        looks: by instant, `07T06:10`. told: explanations of partitions as they were then, by instant and place.
    """

    def __init__(self, settings: Settings, ledger: Ledger, vault: Vault, engines: SparkEngines, instance: dg.DagsterInstance) -> None:
        self.settings, self.ledger, self.engines = settings, ledger, engines
        for name, text in _DOMAIN.items():
            path = settings.assets / "kiosk" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text).lstrip(), encoding="utf-8")
        (settings.assets / "__init__.py").touch()
        apply(settings, settings.assets)
        lake, landing = Lake(settings.lake), LandingStore(settings.landing)
        platform = Platform(engines, lake, landing, ledger, Deriver(vault), self._present, run_logs=settings.logs / "runs")
        self.harness = TickHarness(ledger, instance, [load_domain(settings.assets / "kiosk")], BEGIN, platform)
        self.receivers = {name: ReceiverProcess(name, settings.home, settings.ledger_url) for name in RECEIVERS}
        self.accepted: list[dict[str, Any]] = []
        self.refused = 0
        self.looks: dict[str, Look] = {}
        self.told: dict[tuple[str, Place], Explanation] = {}
        self._coming: list[Copy] = copies()
        self._kept: defaultdict[str, list[Copy]] = defaultdict(list)
        self._http = httpx.Client(
            headers={
                "Authorization": f"Bearer {add_client(settings.home / 'clients.json', CLIENT)}",
                "Content-Type": "application/cloudevents-batch+json",
            },
            timeout=60,
        )

    def play(self) -> None:
        """The two days and what comes of them until the last straggler."""
        for receiver in self.receivers.values():
            receiver.start(BEGIN)
        for when in ("07T06:10", "07T06:45"):
            self.look(when)
        self.deliver(at("07T20:10"), seal=True)
        self.deliver(at("07T20:45"))
        self.receivers["r2"].kill()
        self.look("07T21:10")
        self.explained("07T21:10", (CUP_SOLD, "2024-10-07T20"), (SALES, "2024-10-07T20"))
        self.deliver(at("07T21:45"))
        self.receivers["r2"].start(at("07T21:45"))
        self.try_again("r2", at("07T21:46"))
        self.look("08T00:10")
        self.explained("08T00:10", (SALES, SELF_TEST), (SALES_DAY, SELF_TEST[:10]))
        self.repair()
        for when in ("08T00:20", "09T00:10", "09T14:10"):
            self.look(when)
        assert not self._coming
        assert not self._kept
        for receiver in self.receivers.values():
            receiver.stop()

    def deliver(self, until: datetime, *, seal: bool = False) -> None:
        """Time passes: the kiosks hand in what is due by then. `seal`: every receiver that runs seals at its end."""
        due = [copy for copy in self._coming if copy.due <= until]
        self._coming = self._coming[len(due) :]
        for (instant, receiver), group in groupby(sorted(due, key=lambda copy: (copy.due, copy.receiver)), key=lambda copy: (copy.due, copy.receiver)):
            self._hand_in(receiver, instant, list(group))
        for receiver in self.receivers.values():
            if receiver.runs:
                receiver.at(until)
                if seal:
                    receiver.seal()

    def try_again(self, receiver: str, instant: datetime) -> None:
        """The kiosks hand in what a receiver did not answer."""
        self._hand_in(receiver, instant, self._kept.pop(receiver))

    def look(self, when: str) -> None:
        """What was handed in by then is sealed; then schedules and sensor tick, and their runs build, until there is nothing to ask for."""
        self.deliver(at(when), seal=True)
        self.harness.now = at(when)
        look = self.looks[when] = Look(at(when))
        for _ in range(_MOST_TICKS):
            ticked = self.harness.tick()
            if not ticked.runs:
                return
            look.rounds.append(set(ticked.places))
            for run in ticked.runs:
                look.ended.append((frozenset(endpoint for endpoint, _ in places_of(run)), run.status))
                for zone in ("intake", "lake"):
                    self.engines.engine(zone).release(run.run_id)  # type: ignore[arg-type]
        raise AssertionError(f"{when}: still asking after {_MOST_TICKS} ticks: {look.rounds[-3:]}")

    def explained(self, when: str, *places: Place) -> None:
        """Keeps what `backline why` knows of these now."""
        self.told |= {(when, place): explain(self.ledger, *place) for place in places}

    def repair(self) -> None:
        """The author of the sales mends them."""
        path = self.settings.assets / "kiosk" / "sales.py"
        text = path.read_text(encoding="utf-8")
        assert _BEFORE in text
        path.write_text(text.replace(_BEFORE, _MENDED), encoding="utf-8")
        apply(self.settings, self.settings.assets)
        self.harness.deploy([load_domain(self.settings.assets / "kiosk", fresh=True)])

    def rows(self, endpoint: str, lane: Lane = "table") -> list[dict[str, Any]]:
        """What is published."""
        session = self.engines.engine("lake").session(_READER)
        return list(read_rows(session, Lake(self.settings.lake), self.ledger.registry.current()[endpoint], lane=lane))

    def builds(self, endpoint: str) -> dict[str, list[datetime]]:
        """When each partition was published, oldest first."""
        found: defaultdict[str, list[datetime]] = defaultdict(list)
        cadence = self.ledger.registry.current()[endpoint].cadence
        for attempt in reversed(self.ledger.attempts.of(endpoint, cadence, limit=1000)):
            if attempt.outcome == "published":
                found[attempt.partition].append(attempt.ended_at)
        return dict(found)

    def close(self) -> None:
        """Ends what still runs."""
        for receiver in self.receivers.values():
            if receiver.runs:
                receiver.kill()
        self._http.close()
        self.engines.engine("lake").release(_READER)

    def _present(self) -> datetime:
        """What builds read: a little later each time, so that one that follows another ends after it."""
        self.harness.now += timedelta(milliseconds=1)
        return self.harness.now

    def _hand_in(self, receiver: str, instant: datetime, batch: list[Copy]) -> None:
        one = self.receivers[receiver]
        if one.runs:
            one.at(instant)
        try:
            answer = self._http.post(f"{one.url}/events", json=[copy.event for copy in batch])
        except httpx.TransportError:  # nobody answers: it is handed in again
            self._kept[receiver] += batch
            return
        assert answer.status_code == 202, answer.text
        for copy, verdict in zip(batch, answer.json()["events"], strict=True):
            assert (verdict["id"], verdict["status"]) == (copy.id, "accepted" if copy.good else "rejected"), verdict
            if copy.good:
                self.accepted.append({"receiver": receiver, "handed_in": instant, "id": copy.id, "time": copy.time, **copy.data})
            else:
                self.refused += 1
