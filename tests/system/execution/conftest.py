"""What tests of retention stand on."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_defs.ledger import Ledger
from tests.system.execution.house import House


@pytest.fixture
def house(tmp_path: Path, ledger: Ledger) -> House:
    return House(tmp_path, ledger)
