"""Dagster for the tests: an instance of one test's own, and a whole scripted one for a module, whose start costs ten seconds."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from platform_defs.build.instance import bootstrap_instance, open_instance, write_instance_config
from platform_defs.ledger import Ledger
from platform_defs.ledger.embedded import EmbeddedPostgres
from resources.settings import Settings
from tests.fixtures.dagster import RunningDagster, running_dagster
from tests.system.dagster.domains import write_domains
from tests.system.dagster.music import World

_numbers = itertools.count(1)


def settings_in(home: Path, postgres: EmbeddedPostgres, database: str, template: str = "template1") -> Settings:
    """Settings of a platform at `home` whose Dagster has a database of its own, a copy of `template`; nothing else runs."""
    postgres.create_database(database, template=template)
    nowhere = "sc://localhost:1/;token=none"
    return Settings(
        home=home,
        landing=str(home / "landing"),
        lake=str(home / "lake"),
        ledger_url=postgres.uri("ledger"),
        vault_url=postgres.uri("vault"),
        storage_url=postgres.uri(database),
        spark_intake=nowhere,
        spark_lake=nowhere,
        collector_url="http://127.0.0.1:1",
        assets=home / "assets",
    )


@pytest.fixture(scope="session")
def instance_template(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the tables of a new instance, for copying."""
    bootstrap_instance(settings_in(tmp_path_factory.mktemp("template"), postgres, "dagster_template"))
    return "dagster_template"


@pytest.fixture
def instance(postgres: EmbeddedPostgres, instance_template: str, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An empty instance over the platform's own storage: SQLite makes a database a run, and was four fifths of a tick's cost."""
    name = f"dagster_{next(_numbers)}"
    settings = settings_in(tmp_path, postgres, name, template=instance_template)
    write_instance_config(settings)
    with open_instance(settings) as opened:
        yield opened
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def scripted(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDagster]:
    """Dagster over the two small domains with the scripted builder."""
    home = tmp_path_factory.mktemp("home")
    write_domains(home)
    settings = settings_in(home, postgres, f"dagster_{next(_numbers)}")
    settings.write()
    with running_dagster(settings, ["music", "sales"], "tests.system.dagster.scripted") as dagster:
        yield dagster


@pytest.fixture
def world(ledger: Ledger, instance: dg.DagsterInstance, tmp_path: Path) -> World:
    return World(ledger, instance, tmp_path)
