"""An hour of many event types, built as the platform builds it: a host process that has loaded everything forks one process a run, a run holds up to 50 assets
and builds several side by side over the warm Spark and Postgres.

    python -m tests.bench.hour_runs SETTING.json TYPES

Left out are Dagster's queue, its steps and their events. Prints what was published as JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.event import Record
from platform_defs.contracts.loading import Declared
from platform_defs.execution.building import build
from platform_defs.execution.overlap import Overlap
from platform_defs.execution.platform import Work
from platform_defs.planning.requests import MAX_ASSETS
from tests.bench.hour_landing import HOUR, contracts, in_runs
from tests.bench.intake_ours import NOW, Installation, Setting

RUNS = 2  # side by side: a laptop's run slots


def main() -> None:
    """All runs, a few at a time."""
    setting = Setting.model_validate_json(Path(sys.argv[1]).read_text())
    waiting = list(in_runs(contracts(int(sys.argv[2])), MAX_ASSETS))
    fork = multiprocessing.get_context("fork")
    running: dict[Connection, multiprocessing.process.BaseProcess] = {}
    counts: Counter[str] = Counter()
    seconds: list[float] = []
    while waiting or running:
        while waiting and len(running) < RUNS:
            mine, theirs = fork.Pipe(duplex=False)
            process = fork.Process(target=_run, args=(setting, waiting.pop(0), theirs))
            process.start()
            theirs.close()
            running[mine] = process
        for done in wait(list(running)):
            assert isinstance(done, Connection)
            try:
                found, took = done.recv()
            except EOFError:
                raise RuntimeError("a run ended without an answer: its message is above") from None
            counts.update(found)
            seconds.append(took)
            running.pop(done).join()
    print(json.dumps({**counts, "runs": len(seconds), "longest run": max(seconds)}))  # noqa: T201 - what the benchmark reads


def _run(setting: Setting, mine: Sequence[Contract], answer: Connection) -> None:
    began = time.monotonic()
    installation = Installation.of(setting)
    known = {contract.key: contract for contract in mine}
    run_id, counts = f"run-{uuid.uuid4()}", Counter[str]()
    works = [Work(Declared(contract, Record), (HOUR,), run_id, "schedule", known, NOW) for contract in mine]
    with Overlap(installation.platform) as overlap:
        for work in works:  # the run's steps, one after another
            (result,) = overlap.results(work, lambda: works, build)
            broken = [check.name for check in result.checks if not check.passed]
            if result.outcome != "published" or broken:
                raise RuntimeError(f"{work.declared.contract.key} was {result.outcome}: {result.reason or broken}")
            counts.update(types=1, **result.counts)
    answer.send((counts, time.monotonic() - began))
    installation.close()
    os._exit(0)


if __name__ == "__main__":
    main()
