"""The receiver's view of the registry: new contracts come in, a failing registry changes nothing, a start without one takes the kept state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from platform_defs.collection.registry import RegistryView
from platform_defs.contracts.contract import Contract
from tests.fixtures.collecting import CONTRACTS, PLAYED, RATED


class Registry:
    def __init__(self, contracts: Mapping[str, Contract]) -> None:
        self.contracts, self.away, self.reads = contracts, False, 0

    def __call__(self) -> Mapping[str, Contract]:
        self.reads += 1
        if self.away:
            raise RuntimeError("no server")
        return self.contracts


def test_a_changed_registry_makes_a_new_judge_an_unchanged_one_none(tmp_path: Path) -> None:
    registry = Registry({PLAYED.key: PLAYED})
    view = RegistryView(registry, tmp_path / "kept.json")
    first = view.refresh()
    registry.contracts = {PLAYED.key: PLAYED, "charts/x": RATED.model_copy(update={"kind": "endpoint", "key": "charts/x"})}
    assert view.refresh() is first
    registry.contracts = CONTRACTS
    second = view.refresh()
    assert second is not None
    assert second is not first
    assert set(second.contracts) == set(CONTRACTS)


def test_a_registry_that_cannot_be_read_leaves_the_last_state_and_is_told_of(tmp_path: Path) -> None:
    registry = Registry(CONTRACTS)
    view = RegistryView(registry, tmp_path / "kept.json")
    judge = view.refresh()
    registry.away = True
    assert view.refresh() is judge
    assert view.problem is not None
    assert "RuntimeError" in view.problem
    registry.away = False
    assert view.refresh() is judge
    assert view.problem is None


def test_a_start_without_a_registry_takes_the_kept_state(tmp_path: Path) -> None:
    registry = Registry(CONTRACTS)
    RegistryView(registry, tmp_path / "kept.json").refresh()
    registry.away = True
    view = RegistryView(registry, tmp_path / "kept.json", every=3600)
    view.start()
    view.stop()
    assert view.judge is not None
    assert view.judge.contracts == CONTRACTS
    empty = RegistryView(registry, tmp_path / "none.json", every=3600)
    empty.start()
    empty.stop()
    assert empty.judge is None


def test_many_askers_make_one_look(tmp_path: Path) -> None:
    registry = Registry(CONTRACTS)
    view = RegistryView(registry, tmp_path / "kept.json")
    for _ in range(5):
        view.refresh(at_most_every=60)
    assert registry.reads == 1
