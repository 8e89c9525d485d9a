"""Fixtures of the execution tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_defs.ledger import Ledger
from resources.spark import SparkEngines
from tests.fixtures.tables import Tables
from tests.spark.execution.workshop import Workshop


@pytest.fixture
def shop(tmp_path: Path, engines: SparkEngines, ledger: Ledger, tables: Tables) -> Iterator[Workshop]:
    """A platform of its own for one test."""
    made = Workshop.at(tmp_path, engines, ledger, tables=tables)
    yield made
    made.close()
