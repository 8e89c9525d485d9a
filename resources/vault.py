"""The vault as a Dagster resource. Only intake uses it; authors' code never sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from resources.settings import Settings, settings_at

if TYPE_CHECKING:
    from platform_defs.privacy.vault import Vault


@contextmanager
def open_vault(settings: Settings) -> Iterator[Vault]:
    """The vault of these settings, opened with the key-encryption key under their home, closed afterwards.

    Imports pyspark, which a schedule's process does without.
    """
    from platform_defs.privacy.keys import FileKek
    from platform_defs.privacy.vault import Vault

    vault = Vault(settings.vault_url, FileKek.load(settings.kek_file))
    try:
        yield vault
    finally:
        vault.close()


class VaultResource(dg.ConfigurableResource["VaultResource"]):
    """The running platform's vault. `home`: BACKLINE_HOME; empty: as the environment says."""

    home: str = ""

    @contextmanager
    def open(self) -> Iterator[Vault]:
        """A vault, closed afterwards."""
        with open_vault(settings_at(self.home)) as vault:
            yield vault
