"""Finding what runs: the settings a command needs, and which services answer. Nothing is started here."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection

    from platform_defs.cli.switches import Off
    from resources.settings import Settings


def running_settings() -> Settings:
    """Settings of the running platform. Raises NotRunning; also when its files are there but nobody holds the home (after kill -9)."""
    from platform_defs.running.home import Home
    from resources.settings import NotRunning, Settings, default_home

    settings = Settings.load()
    if "BACKLINE_LEDGER_URL" not in os.environ and Home(default_home()).lock().holder() is None:
        raise NotRunning("Backline is not running: start it with ./backline up")
    return settings


def silent_services(settings: Settings) -> list[str]:
    """Names of the services that do not answer, asked all at once."""
    from platform_defs.running.home import accepts
    from platform_defs.running.services import answers

    def spark(url: str) -> bool:
        port = urlsplit(url.partition("/;")[0]).port
        return port is not None and accepts(("127.0.0.1", port))

    def http(url: str | None, path: str) -> bool:
        port = urlsplit(url or "").port
        return port is not None and answers(port, path)

    asked = {
        "spark": lambda: all(spark(url) for url in {settings.spark_intake, settings.spark_lake}),
        "collector": lambda: http(settings.collector_url, "/healthz"),
        "web pages": lambda: http(settings.dagster_url, "/server_info"),
    }
    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        answered = {name: pool.submit(ask) for name, ask in asked.items()}
        return [name for name, answer in answered.items() if not answer.result()]


def collector_problems(settings: Settings) -> list[str]:
    """What the collector says is the matter with it; nothing if it does not answer."""
    from platform_defs.running.services import fetch

    _, said = fetch(urlsplit(settings.collector_url or "").port or 0, "/healthz")
    told = json.loads(said) if said else {}
    return [str(told[part]) for part in ("registry", "log", "sealer") if told.get(part)]


def switched_off(settings: Settings, paused: Collection[str]) -> list[Off]:
    """Schedules and sensors that are switched off; nothing if the web pages do not answer, which is told by itself."""
    import httpx

    from platform_defs.cli import switches
    from platform_defs.running.dagster_client import DagsterClient, DagsterRefused

    if settings.dagster_url is None:
        return []
    try:
        with DagsterClient(settings.dagster_url, timeout=10) as dagster:
            return switches.switched_off(dagster.switches(), paused)
    except (httpx.HTTPError, DagsterRefused):
        return []


def run_pages(settings: Settings) -> str | None:
    """The address below which each run has its page, if the web pages answer."""
    from platform_defs.running.services import answers

    port = urlsplit(settings.dagster_url or "").port
    return f"{settings.dagster_url}/runs" if port is not None and answers(port, "/server_info") else None
