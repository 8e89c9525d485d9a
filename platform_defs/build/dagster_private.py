"""Every name of Dagster that is not its public interface, in one place. A test names the version they were checked against.

Nothing else in the platform may import `dagster._...`. The daemon's own are imported when they are asked for: they take 0.3 s, and runs, code locations and
commands have no use for them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from dagster import AssetCheckEvaluation, AssetCheckKey, AssetExecutionContext, AssetKey, DagsterInstance, DagsterRun
from dagster._cli.api import execute_run_command, grpc_command
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    PARENT_RUN_ID_TAG,
    PARTITION_NAME_TAG,
)
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData, deserialize_value, serialize_value
from sqlalchemy import create_engine

__all__ = [
    "ASSET_PARTITION_RANGE_END_TAG",
    "ASSET_PARTITION_RANGE_START_TAG",
    "BACKFILL_ID_TAG",
    "CHECKED_VERSION",
    "PARENT_RUN_ID_TAG",
    "PARTITION_NAME_TAG",
    "AssetCheckEvaluationTargetMaterializationData",
    "CheckRunHealthResult",
    "ConfigurableClass",
    "ConfigurableClassData",
    "DagsterRun",
    "LaunchRunContext",
    "RunLauncher",
    "WorkerStatus",
    "daemon_intervals",
    "earlier_verdicts",
    "execute_run",
    "execute_run_args",
    "keep_connections",
    "load_all_definitions",
    "location_name",
    "run_daemon",
    "serve_code",
    "set_daemon_intervals",
    "steps_of",
]

CHECKED_VERSION = "1.13.27"


def earlier_verdicts(instance: DagsterInstance, asset: AssetKey, checks: Iterable[str], partitions: Collection[str]) -> list[AssetCheckEvaluation]:
    """The newest verdict of each check on each of these partitions, as far as the newest few per partition reach. One statement a check."""
    found: dict[tuple[str, str], AssetCheckEvaluation] = {}
    judged = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
    for check in checks:
        records = instance.event_log_storage.get_asset_check_execution_history(AssetCheckKey(asset, check), limit=200 + 8 * len(partitions), status=judged)
        for record in records:
            if record.partition in partitions and record.evaluation is not None:
                found.setdefault((check, str(record.partition)), record.evaluation)
    return list(found.values())


def steps_of(context: AssetExecutionContext) -> list[str]:
    """Names of the steps of this run, upstreams first; of a run again from failure, only of those that run again."""
    again = context.run.step_keys_to_execute
    return [node.name for node in context.job_def.nodes_in_topological_order if again is None or node.name in again]


# Each asks the database's catalogue whether a table or column is there that every Dagster since 1.5 makes.
_CATALOGUE_QUESTIONS = (
    "has_table",
    "has_asset_key_col",
    "_has_asset_key_col_on_connection",
    "has_run_stats_index_cols",
    "has_bulk_actions_selector_cols",
    "has_backfill_id_column",
    "has_bulk_action_job_name_column",
    "has_backfill_tags_table",
    "has_instigators_table",
    "_has_instigators_table",
    "has_secondary_index_table",
    "has_built_index",
)


def keep_connections(storages: Iterable[Any], url: str) -> Callable[[], None]:
    """Has Dagster's Postgres storages of one database share connections and keep them, and remember what they learnt of their tables.

    At most 4 are kept idle; more threads get more, which are closed after use. An hour old, a connection is renewed. One is asked before it is used: it may
    have ended with a Postgres that was started anew, and a run would fail with the first thing it writes. Answers what closes them all.
    """
    engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_size=4, max_overflow=40, pool_recycle=3600, pool_pre_ping=True, use_native_hstore=False)
    for storage in storages:
        storage._engine = engine
        for name in _CATALOGUE_QUESTIONS:
            if hasattr(storage, name):
                setattr(storage, name, _remembering(getattr(storage, name)))
    return engine.dispose


def _remembering(question: Callable[..., bool]) -> Callable[..., bool]:
    """The question, asked until its first yes. A connection among its arguments does not tell one question from another."""
    yes: set[tuple[str, ...]] = set()

    def asked(*args: Any) -> bool:
        told = tuple(each for each in args if isinstance(each, str))
        if told not in yes and question(*args):
            yes.add(told)
        return told in yes

    return asked


def daemon_intervals() -> tuple[float, float]:
    """Seconds between two looks of the backfill loop, and between two looks at changed code locations, as Dagster has them now (30 and 60)."""
    from dagster._daemon import controller

    return float(controller.DEFAULT_DAEMON_INTERVAL_SECONDS), float(controller.RELOAD_WORKSPACE_INTERVAL)


def set_daemon_intervals(loop_seconds: int, reload_seconds: int) -> None:
    """Sets both, for this process. The daemon reads them as module globals at each turn and offers no setting for them.

    The first also paces the heartbeat of daemons without an interval of their own.
    """
    from dagster._daemon import controller

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = loop_seconds
    controller.RELOAD_WORKSPACE_INTERVAL = reload_seconds


def run_daemon(workspace: str) -> None:
    """What `dagster-daemon run` does, in this process, until it is told to stop."""
    from dagster._daemon.cli import run_command

    run_command.main(["--workspace", workspace, "--log-level", "warning", "--code-server-log-level", "warning"], standalone_mode=True)


def location_name(run: DagsterRun) -> str:
    """The code location a run was asked of; raises ValueError for a run that was made without a workspace."""
    if run.remote_job_origin is None:
        raise ValueError(f"run {run.run_id} belongs to no code location: launch it from the web pages, a schedule or a backfill")
    return run.remote_job_origin.repository_origin.code_location_origin.location_name


def execute_run_args(instance: DagsterInstance, run: DagsterRun) -> str:
    """The one argument of `dagster api execute_run`: what every container launcher passes."""
    if run.job_code_origin is None:
        raise ValueError(f"run {run.run_id} does not say which code it runs: launch it from the web pages, a schedule or a backfill")
    return serialize_value(ExecuteRunArgs(job_origin=run.job_code_origin, run_id=run.run_id, instance_ref=instance.get_ref(), set_exit_code_on_failure=True))


def execute_run(args: str, tags: Mapping[str, str]) -> int:
    """Does what `dagster api execute_run` does, in this process; its exit code.

    The run gets the tags first. Dagster writes a run back whole: tags that somebody else adds while it starts may be lost, or come too late.
    """
    asked = deserialize_value(args, ExecuteRunArgs)
    if asked.instance_ref is None:
        raise ValueError(f"run {asked.run_id} does not say which Dagster it belongs to")
    with DagsterInstance.from_ref(asked.instance_ref) as instance:
        instance.add_run_tags(asked.run_id, tags)
    try:
        execute_run_command.main([args], standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def serve_code(path: Path, module: str, attribute: str, working_directory: str, location: str) -> None:
    """Does what `dagster api grpc` does, in this process, until it is told to end. Definitions that are loaded here already are taken as they are."""
    target = ["--module-name", module, "--attribute", attribute, "--working-directory", working_directory, "--location-name", location]
    grpc_command.main(["--socket", str(path), *target, "--use-python-environment-entry-point", "--log-level", "warning"], standalone_mode=False)


def load_all_definitions(module: str, attribute: str, working_directory: str) -> None:
    """Loads a code location as a run will look it up, so that the run finds it in Dagster's own cache."""
    repository = ReconstructableRepository.for_module(module, attribute, working_directory=working_directory).get_definition()
    repository.load_all_definitions()
