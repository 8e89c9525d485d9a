"""Fixtures of the intake's tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from platform_defs.execution.memory import MemoryBudget
from platform_defs.ledger import Ledger
from platform_defs.ledger.embedded import EmbeddedPostgres
from platform_defs.privacy.keys import FileKek
from platform_defs.privacy.vault import Vault
from resources.spark import SparkEngines
from tests.fixtures.tables import Tables
from tests.spark.intake.house import House

KEK = FileKek("test", bytes(range(32)))


@pytest.fixture
def vault(postgres: EmbeddedPostgres) -> Iterator[Vault]:
    """An empty vault for one test."""
    name = f"vault_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    made = Vault(postgres.uri(name), KEK)
    made.create()
    yield made
    made.close()
    postgres.drop_database(name)


@pytest.fixture(params=["spark"])
def way(request: pytest.FixtureRequest) -> str:
    """Who cleans lines, `process` (the run's process) or `spark`: a test's handful would never be Spark's."""
    return str(request.param)


@pytest.fixture
def house(tmp_path: Path, engines: SparkEngines, ledger: Ledger, vault: Vault, tables: Tables, way: str) -> Iterator[House]:
    """A platform of its own for one test."""
    made = House.at(tmp_path, engines, ledger, vault, tables)
    if way == "spark":
        made.platform = replace(made.platform, memory=MemoryBudget(-1))  # nothing fits
    yield made
    made.close()
