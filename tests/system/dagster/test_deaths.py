"""Runs that die without a word: what they were asked for is asked for again, alone, fails, and in the end is stuck; its neighbours are built."""

from datetime import timedelta

import dagster as dg
import pytest

from platform_defs.contracts.partitions import keys_between
from platform_defs.planning.gaps import Graph
from sensors.deaths import after_deaths
from sensors.late_data import decide_on
from tests.system.dagster.music import PLAYED, World, asked, covers, requests_of

HOUR = "2024-10-10T11"


class Deadly:
    """Runs of one endpoint that die, where they are asked for one partition; its others are built."""

    def __init__(self, world: World, hour: str) -> None:
        self.world, self.hour, self.runs = world, hour, list[str]()

    def tick(self) -> list[int]:
        """How many partitions each run of this tick was asked for that died."""
        told = self.world.schedule("hourly")
        died = []
        for request in [] if isinstance(told, str) else told:
            keys = [key for endpoint, low, high in asked([request]) if endpoint == PLAYED for key in keys_between(low, high)]
            status = dg.DagsterRunStatus.FAILURE if self.hour in keys else dg.DagsterRunStatus.SUCCESS
            run = dg.DagsterRun(job_name=request.job_name or "", tags=dict(request.tags), status=status)
            self.world.instance.add_run(run)
            if self.hour in keys:
                self.runs.append(run.run_id)
                died.append(len(keys))
            elif keys:
                self.world.publish(PLAYED, keys)
        self.world.now += timedelta(minutes=1)
        return died


@pytest.fixture
def deadly(world: World) -> Deadly:
    """The newest hour kills its runs; all before it is there."""
    world.land(HOUR, 5)
    world.publish(PLAYED, keys_between("2024-10-08T12", "2024-10-10T10"))
    return Deadly(world, HOUR)


def test_what_kills_its_runs_is_found_fails_and_in_the_end_is_stuck_alone(world: World) -> None:
    """As where a partition needs more memory than there is: nobody answers, the process is just gone."""
    hour = "2024-10-10T09"
    world.land("2024-10-10T11", 5)
    world.publish(PLAYED, keys_between("2024-10-08T12", "2024-10-10T05"))
    deadly = Deadly(world, hour)
    assert [deadly.tick() for _ in range(4)] == [[6], [6], [1], []]  # with its neighbours, which are built when each has a run of its own; then it failed
    told = world.ledger.troubles.all()
    assert set(told) == {(PLAYED, hour)}
    assert (told[PLAYED, hour].state, told[PLAYED, hour].kind, told[PLAYED, hour].run_id) == ("failed", "interrupted", deadly.runs[2])
    assert told[PLAYED, hour].reason.startswith(f"run {deadly.runs[2]} ended without a word")
    for pause in (5, 20, 60):
        assert deadly.tick() == []
        world.now += timedelta(minutes=pause)
        assert [deadly.tick() for _ in range(2)] == [[1], []]
    assert world.ledger.troubles.all()[PLAYED, hour].state == "stuck"
    world.now += timedelta(hours=3)
    assert deadly.tick() == []
    world.land(hour, 5)  # other input
    assert deadly.tick() != []


def test_a_success_between_them_is_no_death_in_a_row(world: World, deadly: Deadly) -> None:
    assert deadly.tick() == [1]
    world.publish(PLAYED, [HOUR])
    world.now += timedelta(hours=1)
    world.land(HOUR, 5)
    world.publish(PLAYED, ["2024-10-10T12"])
    assert [deadly.tick() for _ in range(3)] == [[1], [1], []]


def test_new_code_is_tried_whatever_the_old_code_died_of(world: World, deadly: Deadly) -> None:
    assert [deadly.tick() for _ in range(2)] == [[1], [1]]
    contracts = world.ledger.registry.current()
    world.ledger.registry.apply(
        [*(each for key, each in contracts.items() if key != PLAYED), contracts[PLAYED].model_copy(update={"code_version": "new"})], "r2"
    )
    assert deadly.tick() == [1]
    assert world.ledger.troubles.all() == {}


def test_a_death_told_by_two_ticks_at_once_counts_once(world: World, deadly: Deadly) -> None:
    assert [deadly.tick() for _ in range(2)] == [[1], [1]]
    world.schedule("daily")  # closes the request, and asks for nothing hourly
    graph, decisions = Graph(world.ledger.registry.current()), list(decide_on(world.ledger, {(PLAYED, HOUR)}))
    seen = world.ledger.requests.deaths("music", world.now - timedelta(hours=1))
    for _ in range(2):
        world.ledger.requests.deaths = lambda domain, since: seen  # type: ignore[method-assign]
        assert after_deaths(world.ledger, graph.contracts, "music", decisions)[1] == []
    assert world.ledger.troubles.all()[PLAYED, HOUR].tries == 1


@pytest.mark.parametrize("reason", ["STEP_FAILURE", "UNEXPECTED_TERMINATION"])
def test_a_run_that_says_itself_why_it_ended_did_not_die(world: World, reason: str) -> None:
    world.land("2024-10-10T11", 5)
    for _ in range(3):
        (request,) = [each for each in requests_of(world) if covers(each, PLAYED, "2024-10-10T11")]
        tags = {**request.tags, "dagster/failure_reason": reason}
        world.instance.add_run(dg.DagsterRun(job_name=request.job_name or "", tags=tags, status=dg.DagsterRunStatus.FAILURE))
        world.now += timedelta(minutes=1)
    assert world.ledger.requests.deaths("music", world.now - timedelta(hours=1)) == []
