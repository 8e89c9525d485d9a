"""Where a code location gets its domain from: the applied copy under BACKLINE_HOME, and the registry for what it reads of others."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from platform_defs.build.snapshot import applied
from platform_defs.contracts.contract import Contract
from resources.settings import NotRunning, Settings, checkout, default_home

if TYPE_CHECKING:
    from platform_defs.contracts.loading import LoadedDomain


def load_applied(domain: str, home: Path | None = None) -> LoadedDomain:
    """The domain's last applied copy; where none was ever applied, its folder in the checkout.

    The copy's `assets` package takes the place of the checkout's in this process, so one process loads one domain. Raises ContractErrors.
    """
    from platform_defs.contracts.loading import load_domain

    copy = applied(home or default_home(), domain)
    if copy is None:
        return load_domain(checkout() / "assets" / domain)
    root = str(copy.root)
    if root not in sys.path:
        sys.path.insert(0, root)
    return load_domain(copy.folder)


def known_contracts() -> Mapping[str, Contract]:
    """All contracts in force: the registry's; where nothing runs (tests, CI), those written beside each domain."""
    try:
        settings = Settings.load()
    except NotRunning:
        from platform_defs.contracts.registry_file import read_registry_files

        return read_registry_files(checkout() / "assets")
    from platform_defs.ledger import Ledger

    ledger = Ledger(settings.ledger_url)
    try:
        return ledger.registry.current()
    finally:
        ledger.close()
