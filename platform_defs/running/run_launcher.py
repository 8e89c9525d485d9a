"""The Dagster run launcher that hands runs to warm run hosts. What a host is, is in `run_host`.

Set in dagster.yaml; the default launcher is one setting away. It keeps no state: a run's process is in the run's tag, so a run is found
again after the host, the daemon or the webserver was restarted.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platform_defs.build.dagster_private import (
    CheckRunHealthResult,
    ConfigurableClass,
    ConfigurableClassData,
    DagsterRun,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
    execute_run_args,
    location_name,
)
from platform_defs.running.run_process import PROCESS_TAG, RunProcess
from platform_defs.running.run_sockets import ask

# How long a run's process may take to say that it is the run's.
_KNOWN_SECONDS, _LOOK_SECONDS = 5.0, 0.1


class WarmRunLauncher(RunLauncher, ConfigurableClass):
    """Launches a run by asking the host of its code location to fork.

    Args:
        socket_dir: folder of the hosts' sockets.
    """

    def __init__(self, socket_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._folder, self._inst_data = Path(socket_dir), inst_data
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What dagster.yaml said."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, type]:
        """One setting: the folder of sockets."""
        return {"socket_dir": str}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> WarmRunLauncher:
        """From dagster.yaml."""
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Asks the host to fork; raises HostUnavailable, upon which Dagster fails the run with that text.

        Which process that is, it says itself (`run_host`). Said from here, beside a run that starts, it can come too late for a look of Dagster's
        monitoring, or be lost when the run's start is written over it; monitoring then fails a run with which nothing is wrong.
        """
        run = context.dagster_run
        ask(self._folder, location_name(run), {"op": "launch", "args": execute_run_args(self._instance, run)})

    def terminate(self, run_id: str) -> bool:
        """Asks the run's process to stop; False if it is not there (any more)."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        until = time.monotonic() + _KNOWN_SECONDS
        while (process := _process(run)) is None and time.monotonic() < until:  # it was launched this moment, and is about to say so
            time.sleep(_LOOK_SECONDS)
            run = self._instance.get_run_by_id(run_id) or run
        if run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return process is not None and process.send(signal.SIGINT)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """The kernel can always be asked."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """RUNNING while the run's process lives; NOT_FOUND when it does not (run monitoring then fails the run)."""
        process = _process(run)
        if process is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the run has no process: its launch did not come to an end")
        if process.alive():
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"process {process.pid} of the run is gone")


def _process(run: DagsterRun) -> RunProcess | None:
    tag = run.tags.get(PROCESS_TAG)
    return RunProcess(**json.loads(tag)) if tag else None
