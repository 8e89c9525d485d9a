"""The ledger as a Dagster resource: connections that live as long as the run or the tick that asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from platform_defs.ledger import Ledger
from resources.settings import settings_at


class LedgerResource(dg.ConfigurableResource["LedgerResource"]):
    """The running platform's ledger. `home`: BACKLINE_HOME; empty: as the environment says."""

    home: str = ""

    @contextmanager
    def open(self) -> Iterator[Ledger]:
        """A ledger, closed afterwards."""
        ledger = Ledger(settings_at(self.home).ledger_url)
        try:
            yield ledger
        finally:
            ledger.close()
