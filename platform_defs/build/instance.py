"""Dagster's instance: its configuration file, and the first opening of its database, once, before webserver and daemon open it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Literal

import dagster as dg

from platform_defs.build.processes import STORAGE_VARIABLE
from platform_defs.build.storage import make_tables
from resources.settings import Settings

Launcher = Literal["warm", "default"]

_LAUNCHERS: dict[Launcher, str] = {
    "default": "  module: dagster._core.launcher.default_run_launcher\n  class: DefaultRunLauncher",
    "warm": "  module: platform_defs.running.run_launcher\n  class: WarmRunLauncher\n  config:\n    socket_dir: $sockets",
}


def run_slots() -> int:
    """How many runs go at a time: two a core, at least five, so that neither cadence nor backfills are ever without one."""
    return max(5, 2 * (os.cpu_count() or 1))


def instance_config(settings: Settings, launcher: Launcher, slots: int, template: str) -> str:
    """The text of `dagster.yaml`. Of `slots`, a fifth is kept from the cadence and three fifths from backfills (DESIGN 10); raises ValueError under 3."""
    if slots < 3:
        raise ValueError(f"{slots} run slots are too few: give at least 3, one for the cadence, one for backfills, one for either")
    either = max(1, round(slots * 0.2))
    backfill = max(1, round(slots * 0.2))
    names = {
        "slots": str(slots),
        "cadence_slots": str(slots - backfill),
        "backfill_slots": str(backfill + either),
        "compute_logs": _quoted(settings.compute_logs),
        "launcher": Template(_LAUNCHERS[launcher]).substitute(sockets=_quoted(settings.run)),
    }
    return Template(template).substitute(names)


def write_instance_config(settings: Settings, launcher: Launcher = "default", slots: int | None = None) -> Path:
    """Writes `<home>/dagster/dagster.yaml` from the template under `deploy/local`; its path."""
    template = (Path(__file__).resolve().parents[2] / "deploy" / "local" / "dagster.yaml").read_text(encoding="utf-8")
    settings.dagster_home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = settings.dagster_home / "dagster.yaml"
    path.write_text(instance_config(settings, launcher, slots or run_slots(), template), encoding="utf-8")
    return path


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance of the running platform. Its database's address reaches Dagster through the environment of this process."""
    before = os.environ.get(STORAGE_VARIABLE)
    os.environ[STORAGE_VARIABLE] = settings.storage_url
    try:
        with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
            yield instance
    finally:
        if before is None:
            os.environ.pop(STORAGE_VARIABLE, None)
        else:
            os.environ[STORAGE_VARIABLE] = before


def bootstrap_instance(settings: Settings, launcher: Launcher = "default", slots: int | None = None) -> None:
    """Writes the configuration, makes the instance's tables and opens it once: two first openers would race and die."""
    write_instance_config(settings, launcher, slots)
    make_tables(str(settings.storage_url))
    with open_instance(settings) as instance:
        instance.get_runs(limit=1)
        instance.event_log_storage.get_maximum_record_id()
        instance.all_instigator_state()


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
