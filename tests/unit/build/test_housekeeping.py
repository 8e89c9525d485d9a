"""A domain's retention in Dagster: there is a job and a daily schedule, its log says what was dropped, a trouble is a failed run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_defs.build.definitions import build_defs
from platform_defs.build.housekeeping import OP, retention_job
from platform_defs.execution.housekeeping import Report
from platform_defs.execution.sweeping import Dropped
from tests.system.dagster.domains import loaded

PLATFORM: Any = object()


def ran(report: Report) -> tuple[dg.ExecuteInProcessResult, list[str], list[tuple[Any, str]]]:
    """A run of the job in process with a fake platform: its result, what its op logged, whom it asked."""
    asked: list[tuple[Any, str]] = []

    def keeper(platform: Any, domain: str, run_id: str) -> Report:
        asked.append((platform, domain))
        assert run_id
        return report

    with dg.instance_for_test() as instance:
        job = retention_job("music", keeper)
        result = job.execute_in_process(resources={"platform": PLATFORM}, instance=instance, raise_on_error=False)
        logged = [each.user_message for each in instance.all_logs(result.run_id) if each.step_key == OP and not each.is_dagster_event]
    return result, logged, asked


def test_the_ops_log_says_what_was_dropped() -> None:
    dropped = Dropped("music/plays", "48 partitions before 2025-10-01T04", {"partitions": 48})
    result, logged, asked = ran(Report(3, (dropped,), ("landing, failed log, records, history: done at 2026-10-01 03:17 UTC",)))
    assert result.success
    assert asked == [(PLATFORM, "music")]
    assert logged == [
        "3 datasets looked at; past retention: 1 place, 0 bytes of files",
        "music/plays: 48 partitions before 2025-10-01T04",
        "landing, failed log, records, history: done at 2026-10-01 03:17 UTC",
    ]


def test_a_trouble_fails_the_run_after_all_the_rest() -> None:
    good, bad = Dropped("music/plays", "1 partition before 2025-10-01T04", {"partitions": 1}), Dropped("landing", "", trouble="OSError: disk")
    result, logged, _ = ran(Report(2, (good, bad)))
    assert not result.success
    assert [line.partition(":")[0] for line in logged] == ["2 datasets looked at; past retention", "music/plays", "landing"]
    (failed,) = [event for event in result.all_node_events if event.is_step_failure]
    told = failed.step_failure_data.user_failure_data
    assert told is not None
    assert told.description is not None
    assert told.description.splitlines()[1:] == [
        "landing: failed: OSError: disk",
        "The next run tries again; or, once it is mended, ./backline retention music",
    ]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """One that is there while definitions are loaded: Dagster asks the one opened last, even where that is gone."""
    with dg.instance_for_test() as opened:
        yield opened


def test_a_domain_has_its_job_and_a_schedule_that_runs(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    repository = build_defs("music", loaded=loaded(tmp_path, "music"), known={}, ledger=lambda: PLATFORM).get_repository_def()
    assert "music_retention" in {job.name for job in repository.get_all_jobs()}
    schedule = repository.get_schedule_def("music_retention")
    assert (schedule.cron_schedule, schedule.execution_timezone, schedule.job_name) == ("17 3 * * *", "UTC", "music_retention")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert repository.get_job("music_retention").graph.node_dict.keys() == {OP}
    # As Dagster ticks it: one run, of the whole job.
    (request,) = schedule.evaluate_tick(dg.build_schedule_context(instance=instance, repository_def=repository)).run_requests or []
    assert (request.job_name, request.asset_selection) == (None, None)


@pytest.mark.usefixtures("instance")
def test_a_location_without_schedules_has_the_job_to_start_by_hand(tmp_path: Path) -> None:
    repository = build_defs("music", loaded=loaded(tmp_path, "music"), known={}, planned=False).get_repository_def()
    assert repository.schedule_defs == []
    assert repository.has_job("music_retention")
