"""The lake's and the landing's places as Dagster resources."""

from __future__ import annotations

import dagster as dg

from platform_defs.lake.landing import LandingStore
from platform_defs.lake.layout import Lake
from resources.settings import settings_at


class LakeResource(dg.ConfigurableResource["LakeResource"]):
    """Where tables and landing lie. `home`: BACKLINE_HOME; empty: as the environment says."""

    home: str = ""

    def lake(self) -> Lake:
        """The running platform's lake."""
        return Lake(settings_at(self.home).lake)

    def landing(self) -> LandingStore:
        """The running platform's landing."""
        return LandingStore(settings_at(self.home).landing)
