"""One schedule per domain and cadence. A tick asks the planner over the look-back and yields what is due, stale or to be tried again, as runs."""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg

from platform_defs.contracts.partitions import Cadence
from platform_defs.ledger.ledger import Ledger
from platform_defs.planning.states import LOOK_BACK, Decision, decide
from sensors.asking import OpenLedger, ask, in_words, job_name, run_request, settle

# Late rows settle at ages beyond the look-back (72 h by default): a schedule looks as far, but not further than this.
FURTHEST = timedelta(days=8)


def planned_schedule(domain: str, cadence: Cadence, ledger: OpenLedger, cron: str = "* * * * *") -> dg.ScheduleDefinition:
    """The schedule that owns a cadence of a domain.

    Args:
        ledger: opens the ledger, or gives the one this process has open.
        cron: when it ticks. Every minute: Dagster's schedules know no seconds.
    """

    @dg.schedule(
        name=job_name(domain, cadence),
        job_name=job_name(domain, cadence),
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Asks the planner for what is due of {domain}, {cadence}",
    )
    def tick(context):  # type: ignore[no-untyped-def]
        with_ledger = ledger()
        settle(with_ledger, context.instance)
        decisions = look(with_ledger, domain, context.scheduled_execution_time)
        asked = ask(with_ledger, decisions, domain, [cadence])
        if not asked:
            return dg.SkipReason(f"Nothing to ask for: {in_words([d for d in decisions if _is_of(with_ledger, d, cadence)])}")
        return [run_request(request, "schedule") for request in asked]

    return tick


def look(ledger: Ledger, domain: str, now: datetime) -> list[Decision]:
    """The planner's decisions on all of a domain's partitions that a schedule looks at."""
    ages = [
        contract.lateness.settle_seconds[-1]
        for contract in ledger.registry.current().values()
        if contract.domain == domain and contract.lateness is not None and contract.lateness.settle_seconds
    ]
    back = max(LOOK_BACK, min(FURTHEST, timedelta(seconds=max(ages, default=0)) + timedelta(days=1)))
    return decide(ledger.facts(domain, now - back, now), now)


def _is_of(ledger: Ledger, decision: Decision, cadence: Cadence) -> bool:
    contract = ledger.registry.current().get(decision.endpoint)
    return contract is not None and contract.cadence == cadence
