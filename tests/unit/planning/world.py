"""A small world written by hand, to ask the planner about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import window_of
from platform_defs.planning.facts import Counts, EndpointFacts, Facts, InFlight, Landed, Pause, Published, Receiver, Trouble
from platform_defs.planning.inputs import view_inputs
from platform_defs.planning.states import Decision, decide

MIDNIGHT = datetime(2026, 10, 1, tzinfo=UTC)


def at(hour: float, day: int = 1) -> datetime:
    """An instant of October 2026."""
    return MIDNIGHT + timedelta(days=day - 1, hours=hour)


class World:
    """Facts that can be changed one at a time. `build` publishes as a run would, from what is published then."""

    def __init__(self, *contracts: Contract) -> None:
        self.facts = {contract.key: EndpointFacts(contract, {}, {}, {}, {}, {}) for contract in contracts}
        self.receivers: list[Receiver] = []
        self.pauses: list[Pause] = []

    def build(self, endpoint: str, *partitions: str, when: datetime | None = None, content: str = "c", **given: Any) -> None:
        for partition in partitions:
            instant = when or window_of(partition).end + timedelta(minutes=10)
            old = self.published(endpoint).get(partition)
            contract = self.facts[endpoint].contract
            view = view_inputs(contract, partition, self.contracts, self.content, given.get("pins"))
            rows = self.landed(endpoint)[partition].rows if partition in self.landed(endpoint) else 0
            new = Published(
                content=content.encode(),
                inputs=view.digest,
                rows=rows,
                version=1,
                code=contract.code_version,
                built_at=instant,
                run_id="run-1",
                counts=Counts(landed=rows, good=rows) if contract.kind == "event" else None,
                pins=view.pins,
                first_built_at=old.first_built_at if old else instant,
                changed_at=old.changed_at if old and old.content == content.encode() else instant,
                seen_at=instant,
            )
            self.published(endpoint)[partition] = replace(new, **{name: value for name, value in given.items() if name != "pins"})
            self.troubles(endpoint).pop(partition, None)

    def land(self, event: str, partition: str, rows: int, when: datetime) -> None:
        old = self.landed(event).get(partition)
        self.landed(event)[partition] = Landed((old.rows if old else 0) + rows, (old.segments if old else 0) + 1, when)

    def trouble(self, endpoint: str, partition: str, state: str, when: datetime, again: datetime | None = None, tries: int = 1, **given: Any) -> None:
        inputs = view_inputs(self.facts[endpoint].contract, partition, self.contracts, self.content).digest
        code = self.facts[endpoint].contract.code_version
        values: dict[str, Any] = {"inputs": inputs, "code": code} | given
        self.troubles(endpoint)[partition] = Trouble(state, f"it {state}", tries, when, again, run_id="run-0", **values)  # type: ignore[arg-type]

    def flight(self, endpoint: str, partition: str, stage: str, when: datetime) -> None:
        self.facts[endpoint].in_flight[partition] = InFlight(stage, "run-2", when)  # type: ignore[arg-type, index]

    def change(self, endpoint: str, **given: Any) -> None:
        """A new contract, as after an apply."""
        self.facts[endpoint] = replace(self.facts[endpoint], contract=self.facts[endpoint].contract.model_copy(update=given))

    def decide(self, now: datetime, since: datetime = MIDNIGHT, asked: Iterable[str] | None = None) -> dict[str, Decision]:
        """Decisions by `endpoint partition`."""
        facts = Facts(since, now, tuple(asked or self.facts), self.facts, tuple(self.receivers), tuple(self.pauses))
        return {f"{each.endpoint} {each.partition}": each for each in decide(facts, now)}

    @property
    def contracts(self) -> dict[str, Contract]:
        return {key: each.contract for key, each in self.facts.items()}

    def content(self, endpoint: str, partition: str) -> bytes | None:
        found = self.published(endpoint).get(partition)
        return found.content if found else None

    def published(self, endpoint: str) -> dict[str, Published]:
        return self.facts[endpoint].published  # type: ignore[return-value]

    def troubles(self, endpoint: str) -> dict[str, Trouble]:
        return self.facts[endpoint].troubles  # type: ignore[return-value]

    def landed(self, endpoint: str) -> dict[str, Landed]:
        return self.facts[endpoint].landed  # type: ignore[return-value]

    def reopened(self, event: str) -> dict[str, datetime]:
        return self.facts[event].reopened  # type: ignore[return-value]
