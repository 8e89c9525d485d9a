"""The domain `music` at a present that moves: what its receiver seals, what runs publish, what a tick asks for."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from platform_defs.build.definitions import build_defs
from platform_defs.contracts.partitions import keys_between
from platform_defs.lake.landing import SealManifest, Segment, segment_path
from platform_defs.ledger import Ledger
from platform_defs.ledger.outcomes import Outcome, RunInfo
from platform_defs.planning.facts import Counts, Published
from sensors.late_data import decide_on
from tests.system.dagster.domains import loaded

NOW = datetime(2024, 10, 10, 12, 30, tzinfo=UTC)
PLAYED, PLAYS, PLAYS_DAY = "music/track_played", "music/plays", "music/plays_day"


class World:
    """A domain, its ledger and an instance, at a present that moves."""

    def __init__(self, ledger: Ledger, instance: dg.DagsterInstance, folder: Path) -> None:
        self.ledger, self.instance, self.now, self.seals = ledger, instance, NOW, 0
        ledger.store.clock = lambda: self.now
        self.domain = loaded(folder, "music")
        ledger.registry.apply(self.domain.contracts, "test")
        self.repository = build_defs("music", loaded=self.domain, known={}, ledger=lambda: ledger).get_repository_def()
        self.cursor: str | None = None

    def land(self, hour: str, rows: int) -> None:
        """The one receiver seals rows of an hour now."""
        self.seals += 1
        path = segment_path(PLAYED, hour, "r1", self.seals)
        segment = Segment(event=PLAYED, hour=hour, path=path, rows=rows, size=rows, sha256="00" * 32)
        manifest = SealManifest(receiver="r1", seal=self.seals, sealed_at=self.now, sealed_until=self.now, segments=(segment,), accounts=())
        self.ledger.landing.beat("r1", self.now, self.now)
        self.ledger.landing.record_seal(manifest)

    def publish(self, endpoint: str, keys: Sequence[str], rows: int = 5, content: bytes = b"c" * 16, pins: Mapping[str, str] | None = None) -> None:
        """A run publishes these partitions now."""
        contract = self.ledger.registry.current()[endpoint]
        counts = Counts(landed=rows, good=rows) if contract.kind == "event" else None
        seen = {decision.partition: decision.inputs for decision in decide_on(self.ledger, {(endpoint, key) for key in keys})}
        outcomes = []
        for key in keys:
            version = Published(content, seen.get(key, b""), rows, 1, contract.code_version, self.now, "run", counts, pins or {})
            outcomes.append(Outcome(endpoint, key, "published", published=version))
        self.ledger.partitions.record(outcomes, RunInfo("run", "schedule", self.now, self.now))

    def schedule(self, cadence: str) -> list[dg.RunRequest] | str:
        """One tick of a schedule: what it asks for, or why it does not."""
        schedule = self.repository.get_schedule_def(f"music_{cadence}")
        context = dg.build_schedule_context(instance=self.instance, scheduled_execution_time=self.now, repository_def=self.repository)
        data = schedule.evaluate_tick(context)
        return list(data.run_requests) if data.run_requests else str(data.skip_message)

    def sensor(self) -> Any:
        """One tick of the late-data sensor."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, repository_def=self.repository)
        data = self.repository.get_sensor_def("music_late_data").evaluate_tick(context)
        self.cursor = data.cursor
        return data

    def run(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
        """Dagster has a run for that request, in that status."""
        self.instance.add_run(dg.DagsterRun(job_name=request.job_name or "", tags=dict(request.tags), status=status))


def asked(requests: list[dg.RunRequest] | str) -> set[tuple[str, str, str]]:
    """(endpoint, first, last) of what was asked."""
    assert not isinstance(requests, str), requests
    return {
        (key.to_user_string(), request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"])
        for request in requests
        for key in request.asset_selection or []
    }


def requests_of(world: World) -> list[dg.RunRequest]:
    """What a tick of the hours' schedule asks for, when it must ask for something."""
    told = world.schedule("hourly")
    assert not isinstance(told, str), told
    return told


def covers(request: dg.RunRequest, endpoint: str, key: str) -> bool:
    """Whether a run was asked to build that partition."""
    return (endpoint, key) in {(name, each) for name, low, high in asked([request]) for each in keys_between(low, high)}
