"""A full code location beside its rival, measured in this process: what `planning` starts a few times. Prints one JSON line.

The location is written as authors write: files of fifty endpoints, each reading the one before it and an event type. The rival has as many assets with the
same inputs and partitions, under `AutomationCondition.eager()`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import dagster as dg
from sqlalchemy import text

from platform_defs.contracts.partitions import keys_between
from platform_defs.ledger import Ledger
from platform_defs.ledger.outcomes import Outcome, RunInfo
from platform_defs.planning.facts import Counts, Published
from sensors.run_tags import RANGE_END, RANGE_START

NOW = datetime(2026, 10, 10, 12, 5, tzinfo=UTC)
START = "2026-10-08"
_A_FILE = 50
_LONGEST_CHAIN = 10
_RANGE = 24
_BUILT = 10

_HEAD = '''
from pyspark.sql import DataFrame

from platform_defs.contracts import Schema, T, endpoint, field


class Counted(Schema):
    """Counts."""

    n: T.LongType = field(ge=0)
'''
_ENDPOINT = '''

@endpoint(schema=Counted, partitions="hourly", inputs={{{inputs}}})
def x{number}({params}) -> DataFrame:
    """Number {number}."""
    return heard.groupBy().count()
'''


def write(folder: Path, endpoints: int) -> Path:
    """Writes the domain; its folder."""
    domain = folder / "crowd"
    domain.mkdir(parents=True, exist_ok=True)
    said = f'domain = Domain(owner="team:bench", purpose="bench", tier="normal", start="{START}", retention="400d", readers=["group:bench"])'
    (folder / "__init__.py").touch()
    (domain / "domain.py").write_text(f"from platform_defs.contracts import Domain\n\n{said}\n")
    event = '''
        from pydantic import Field

        from platform_defs.contracts import Event


        class Heard(Event):
            """Something was heard."""

            n: int = Field(ge=0)
        '''
    (domain / "events.py").write_text(dedent(event))
    endpoints -= 1  # the event type is one of them
    for first in range(0, endpoints, _A_FILE):
        text = _HEAD
        for number in range(first, min(first + _A_FILE, endpoints)):
            reads = {"heard": "crowd/heard"} | ({"before": f"crowd/x{number - 1}"} if number % _LONGEST_CHAIN else {})
            inputs = ", ".join(f'"{param}": "{key}"' for param, key in reads.items())
            text += _ENDPOINT.format(number=number, inputs=inputs, params=", ".join(f"{param}: DataFrame" for param in reads))
        (domain / f"part{first // _A_FILE}.py").write_text(text)
    return domain


def rival(endpoints: int, condition: dg.AutomationCondition[Any] | None) -> list[dg.AssetsDefinition]:
    """As many assets with the same inputs, each of them a run a partition."""
    hours = dg.HourlyPartitionsDefinition(start_date=f"{START}T00", fmt="%Y-%m-%dT%H")

    def made(name: str, reads: Iterable[str]) -> dg.AssetsDefinition:
        @dg.asset(name=name, deps=list(reads), partitions_def=hours, automation_condition=condition)
        def one() -> dg.MaterializeResult[Any]:
            return dg.MaterializeResult(metadata={"rows": 1})

        return one

    @dg.asset(partitions_def=hours)
    def heard() -> None: ...

    return [heard, *(made(f"x{n}", ["heard", *([f"x{n - 1}"] if n % _LONGEST_CHAIN else [])]) for n in range(endpoints))]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what it gave."""
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def main(arguments: list[str]) -> int:
    """Measures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--endpoints", type=int, required=True)
    given = parser.parse_args(arguments)
    domain = write(given.folder, given.endpoints)
    told: dict[str, Any] = {}

    def load() -> tuple[Any, Any]:
        from platform_defs.build.definitions import build_defs
        from platform_defs.contracts.loading import load_domain

        loaded = load_domain(domain)
        return loaded, build_defs("crowd", loaded=loaded, known={}, ledger=lambda: ledger).get_repository_def()

    ledger = Ledger(given.url, clock=lambda: NOW)
    told["loads"], (loaded, repository) = timed(load)
    ledger.create()
    ledger.registry.apply(loaded.contracts, "bench")
    _publish(ledger, "crowd/heard", loaded)
    with dg.instance_for_test() as instance:
        told |= _ticks(repository, instance)
    with dg.instance_for_test() as instance:
        told |= _rival_ticks(given.endpoints, instance)
    told |= _logged(loaded)
    with ledger.store.transaction() as connection:
        connection.execute(text("DELETE FROM requests"))
    ledger.close()
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


def _publish(ledger: Ledger, key: str, loaded: Any) -> None:
    """What all read is there: the first of every chain is due for every hour since the start."""
    code = loaded.declared[key].contract.code_version
    hours = keys_between(f"{START}T00", f"{NOW - timedelta(hours=1):%Y-%m-%dT%H}")
    version = Published(b"c" * 16, b"i" * 16, 10, 1, code, NOW - timedelta(minutes=1), "run", Counts(landed=10, good=10))
    ledger.partitions.record([Outcome(key, hour, "published", published=version) for hour in hours], RunInfo("run", "schedule", NOW, NOW))


def _ticks(repository: Any, instance: dg.DagsterInstance) -> dict[str, Any]:
    schedule = repository.get_schedule_def("crowd_hourly")

    def tick() -> Any:
        return schedule.evaluate_tick(dg.build_schedule_context(instance=instance, scheduled_execution_time=NOW, repository_def=repository))

    first, data = timed(tick)
    second, _ = timed(tick)
    requests = data.run_requests or ()
    asked = sum(len(request.asset_selection or ()) * _keys(request) for request in requests)
    return {"first tick": first, "tick": second, "asked": asked}


def _keys(request: dg.RunRequest) -> int:
    return len(keys_between(request.tags[RANGE_START], request.tags[RANGE_END]))


def _rival_ticks(endpoints: int, instance: dg.DagsterInstance) -> dict[str, Any]:
    defs = dg.Definitions(assets=rival(endpoints, dg.AutomationCondition.eager()))
    instance.report_runless_asset_event(dg.AssetMaterialization("heard", partition=f"{NOW - timedelta(hours=1):%Y-%m-%dT%H}"))
    first, result = timed(lambda: dg.evaluate_automation_conditions(defs, instance, evaluation_time=NOW))
    later = NOW + timedelta(minutes=1)
    second, _ = timed(lambda: dg.evaluate_automation_conditions(defs, instance, cursor=result.cursor, evaluation_time=later))
    return {"rival first tick": first, "rival tick": second}


@dataclass
class _Registry:
    def current(self) -> dict[str, Any]:
        return {}


@dataclass
class _Ledger:
    registry: _Registry = field(default_factory=_Registry)


@dataclass
class Played:
    """As much of a platform as an asset's body asks."""

    ledger: _Ledger = field(default_factory=_Ledger)

    @staticmethod
    def clock() -> datetime:
        return NOW


def _played(work: Any, platform: Any) -> list[Any]:
    from platform_defs.execution.results import CheckResult, PartitionResult

    checks = tuple(CheckResult(name, True, "error", None, f"{name} judged") for name in ("contract", "volume", "complete"))
    return [
        PartitionResult(key=key, outcome="published", rows=1000, reason="", checks=checks, counts={}, version=1, seconds=0.1, metadata={}) for key in work.keys
    ]


def _logged(loaded: Any) -> dict[str, float]:
    """What a day of ten endpoints leaves in the event log: one run of ours, a run a partition of the rival's (one is run, all are alike)."""
    from platform_defs.build.definitions import build_defs

    keys = [dg.AssetKey(["crowd", f"x{number * _LONGEST_CHAIN}"]) for number in range(min(_BUILT, len(loaded.declared) // _LONGEST_CHAIN))]
    first = datetime.fromisoformat(START)
    tags = {"dagster/asset_partition_range_start": f"{first:%Y-%m-%dT%H}", "dagster/asset_partition_range_end": f"{first:%Y-%m-%d}T{_RANGE - 1}"}
    defs = build_defs("crowd", loaded=loaded, known={}, resources={"platform": Played()}, builder=_played, planned=False)
    with dg.instance_for_test() as instance:
        job = defs.get_repository_def().get_job("crowd_hourly")
        run = job.get_subset(asset_selection=set(keys)).execute_in_process(instance=instance, tags=tags)
        events, size = _log_of(instance, run.run_id)
    told = {"events": events / len(keys) / _RANGE, "bytes": size / len(keys) / _RANGE}
    with dg.instance_for_test() as instance:
        asset = rival(1, None)[1]
        one = dg.materialize([asset], instance=instance, partition_key=f"{first:%Y-%m-%dT%H}", selection=[asset])
        events, size = _log_of(instance, one.run_id)
    return told | {"rival events": float(events), "rival bytes": float(size)}


def _log_of(instance: dg.DagsterInstance, run_id: str) -> tuple[int, int]:
    records = instance.all_logs(run_id)
    return len(records), sum(len(dg.serialize_value(record)) for record in records)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
