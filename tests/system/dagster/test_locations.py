"""Code locations: what is loaded is the applied copy, in a process of its own, as Dagster's code servers load it."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from platform_defs.build.definitions import build_defs
from platform_defs.build.describe import checks_of
from platform_defs.build.snapshot import activate, snapshot
from platform_defs.contracts.errors import ContractErrors
from tests.system.dagster.domains import loaded, write_domains

CHECKOUT = Path(__file__).parents[3]
_ASK = """
import sys
from platform_defs.build import definitions as d
from platform_defs.build.loading import load_applied
domain = load_applied("music")
print(domain.declared["music/plays"].function.__doc__)
print(sys.modules["assets.music.hours"].__file__)
from dagster import Definitions
defs = d.build_defs("music", loaded=domain, known={})
print(sorted(job.name for job in defs.get_repository_def().get_all_jobs()))
"""


def ask(home: Path) -> list[str]:
    """A fresh process's answer."""
    environ = {**os.environ, "BACKLINE_HOME": str(home), "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run([sys.executable, "-c", _ASK], env=environ, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_location_loads_the_applied_copy_whatever_was_saved_since(tmp_path: Path) -> None:
    home, assets = tmp_path / "home", write_domains(tmp_path)
    taken = snapshot(home, assets, "music")
    activate(home, taken)
    (assets / "music" / "hours.py").write_text("this is no Python\n")
    doc, file, jobs = ask(home)
    assert doc == "Plays of each track."
    assert Path(file) == taken.folder / "hours.py"
    assert jobs == "['__ASSET_JOB', 'music_daily', 'music_hourly', 'music_retention']"


def test_a_broken_copy_is_refused_before_it_is_activated(tmp_path: Path) -> None:
    from platform_defs.contracts.loading import load_domain

    assets = write_domains(tmp_path)
    (assets / "music" / "hours.py").write_text("this is no Python\n")
    with pytest.raises(ContractErrors, match=r"hours\.py"):
        load_domain(snapshot(tmp_path / "home", assets, "music").folder)


def test_every_asset_has_what_the_catalogue_promises(tmp_path: Path) -> None:
    music, sales = loaded(tmp_path, "music"), loaded(tmp_path, "sales")
    defs = build_defs("sales", loaded=sales, known={contract.key: contract for contract in music.contracts}, planned=False)
    repository = defs.get_repository_def()
    graph = repository.asset_graph
    for declared in sales.declared.values():
        contract = declared.contract
        node = graph.get(dg.AssetKey(contract.key.split("/")))
        assert (node.owners, node.description, node.code_version) == (["team:sales"], contract.description, contract.code_version)
        assert node.tags == {"tier": "low", "purpose": "product", "cadence": contract.cadence} | {f"dagster/kind/{kind}": "" for kind in node.kinds}
        assert node.backfill_policy is not None
        assert node.backfill_policy.max_partitions_per_run == (24 if contract.cadence == "hourly" else 7)
        assert {key.name for key in node.check_keys} == set(checks_of(contract))
        assert node.metadata["dagster/table_name"] == contract.table
        assert node.metadata["dagster/column_schema"].columns[0].name in ("hour", "day")
    plays = graph.get(dg.AssetKey(["music", "plays"]))
    assert plays.is_external
    assert plays.partitions_def == graph.get(dg.AssetKey(["sales", "royalties"])).partitions_def
    mapping = graph.get(dg.AssetKey(["sales", "royalties"])).partition_mappings[plays.key]
    assert isinstance(mapping, dg.TimeWindowPartitionMapping)
    assert (mapping.start_offset, mapping.end_offset) == (-1, 0)


def test_a_job_holds_one_cadence(tmp_path: Path) -> None:
    repository = build_defs("music", loaded=loaded(tmp_path, "music"), known={}, planned=False).get_repository_def()
    for cadence in ("hourly", "daily"):
        layer = repository.get_job(f"music_{cadence}").asset_layer
        assert {repository.asset_graph.get(key).tags["cadence"] for key in layer.selected_asset_keys} == {cadence}
