"""Who gets the run slots when both lanes are full, decided by Dagster's own queue from the configuration we write."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from dagster._utils.tags import TagConcurrencyLimitsCounter

from platform_defs.build.instance import instance_config
from sensors.run_tags import PRIORITY, backfill_tags, planned_tags
from tests.unit.resources.test_settings import settings

TEMPLATE = (Path(__file__).parents[3] / "deploy/local/dagster.yaml").read_text()


def cadence() -> dict[str, str]:
    return planned_tags(1, "2026-01-01T00", "2026-01-01T00", "low", "schedule")


def command(backfill: str) -> dict[str, str]:
    """A run of a backfill that the command started: Dagster adds its id."""
    return {**backfill_tags(force=False), "dagster/backfill": backfill}


def by_hand(backfill: str) -> dict[str, str]:
    """A run of a backfill from the web pages."""
    return {"dagster/backfill": backfill}


def launched(folder: Path, slots: int, queue: list[dict[str, str]]) -> list[dict[str, str]]:
    """Which of these runs Dagster starts into empty slots: in order of priority, what a limit blocks is passed over."""
    runs = yaml.safe_load(instance_config(settings(folder), "default", slots, TEMPLATE))["concurrency"]["runs"]
    counter = TagConcurrencyLimitsCounter(runs["tag_concurrency_limits"], [])
    started: list[dict[str, str]] = []
    for tags in sorted(queue, key=lambda tags: -int(tags.get(PRIORITY, "0"))):
        run: Any = SimpleNamespace(tags=tags)
        if len(started) < runs["max_concurrent_runs"] and not counter.is_blocked(run):
            counter.update_counters_with_launched_item(run)
            started.append(tags)
    return started


def shares(folder: Path, slots: int, *queue: dict[str, str]) -> tuple[int, int]:
    """How many runs of the cadence and of backfills start."""
    started = launched(folder, slots, list(queue))
    backfills = sum("dagster/backfill" in tags for tags in started)
    return len(started) - backfills, backfills


@pytest.mark.parametrize(("slots", "wanted"), [(10, (8, 2)), (5, (4, 1)), (20, (16, 4))])
def test_with_both_full_backfills_keep_a_fifth_and_the_cadence_has_the_rest(tmp_path: Path, slots: int, wanted: tuple[int, int]) -> None:
    assert shares(tmp_path, slots, *(command(f"b{n}") for n in range(50)), *(cadence() for _ in range(50))) == wanted


def test_backfills_never_take_more_than_two_fifths(tmp_path: Path) -> None:
    assert shares(tmp_path, 10, *(command(f"b{n}") for n in range(50))) == (0, 4)
    assert shares(tmp_path, 10, *(by_hand(f"b{n}") for n in range(25)), *(command("b") for _ in range(25))) == (0, 4)


def test_the_cadence_never_takes_the_backfills_fifth(tmp_path: Path) -> None:
    assert shares(tmp_path, 10, *(cadence() for _ in range(50))) == (8, 0)
