"""Code locations whose builder follows a script in BACKLINE_HOME instead of Spark: what Dagster does with each outcome is what these tests ask.

<home>/refuse.json     ["music/plays 2024-10-02T03", ...]
<home>/wait.json       the same form: these are answered as waiting
<home>/hold            while it exists, builds wait
<home>/meet.json       ["sales/prices", ...]: builds of these wait for each other
<home>/built/          a file per call: what was asked, in the order of names
<home>/published/      a file per published partition
"""

import functools
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from platform_defs.build.definitions import build_defs
from platform_defs.contracts.contract import Contract
from platform_defs.contracts.loading import load_domain
from platform_defs.execution.platform import Cancelled, Platform, Work
from platform_defs.execution.results import CheckResult, PartitionResult

_TURN = 0.05


def home() -> Path:
    """Where the script is."""
    return Path(os.environ["BACKLINE_HOME"])


def scripted_build(work: Work, platform: Platform) -> list[PartitionResult]:
    """Publishes every key, but refuses what the script says and skips what is published, unless a person clicked or forced it."""
    key = work.declared.contract.key
    asked = {"key": key, "keys": work.keys, "spared": sorted(work.spared), "trigger": work.trigger, "force": work.force}
    asked |= {"request_id": work.request_id, "run": work.run_id}
    folder = home() / "built"
    folder.mkdir(exist_ok=True)
    file = folder / f"{datetime.now(UTC).timestamp():.6f}-{work.run_id}-{key.replace('/', '.')}.json"
    file.with_suffix(".part").write_text(json.dumps(asked))
    file.with_suffix(".part").replace(file)  # whoever looks finds all of it or nothing
    print(f"{key}: asked for {len(work.keys)} partitions")  # noqa: T201 - Dagster keeps what a run prints
    while (home() / "hold").exists():
        if work.cancelled():
            raise Cancelled
        threading.Event().wait(_TURN)
    if key in (together := _listed("meet.json")):
        _meet(key, together)
    refused, waiting = _listed("refuse.json"), _listed("wait.json")
    return [
        PartitionResult(partition, "waiting", 0, "the vendor's file is not there yet", (), {}, None, 0.0, {})
        if f"{key} {partition}" in waiting
        else _result(key, partition, work, f"{key} {partition}" in refused)
        for partition in work.keys
    ]


def _meet(key: str, together: set[str]) -> None:
    """Waits until all of them are being built."""
    met = home() / "met"
    met.mkdir(exist_ok=True)
    (met / key.replace("/", ".")).touch()
    end = time.monotonic() + 60
    while len(list(met.iterdir())) < len(together):
        if time.monotonic() > end:
            raise TimeoutError(f"{key} is built alone")
        threading.Event().wait(_TURN)


def _listed(name: str) -> set[str]:
    file = home() / name
    return set(json.loads(file.read_text())) if file.exists() else set()


def _result(key: str, partition: str, work: Work, refuse: bool) -> PartitionResult:
    done = home() / "published" / f"{key.replace('/', '.')}@{partition}"
    done.parent.mkdir(exist_ok=True)
    names = [name for name in ("contract", "volume", "accounting", "complete") if name != "accounting" or work.declared.contract.kind == "event"]
    checks = tuple(CheckResult(name, not (refuse and name == "contract"), "error", None, f"{name} judged") for name in names)
    common: dict[str, Any] = {"key": partition, "rows": 7, "counts": {"landed": 7}, "version": 1, "seconds": 0.5, "metadata": {"run": work.run_id}}
    if refuse:
        return PartitionResult(outcome="refused", reason="", checks=checks, **common)
    if done.exists() and work.trigger != "click" and not work.force:
        return PartitionResult(outcome="skipped", reason="current", checks=(), **common)
    done.touch()
    return PartitionResult(outcome="published", reason="", checks=checks, **common)


@dataclass
class _Registry:
    contracts: Mapping[str, Contract] = field(default_factory=dict)

    def current(self) -> Mapping[str, Contract]:
        return self.contracts


@dataclass
class _Ledger:
    registry: _Registry = field(default_factory=_Registry)


@dataclass
class _Engines:
    def engines(self) -> Iterator[Any]:
        return iter(())


@dataclass
class ScriptedPlatform:
    """As much of a platform as an asset's body itself asks."""

    engines: _Engines = field(default_factory=_Engines)
    ledger: _Ledger = field(default_factory=_Ledger)

    @staticmethod
    def clock() -> datetime:
        """The present instant."""
        return datetime.now(UTC)


@functools.cache
def definitions(domain: str) -> dg.Definitions:
    """A domain from `<home>/assets`, with the scripted builder."""
    assets = home() / "assets"
    known = {contract.key: contract for folder in sorted(assets.glob("*/domain.py")) for contract in load_domain(folder.parent).contracts}
    return build_defs(
        domain, loaded=load_domain(assets / domain), known=known, resources={"platform": ScriptedPlatform()}, builder=scripted_build, planned=False
    )


def __getattr__(name: str) -> dg.Definitions:
    if name.startswith("_") or "BACKLINE_HOME" not in os.environ:
        raise AttributeError(name)
    return definitions(name)
