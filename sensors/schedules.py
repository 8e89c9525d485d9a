"""One schedule per domain and cadence. A tick asks the planner over the look-back and yields what is due, stale or to be tried again, as runs.

Gaps and tries are found in bulk, for all endpoints of the domain; partition by partition a tick looks at a share of them (all of a small domain): changes
are followed by the late-data sensor as they come.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg

from platform_defs.contracts.partitions import Cadence
from platform_defs.ledger.ledger import Ledger
from platform_defs.ledger.standing import Standings
from platform_defs.planning.gaps import gaps
from platform_defs.planning.states import Decision, decide, first_look, sight
from platform_defs.planning.sweep import swept
from sensors.asking import Knowledge, OpenLedger, ask, in_words, job_name, run_request, settle

# Late rows settle at ages beyond the look-back (72 h by default): a schedule looks as far, but not further than this.
FURTHEST = timedelta(days=8)


def planned_schedule(domain: str, cadence: Cadence, ledger: OpenLedger, cron: str = "* * * * *") -> dg.ScheduleDefinition:
    """The schedule that owns a cadence of a domain.

    Args:
        ledger: opens the ledger, or gives the one this process has open.
        cron: when it ticks. Every minute: Dagster's schedules know no seconds.
    """
    knowledge = Knowledge()

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
        standings = knowledge.standings(with_ledger)
        graph = standings.graph
        decisions = look(with_ledger, standings, domain, cadence, context.scheduled_execution_time)
        asked = ask(with_ledger, graph, decisions, domain, [cadence])
        if not asked:
            return dg.SkipReason(f"Nothing to ask for: {in_words([each for each in decisions if graph.contracts[each.endpoint].cadence == cadence])}")
        return [run_request(request, "schedule") for request in asked]

    return tick


def look(ledger: Ledger, standings: Standings, domain: str, cadence: Cadence, now: datetime) -> list[Decision]:
    """What a schedule sees: decisions on every partition of the endpoints whose turn it is, and on the gaps of all others of its cadence."""
    graph = standings.graph
    endpoints = [contract for contract in graph.contracts.values() if contract.domain == domain]
    ages = [each.lateness.settle_seconds[-1] for each in endpoints if each.lateness is not None and each.lateness.settle_seconds]
    back = max(first_look(), min(FURTHEST, timedelta(seconds=max(ages, default=0)) + timedelta(days=1)))
    closely = set(swept([each.key for each in endpoints], now))
    # Few, and as far back as each says: what only time changes of them nobody else follows.
    rechecked = {each.key: sight(each) for each in endpoints if each.key in closely and sight(each) > back}
    rest = [each.key for each in endpoints if each.cadence == cadence and each.key not in closely]
    decisions = decide(ledger.facts(sorted(closely), now - back, now), now)
    for key, further in rechecked.items():
        seen = {each.partition for each in decisions if each.endpoint == key}
        decisions += [each for each in decide(ledger.facts([key], now - further, now), now) if each.partition not in seen]
    if rest:
        decisions += gaps(graph, standings.read(rest, now - back, now), now)
    return decisions
