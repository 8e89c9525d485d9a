"""A domain's retention as a Dagster job and its daily schedule. What is dropped, and how, is execution's; this passes on what it says."""

# No `from __future__ import annotations` here: Dagster reads the op's annotation of `context` and does not understand it as text.

from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg

from platform_defs.build.platform import PLATFORM
from platform_defs.execution.platform import Platform
from sensors.run_tags import PRIORITY

if TYPE_CHECKING:
    from platform_defs.execution.housekeeping import Report

# At night, at a minute at which nothing else of a clock's round numbers begins.
CRON = "17 3 * * *"

OP = "drop_expired"

Keeper = Callable[[Platform, str, str], "Report"]


def retention_name(domain: str) -> str:
    """The job that drops what is past its retention of a domain, and its schedule."""
    return f"{domain}_retention"


def retention_job(domain: str, keeper: Keeper | None = None) -> dg.JobDefinition:
    """The job of a domain; what belongs to no domain is done by the first one's run of a day.

    Args:
        keeper: given the platform, the domain and the run's id; None: `execution.housekeeping`.
    """

    @dg.op(
        name=OP,
        required_resource_keys={PLATFORM},
        description=f"Drops what is past its retention of {domain}; of landing, failed log, records and history once a day for all domains",
    )
    def body(context: dg.OpExecutionContext) -> None:
        platform: Platform = context.resources.platform
        report = (keeper or _keep)(platform, domain, context.run_id)
        for line in report.lines:
            context.log.info(line)
        if report.troubles:
            told = "\n".join(each.line for each in report.troubles)
            raise dg.Failure(f"{report.head}\n{told}\nThe next run tries again; or, once it is mended, ./backline retention {domain}", allow_retries=False)

    @dg.job(
        name=retention_name(domain),
        description=f"Drops what is past its retention of {domain}",
        executor_def=dg.in_process_executor,
        tags={PRIORITY: "-1"},  # it can wait for builds; they cannot wait for it
    )
    def job() -> None:
        body()

    return job


def retention_schedule(domain: str, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Once a day, at 03:17 UTC."""
    return dg.ScheduleDefinition(
        name=retention_name(domain),
        job=job,
        cron_schedule=CRON,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Drops what is past its retention of {domain}, every day",
    )


def _keep(platform: Platform, domain: str, run_id: str) -> "Report":
    # Imports pyspark, which a schedule's process does without.
    from platform_defs.execution.housekeeping import keep_retention

    return keep_retention(platform, [domain], run_id)
