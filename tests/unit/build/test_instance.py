"""Dagster's configuration: what the template becomes, and that Dagster understands it."""

from pathlib import Path

import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema

from platform_defs.build.dagster_private import CHECKED_VERSION, daemon_intervals, set_daemon_intervals
from platform_defs.build.instance import instance_config, write_instance_config
from platform_defs.build.processes import domains_of, served_workspace, socket_of, workspace_text
from tests.unit.resources.test_settings import settings

TEMPLATE = (Path(__file__).parents[3] / "deploy/local/dagster.yaml").read_text()


@pytest.mark.parametrize("launcher", ["warm", "default"])
def test_dagster_accepts_the_configuration(tmp_path: Path, launcher: str) -> None:
    text = instance_config(settings(tmp_path / 'a "quoted" home'), launcher, 5, TEMPLATE)  # type: ignore[arg-type]
    read = yaml.safe_load(text)
    assert not validate_config(dagster_instance_config_schema(), read).errors
    assert read["storage"]["custom"]["config"] == {"postgres_url": {"env": "BACKLINE_STORAGE_URL"}}
    assert read["run_coordinator"]["config"]["dequeue_interval_seconds"] == 1
    assert "hunter2" not in text


@pytest.mark.parametrize("slots", [3, 5, 8, 10, 50])
def test_neither_cadence_nor_backfills_can_take_all_slots(tmp_path: Path, slots: int) -> None:
    runs = yaml.safe_load(instance_config(settings(tmp_path), "default", slots, TEMPLATE))["concurrency"]["runs"]
    cadence, backfill = (entry["limit"] for entry in runs["tag_concurrency_limits"])
    assert runs["max_concurrent_runs"] == slots
    assert 0 < cadence < slots
    assert 0 < backfill < slots
    assert cadence + backfill >= slots


def test_too_few_slots_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 3"):
        instance_config(settings(tmp_path), "default", 2, TEMPLATE)


def test_the_file_is_written_where_dagster_looks(tmp_path: Path) -> None:
    assert write_instance_config(settings(tmp_path)) == tmp_path / "dagster" / "dagster.yaml"


def test_private_names_were_checked_against_the_installed_dagster() -> None:
    import dagster

    assert dagster.__version__ == CHECKED_VERSION


def test_the_daemons_loops_obey_the_constants_we_set() -> None:
    """Dagster reads both as globals at each turn; if it stops doing so our backfills wait 30 s a look."""
    import inspect

    import dagster._daemon.backfill as backfill
    import dagster._daemon.controller as controller

    before = daemon_intervals()
    assert before == (30.0, 60.0)
    try:
        set_daemon_intervals(2, 5)
        assert daemon_intervals() == (2.0, 5.0)
        loop = inspect.getsource(backfill.execute_backfill_iteration_loop)
        assert "from dagster._daemon.controller import DEFAULT_DAEMON_INTERVAL_SECONDS" in loop
        assert "RELOAD_WORKSPACE_INTERVAL" in inspect.getsource(controller.DagsterDaemonController.check_workspace_freshness)
    finally:
        set_daemon_intervals(int(before[0]), int(before[1]))


def test_a_workspace_lists_domains(tmp_path: Path) -> None:
    file = tmp_path / "workspace.yaml"
    file.write_text(workspace_text(["aviation", "charts"]))
    assert domains_of(file) == ["aviation", "charts"]
    file.write_text("load_from: [{python_file: x.py}]")
    with pytest.raises(ValueError, match="python_module"):
        domains_of(file)


def test_the_served_workspace_names_each_code_servers_socket(tmp_path: Path) -> None:
    here = settings(tmp_path)
    read = yaml.safe_load(served_workspace(here, ["aviation"]).read_text())
    assert read == {"load_from": [{"grpc_server": {"socket": str(socket_of(here, "aviation")), "location_name": "aviation"}}]}
