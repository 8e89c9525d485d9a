"""Finding what runs: the settings a command needs, and where the web pages are. Nothing is started here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from resources.settings import Settings


def running_settings() -> Settings:
    """Settings of the running platform. Raises NotRunning; also when its files are there but nobody holds the home (after kill -9)."""
    from platform_defs.running.home import Home
    from resources.settings import NotRunning, Settings, default_home

    settings = Settings.load()
    if "BACKLINE_LEDGER_URL" not in os.environ and Home(default_home()).lock().holder() is None:
        raise NotRunning("Backline is not running: start it with ./backline up")
    return settings


def run_pages(settings: Settings) -> str | None:
    """The address below which each run has its page, if the web pages answer."""
    from platform_defs.running.services import answers

    port = urlsplit(settings.dagster_url or "").port
    return f"{settings.dagster_url}/runs" if port is not None and answers(port, "/server_info") else None
