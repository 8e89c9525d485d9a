"""What the planner is told, and what it decides by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from platform_defs.contracts.partitions import hours_of
from platform_defs.ledger import Fence, Ledger
from platform_defs.planning.inputs import view_inputs
from platform_defs.planning.requests import RunRequestPlan, plan_requests
from platform_defs.planning.states import Decision, decide
from platform_defs.planning.states import PartitionState as S
from tests.system.ledger.conftest import Clock
from tests.system.ledger.telling import DAILY, EVENT, H3, H4, H5, NOON, RATE, counts, failed, published, run, seal

MIDNIGHT = datetime(2026, 10, 1, tzinfo=UTC)


def decided(ledger: Ledger, *asked: str) -> dict[str, Decision]:
    now = ledger.store.clock()
    decisions = decide(ledger.facts(asked or "charts", MIDNIGHT, now), now)
    return {f"{each.endpoint} {each.partition}": each for each in decisions}


def test_a_domain_brings_what_it_reads(filled: Ledger) -> None:
    facts = filled.facts("charts", MIDNIGHT, NOON)
    assert set(facts.asked) == {RATE, DAILY}
    assert set(facts.endpoints) == {RATE, DAILY, EVENT}


def test_windows_reach_beyond_the_span(filled: Ledger) -> None:
    filled.partitions.record([published(EVENT, hour) for hour in (H3, H4)], run())
    facts = filled.facts([RATE], MIDNIGHT + timedelta(hours=3), MIDNIGHT + timedelta(hours=4))
    assert set(facts.endpoints[EVENT].published) == {H3, H4}
    day = filled.facts([DAILY], MIDNIGHT, MIDNIGHT + timedelta(days=1))
    assert set(day.endpoints[EVENT].published) == {H3, H4}


def test_facts_hold_all_there_is(filled: Ledger) -> None:
    filled.landing.beat("r1", NOON, NOON)
    filled.landing.record_seal(seal(1, H3))
    filled.landing.expire([seal(1, H3).segments[0].path])
    filled.partitions.record([published(EVENT, H3, counts=counts(10)), failed(RATE, H4)], run())
    fence = filled.leases.acquire(RATE, [H5], "run-5")
    assert isinstance(fence, Fence)
    filled.requests.add([RunRequestPlan("charts", "hourly", (RATE,), H3, H4, "normal", b"")])
    facts = filled.facts([RATE, EVENT], MIDNIGHT, NOON)
    assert facts.receivers == tuple(filled.landing.receivers())
    assert facts.endpoints[EVENT].published == filled.partitions.published(EVENT, [H3])
    assert (facts.endpoints[EVENT].landed[H3].rows, facts.endpoints[EVENT].landed[H3].expired) == (10, True)
    assert facts.endpoints[RATE].troubles == {H4: filled.troubles.all()[RATE, H4]}
    assert {key: (each.stage, each.run_id) for key, each in facts.endpoints[RATE].in_flight.items()} == {
        H3: ("requested", None),
        H4: ("requested", None),
        H5: ("running", "run-5"),
    }
    filled.leases.end_run("run-5")
    assert H5 not in filled.facts([RATE], MIDNIGHT, NOON).endpoints[RATE].in_flight


def test_from_the_first_seal_to_the_last_reader(filled: Ledger, clock: Clock) -> None:
    """Closed hours are asked for once, built, followed by their readers; late rows rebuild the hour and, as content changed, its readers."""
    clock.now = MIDNIGHT + timedelta(days=1, minutes=5)
    filled.landing.beat("r1", clock.now, clock.now)
    hours = hours_of("2026-10-01")
    filled.landing.record_seal(seal(1, *hours, at=clock.now))

    def tick(*asked: str) -> list[tuple[str, str]]:
        """Plans, asks, builds as a run would; what was built."""
        plans = plan_requests(decided(filled, *asked).values(), filled.registry.current())
        built: list[tuple[str, str]] = []
        asked_for = filled.requests.add(plans)
        assert filled.requests.add(plans) == []
        for request in asked_for:
            clock.now += timedelta(minutes=1)
            run_id = f"run-{request.id}"
            outcomes = []
            for endpoint in request.endpoints:
                contract = filled.registry.current()[endpoint]
                for key in [k for k in ([*hours, "2026-10-01"]) if request.first <= k <= request.last and (len(k) > 10) == (contract.cadence == "hourly")]:

                    def content(read: str, partition: str) -> bytes | None:
                        return (filled.partitions.published(read, [partition]).get(partition) or _Nothing).content

                    view = view_inputs(contract, key, filled.registry.current(), content)
                    rows = sum(row.segment.rows for row in filled.landing.segments(EVENT, [key])[key]) if endpoint == EVENT else 0
                    digest = view.digest if endpoint != EVENT else bytes([rows]) * 16
                    words = f"{endpoint} {key} {digest.hex()}"
                    outcomes.append(
                        published(endpoint, key, words, at=clock.now, run_id=run_id, inputs=digest, rows=rows, counts=counts(rows) if rows else None)
                    )
                    built.append((endpoint, key))
            filled.partitions.record(outcomes, run(run_id, clock.now))
            filled.requests.close(request.id)
        return sorted(built)

    everything = (EVENT, RATE, DAILY)
    assert tick(*everything) == [(EVENT, hour) for hour in hours]
    assert tick(*everything) == [(DAILY, "2026-10-01"), *[(RATE, hour) for hour in hours[:23]]]
    assert decided(filled)[f"{RATE} {hours[23]}"].state == S.WAITING
    assert tick(*everything) == []
    clock.now += timedelta(minutes=1)
    filled.landing.record_seal(seal(2, H4, rows=5, at=clock.now))
    assert tick(*everything) == [(EVENT, H4)]
    assert tick(*everything) == [(DAILY, "2026-10-01"), (RATE, H3), (RATE, H4)]
    assert tick(*everything) == []


class _Nothing:
    content = None


def test_frontiers_and_troubles_of_everything_at_once(filled: Ledger) -> None:
    filled.partitions.record([published(EVENT, hour) for hour in (H3, H5)] + [failed(EVENT, H4), published(DAILY, "2026-10-01")], run())
    found = filled.planner.frontiers(MIDNIGHT, NOON)
    assert set(found) == {EVENT, RATE, DAILY}
    first = 24 * 20727 + 3
    assert (found[EVENT], found[RATE], found[DAILY]) == (((first, first), (first + 2, first + 2)), (), ((20727, 20727),))
    assert filled.planner.frontiers(MIDNIGHT + timedelta(hours=5), NOON)[EVENT] == ((first + 2, first + 2),)
    (only,) = filled.planner.troubles_since(MIDNIGHT)
    assert (only.endpoint, only.partition, only.state, only.tries, only.inputs) == (EVENT, H4, "failed", 1, b"i" * 16)
    assert filled.planner.troubles_since(NOON) == []
