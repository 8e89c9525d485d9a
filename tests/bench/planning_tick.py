"""One tick over a filled ledger, measured in this process: what `planning` starts for each size. Prints one JSON line."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from platform_defs.ledger import Ledger
from platform_defs.ledger.standing import Standings
from platform_defs.planning.gaps import gaps
from platform_defs.planning.requests import MAX_PARTITIONS, Room, RunRequestPlan, plan_tick
from platform_defs.planning.states import decide, first_look
from platform_defs.planning.sweep import swept
from sensors.asking import Knowledge
from tests.bench.ledger_layout import TODAY, peak_megabytes

# The day after the history: its first two hours have ended, and are published of the forty endpoints that the others read.
HOURS = 2
_BASE = 41


def prepare(ledger: Ledger) -> None:
    """Publishes the new hours of what everything reads: the next hour of all the others has just become due."""
    with ledger.store.transaction() as connection:
        statement = text(
            "UPDATE frontiers SET published = published + CAST(:hours AS int4multirange) FROM endpoints e WHERE e.id = endpoint_id "
            "AND e.cadence = 'hourly' AND CAST(substring(e.key FROM 'e([0-9]+)$') AS int) < :base"
        )
        first = (TODAY + 1) * 24
        connection.execute(statement, {"hours": f"{{[{first},{first + HOURS})}}", "base": _BASE})
        connection.execute(text("ANALYZE"))


def main(arguments: list[str]) -> int:
    """Measures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--rounds", type=int, required=True)
    given = parser.parse_args(arguments)
    ledger = Ledger(given.url)
    prepare(ledger)
    now = datetime.fromtimestamp(TODAY * 86400, UTC) + timedelta(days=1, hours=HOURS, minutes=5)
    began = time.perf_counter()
    knowledge = Knowledge()
    standings = knowledge.standings(ledger)
    plans = decided(ledger, standings, now)
    told: dict[str, Any] = {"first": [time.perf_counter() - began], "decided": [], "written": []}
    for _ in range(given.rounds):
        began = time.perf_counter()
        plans = decided(ledger, knowledge.standings(ledger), now)
        told["decided"].append(time.perf_counter() - began)
        began = time.perf_counter()
        opened = ledger.requests.add(plans)
        told["written"].append(time.perf_counter() - began)
        with ledger.store.transaction() as connection:
            connection.execute(text("DELETE FROM requests WHERE id = ANY(:ids)"), {"ids": [request.id for request in opened]})
    told["partitions"] = [sum(plan.partitions for plan in plans)]
    told["megabytes"] = [peak_megabytes()]
    ledger.close()
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


def decided(ledger: Ledger, standings: Standings, now: datetime) -> list[RunRequestPlan]:
    """One tick of the whole platform, as schedules make it: a share looked at closely, the gaps of all others, the runs."""
    back, graph = first_look(), standings.graph
    closely = set(swept(graph.contracts, now))
    rest = [key for key in graph.contracts if key not in closely]
    decisions = decide(ledger.facts(sorted(closely), now - back, now), now)
    decisions += gaps(graph, standings.read(rest, now - back, now), now)
    return plan_tick(decisions, graph.contracts, graph.level, Room(runs=MAX_PARTITIONS, partitions=MAX_PARTITIONS))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
