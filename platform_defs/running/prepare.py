"""Makes what the services expect to find: the ledger's and the vault's tables, Dagster's instance. Harmless when they are there.

A program of its own, run by the supervisor once Postgres answers: the supervisor forks, and so stays free of the libraries that are needed here.

    python -m platform_defs.running.prepare
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from resources.settings import Settings

LAUNCHER_VARIABLE = "BACKLINE_RUN_LAUNCHER"


def chosen_launcher() -> Literal["warm", "default"]:
    """Which launcher starts runs: the warm one unless the environment says `default`, for comparing and for code that does not bear a fork."""
    return "default" if os.environ.get(LAUNCHER_VARIABLE) == "default" else "warm"


def main() -> None:
    """Prepares the platform that `BACKLINE_HOME` names."""
    settings = Settings.load()
    # The tables are made while Dagster is imported, which takes longest.
    with ThreadPoolExecutor(max_workers=1) as side:
        tables = side.submit(_tables, settings)
        from platform_defs.build.instance import bootstrap_instance

        bootstrap_instance(settings, chosen_launcher())
        tables.result()


def _tables(settings: Settings) -> None:
    from platform_defs.lake import staging
    from platform_defs.lake.layout import Lake
    from platform_defs.ledger import Ledger
    from platform_defs.privacy import pseudonyms
    from platform_defs.privacy.keys import FileKek
    from platform_defs.privacy.vault import Vault

    # No run lives before this: what killed ones left in private folders and in staging goes.
    pseudonyms.sweep(settings.landing)
    staging.sweep(Lake(settings.lake), ())
    ledger = Ledger(settings.ledger_url)
    try:
        ledger.create()
    finally:
        ledger.close()
    vault = Vault(settings.vault_url, FileKek.load_or_create(settings.kek_file))
    try:
        vault.create()
    finally:
        vault.close()


if __name__ == "__main__":
    main()
