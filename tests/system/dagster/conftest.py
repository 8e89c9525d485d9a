"""One scripted Dagster for the module: starting one costs ten seconds."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_defs.ledger.embedded import EmbeddedPostgres
from resources.settings import Settings
from tests.fixtures.dagster import RunningDagster, running_dagster
from tests.system.dagster.domains import write_domains

_numbers = itertools.count(1)


def settings_in(home: Path, postgres: EmbeddedPostgres, database: str) -> Settings:
    """Settings of a platform at `home` whose Dagster has a fresh database; nothing else runs."""
    postgres.create_database(database)
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


@pytest.fixture(scope="module")
def scripted(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDagster]:
    """Dagster over the two small domains with the scripted builder."""
    home = tmp_path_factory.mktemp("home")
    write_domains(home)
    settings = settings_in(home, postgres, f"dagster_{next(_numbers)}")
    settings.write()
    with running_dagster(settings, ["music", "sales"], "tests.system.dagster.scripted") as dagster:
        yield dagster
