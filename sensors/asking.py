"""What schedules and sensors share: close what Dagster has finished, open requests for what the planner asks, say them as runs.

Which partitions are worth a build is `planning`'s to say; what was asked is the ledger's to know.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

import dagster as dg

from platform_defs.contracts.partitions import Cadence
from platform_defs.contracts.uncollected import uncollected
from platform_defs.lake.layout import Lake
from platform_defs.ledger.attended import end_dead
from platform_defs.ledger.ledger import Ledger
from platform_defs.ledger.requests import DIED, Request
from platform_defs.ledger.standing import Standings
from platform_defs.planning.gaps import Graph
from platform_defs.planning.requests import Room, plan_requests, plan_tick
from platform_defs.planning.states import Decision
from sensors.deaths import after_deaths, died
from sensors.run_tags import REQUEST, PlannedTrigger, planned_tags

OpenLedger = Callable[[], Ledger]
OpenLake = Callable[[], Lake]

# A request without a run after this long was lost with the tick that opened it: it is asked for anew. While Dagster knows a queued or running run of it,
# however old, it stays.
LOST_AFTER = timedelta(minutes=5)
# Runs of one partition each, beside a tick's others; what is left comes with the ticks after.
_ALONE = 20


class Knowledge:
    """What a schedule or sensor keeps from tick to tick: what follows from the registry in force, made again only when that changes."""

    def __init__(self) -> None:
        self._standings: Standings | None = None

    def standings(self, ledger: Ledger) -> Standings:
        """Reads of the contracts in force, with their graph."""
        contracts = ledger.registry.current()
        if self._standings is None or self._standings.graph.contracts is not contracts:
            with uncollected():
                self._standings = Standings(ledger.store, Graph(contracts))
            # Tens of thousands of contracts live as long as the process: each full collection looks through them for a third of a second, in vain.
            gc.collect()
            gc.freeze()
        return self._standings


def job_name(domain: str, cadence: Cadence) -> str:
    """The job of a domain's cadence, and the name of the schedule that asks for it."""
    return f"{domain}_{cadence}"


def end_runs(ledger: Ledger, instance: dg.DagsterInstance) -> int:
    """Declares ended the runs that hold leases though Dagster has seen their end (killed, cancelled), so that others may take over; how many.

    Those of commands too, which Dagster does not know, where their process is gone.
    """
    holders = ledger.leases.holders()
    ended = [run.run_id for run in instance.get_runs(filters=dg.RunsFilter(run_ids=holders)) if run.is_finished] if holders else []
    for run_id in ended:
        ledger.leases.end_run(run_id)
    return len(ended) + end_dead(ledger, holders)


def settle(ledger: Ledger, instance: dg.DagsterInstance) -> int:
    """Closes the requests whose run has ended, notes which run serves the others, and lets expire what no live run serves; how many were closed.

    Runs that ended without giving their leases back are declared ended first, and pauses whose time is over are closed.
    """
    end_runs(ledger, instance)
    ledger.pauses.settle()
    waiting = ledger.requests.open()
    if not waiting:
        return 0
    by_tag = {str(request.id): request for request in waiting}
    live: set[int] = set()
    closed = 0
    for run in instance.get_runs(filters=dg.RunsFilter(tags={REQUEST: sorted(by_tag)})):
        request = by_tag.get(run.tags[REQUEST])
        if request is None:
            continue
        if not run.is_finished:
            live.add(request.id)
            if request.run_id != run.run_id:
                ledger.requests.started(request.id, run.run_id)
        elif request.id not in live:
            # A request may have been run again by a person: it is closed when no run of it is live.
            closed += ledger.requests.close(request.id, DIED if died(run) else run.status.value.lower(), run.run_id)
    return closed + len(ledger.requests.expire(live))


def ask(ledger: Ledger, graph: Graph, decisions: Iterable[Decision], domain: str, cadences: Sequence[Cadence], room: Room | None = None) -> list[Request]:
    """Opens requests for what the decisions ask of a domain in these cadences, as much as a tick has room for; what is asked for already is left out.

    Decisions that ask for nothing say what lies between: see `plan_tick`.
    """
    mine = [each for each in decisions if graph.contracts[each.endpoint].domain == domain and graph.contracts[each.endpoint].cadence in cadences]
    rest, alone = after_deaths(ledger, graph.contracts, domain, mine)
    plans = plan_tick(rest, graph.contracts, graph.level, room or Room())
    plans += [plan for each in alone[:_ALONE] for plan in plan_requests([each], graph.contracts, graph.level)]
    return ledger.requests.add(plans, LOST_AFTER)


def run_request(request: Request, trigger: PlannedTrigger) -> dg.RunRequest:
    """One request as a run. Its key guards against a tick that died after launching; what is in flight is the ledger's to know."""
    return dg.RunRequest(
        run_key=str(request.id),
        job_name=job_name(request.domain, request.cadence),
        asset_selection=[dg.AssetKey(endpoint.split("/")) for endpoint in request.endpoints],
        tags=planned_tags(request.id, request.first, request.last, request.tier, trigger, request.spared),
    )


def in_words(decisions: Sequence[Decision]) -> str:
    """How many partitions are in which state: what a tick that asks for nothing says."""
    counts = Counter(str(decision.shown) for decision in decisions)
    return ", ".join(f"{number} {state}" for state, number in counts.most_common()) or "no partition has ended yet"
