"""What is the matter with the platform itself: which services answer, what they say of themselves, what is switched off. Datasets are not looked at here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from platform_defs.cli.switches import Off
    from platform_defs.running.dagster_client import DagsterClient, Parts
    from resources.settings import Settings

T = TypeVar("T")

_POSTGRES = "postgres"
_DEAD = "if its process died it is started again by itself, else stop and start Backline"
_BACK = "it is started again by itself if it died, or once it was silent for two minutes"
_SILENT = {"collector": f"{_BACK}; senders keep their events meanwhile", "spark": f"{_BACK}; what failed for it is tried again"}
_LOGS = {"web pages": "webserver"}
# Lines of a refusal: it names every reason, and the first are mostly enough.
_REFUSED_LINES = 8
# Each part of Dagster's daemon gives a sign of life every 30 s, and later after a long tick.
_BEAT_SECONDS = 300.0
_PATIENCE_SECONDS = 5  # of a busy machine: a false alarm is worse than a moment
_DAGSTER_SECONDS = 10.0


@dataclass(frozen=True)
class Services:
    """What is the matter.

    Attributes:
        silent: services that do not answer. troubled: what the collector says of itself.
        unloaded: domains whose code Dagster could not load, and why.
        off: schedules and sensors that somebody switched off. refused: why the saved files are not in force.
        shared_spark: one Spark server serves intake and authors' code. web, collector: where they are.
    """

    silent: Sequence[str]
    troubled: Sequence[str]
    unloaded: Mapping[str, str]
    off: Sequence[Off]
    refused: str | None
    shared_spark: bool
    web: str | None
    collector: str | None

    @property
    def well(self) -> bool:
        """Nothing is."""
        return not (self.silent or self.troubled or self.unloaded or self.off or self.refused)

    @property
    def no_ledger(self) -> bool:
        """Nothing can be told of datasets."""
        return _POSTGRES in self.silent

    @property
    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "silent": self.silent,
            "collector_problems": self.troubled,
            "unloaded": self.unloaded,
            "switched_off": [asdict(each) for each in self.off],
            "refused": self.refused,
            "shared_spark": self.shared_spark,
            "web": self.web,
            "collector": self.collector,
        }

    def show(self) -> None:
        """Writes it to standard output, a line each; nothing if all is well."""
        from rich.markup import escape

        from platform_defs.cli.speech import console

        out = console()
        for name in self.silent:
            out.print(f"[red]{name} does not answer[/red]: {_SILENT.get(name, _DEAD)}; its log: ./backline logs {_LOGS.get(name, name)}")
        for words in self.troubled:
            out.print(f"[red]collector[/red]: {escape(words)}")
        for name, error in self.unloaded.items():
            out.print(f"[red]the code of {name} is not loaded[/red]: {escape(error.strip().partition(chr(10))[0])}; its log: ./backline logs code-{name}")
        if self.refused is not None:
            out.print("[red]the saved files are not applied[/red]: what was applied before runs on; mend and save them, or ./backline apply says it again")
            lines = self.refused.splitlines()
            for line in lines[:_REFUSED_LINES]:
                out.print(f"      {line}", markup=False)
            if (more := len(lines) - _REFUSED_LINES) > 0:
                out.print(f"      and {more} more {'line' if more == 1 else 'lines'}: ./backline apply")
        for one in self.off:
            out.print(f"[red]switched off[/red]: {one.words}")


def looked_at(settings: Settings) -> Services:
    """Asks them all; what is switched off is known later, for what is paused counts in it."""
    from platform_defs.running.refusal import refused

    silent, parts = _silent_services(settings), _of_dagster(settings, lambda dagster: dagster.parts())
    if parts is not None and _daemon_silent(settings, parts):
        silent.append("daemon")
    return Services(
        silent=silent,
        troubled=collector_problems(settings),
        unloaded=parts.unloaded if parts is not None else {},
        off=(),
        refused=refused(settings.run),
        shared_spark=settings.spark_intake == settings.spark_lake,
        web=settings.dagster_url,
        collector=settings.collector_url,
    )


def _silent_services(settings: Settings) -> list[str]:
    """Names of the services that do not answer, asked all at once."""
    from platform_defs.running.services import fetch, greets

    def spark(url: str) -> bool:
        port = urlsplit(url.partition("/;")[0]).port
        return port is not None and greets(port, _PATIENCE_SECONDS)

    def http(url: str | None, path: str) -> bool:
        port = urlsplit(url or "").port
        return port is not None and fetch(port, path, _PATIENCE_SECONDS)[0] == HTTPStatus.OK

    def postgres() -> bool:
        import sqlalchemy as sa

        try:
            sa.create_engine(settings.ledger_url, poolclass=sa.NullPool, connect_args={"connect_timeout": _PATIENCE_SECONDS}).connect().close()
        except sa.exc.OperationalError:
            return False
        return True

    asked = {
        _POSTGRES: postgres,
        "spark": lambda: all(spark(url) for url in {settings.spark_intake, settings.spark_lake}),
        "collector": lambda: http(settings.collector_url, "/healthz"),
        "web pages": lambda: http(settings.dagster_url, "/server_info"),
    }
    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        answered = {name: pool.submit(ask) for name, ask in asked.items()}
        return [name for name, answer in answered.items() if not answer.result()]


def _daemon_silent(settings: Settings, parts: Parts) -> bool:
    """Whether a part of Dagster's daemon gave no sign of life for five minutes, of those that Backline is up."""
    from platform_defs.running.home import Home

    holder = Home(settings.home).lock().holder()
    up_since = holder.since.timestamp() if holder else 0.0  # what was before says nothing
    return any(time.time() - max(beat, up_since) > _BEAT_SECONDS for beat in parts.beats.values())


def collector_problems(settings: Settings) -> list[str]:
    """What the collector says is the matter with it; nothing if it does not answer."""
    from platform_defs.running.services import fetch

    _, said = fetch(urlsplit(settings.collector_url or "").port or 0, "/healthz")
    told = json.loads(said) if said else {}
    return [str(told[part]) for part in ("registry", "log", "sealer") if told.get(part)]


def switched_off(settings: Settings, paused: Collection[str]) -> list[Off]:
    """Schedules and sensors that are switched off."""
    from platform_defs.cli import switches

    return switches.switched_off(_of_dagster(settings, lambda dagster: dagster.switches()) or (), paused)


def _of_dagster(settings: Settings, ask: Callable[[DagsterClient], T]) -> T | None:
    """What Dagster's web pages answer; None if they do not, which is told by itself."""
    import httpx

    from platform_defs.running.dagster_client import DagsterClient, DagsterRefused

    if settings.dagster_url is None:
        return None
    try:
        with DagsterClient(settings.dagster_url, timeout=_DAGSTER_SECONDS) as dagster:
            return ask(dagster)
    except (httpx.HTTPError, DagsterRefused):
        return None
