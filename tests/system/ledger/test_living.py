"""Decisions from the ledger equal decisions from plain facts through any history: deaths, failures, cancelled runs, new code, pauses, late rows, lost ticks."""

from __future__ import annotations

from datetime import timedelta

import pytest

from platform_defs.ledger import Ledger
from tests.system.ledger.living import OnLedger


@pytest.mark.parametrize("seed", [3, 5])
def test_the_ledger_tells_what_happened(ledger: Ledger, seed: int) -> None:
    lived = OnLedger(ledger, seed, hours=14, pace=timedelta(minutes=20)).live()
    assert lived.compared > 1000
