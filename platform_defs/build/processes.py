"""Dagster's processes as commands: code servers, daemon, webserver; their environment and the workspace they serve.

Who starts and watches them is `running`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from resources.settings import Settings

LOCATION_MODULE = "platform_defs.build.location"
STORAGE_VARIABLE = "BACKLINE_STORAGE_URL"


def domains_of(workspace: Path) -> list[str]:
    """The domains that `workspace.yaml` lists, in its order. Raises ValueError when it has another form."""
    text = yaml.safe_load(workspace.read_text(encoding="utf-8")) or {}
    try:
        return [str(entry["python_module"]["attribute"]) for entry in text.get("load_from", [])]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{workspace}: each entry of load_from is a python_module with module_name {LOCATION_MODULE}, attribute and location_name") from error


def workspace_text(domains: list[str]) -> str:
    """`workspace.yaml` for these domains."""
    entries = [{"python_module": {"module_name": LOCATION_MODULE, "attribute": domain, "location_name": domain}} for domain in domains]
    return "# One code location a domain; `backline new domain` adds one.\n" + str(yaml.safe_dump({"load_from": entries}, sort_keys=False))


def served_workspace(settings: Settings, domains: list[str]) -> Path:
    """Writes the workspace of the running platform, one code server's socket a domain; its path, for the daemon and the webserver."""
    path = settings.run / "workspace.yaml"
    entries = [{"grpc_server": {"socket": str(socket_of(settings, domain)), "location_name": domain}} for domain in domains]
    settings.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_suffix(".tmp")
    scratch.write_text(yaml.safe_dump({"load_from": entries}, sort_keys=False), encoding="utf-8")
    scratch.replace(path)
    return path


def socket_of(settings: Settings, domain: str) -> Path:
    """The socket of a domain's code server."""
    return settings.run / f"code-{domain}.sock"


def environment(settings: Settings) -> dict[str, str]:
    """What each of Dagster's processes needs beside its parent's environment."""
    return {
        "BACKLINE_HOME": str(settings.home),
        "DAGSTER_HOME": str(settings.dagster_home),
        STORAGE_VARIABLE: settings.storage_url,
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        # The materialisations of a range in one statement instead of one each.
        "DAGSTER_EVENT_BATCH_SIZE": "500",
        # One native thread each: numeric libraries would start one per core in every process.
        "OPENBLAS_NUM_THREADS": "1",
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
    }


def code_server_command(settings: Settings, domain: str, folder: Path, module: str = LOCATION_MODULE) -> tuple[str, ...]:
    """A code server that keeps its socket while it reloads.

    Args:
        folder: the checkout.
        module: has the domain's definitions as an attribute of the domain's name.
    """
    return (
        *(sys.executable, "-m", "dagster", "code-server", "start"),
        *("--module-name", module, "--attribute", domain, "--location-name", domain),
        *("--socket", str(socket_of(settings, domain)), "--working-directory", str(folder)),
        "--use-python-environment-entry-point",
        # The server behind the socket ends itself after 30 s without a sign from its proxy, and nobody starts it again: a busy machine lost locations so.
        *("--heartbeat-ttl", "900"),
        *("--log-level", "warning"),
    )


def daemon_command(workspace: Path) -> tuple[str, ...]:
    """The daemon: schedules, sensors, backfills, the run queue, monitoring."""
    return (sys.executable, "-m", "platform_defs.build.daemon", "--workspace", str(workspace))


def webserver_command(workspace: Path, port: int) -> tuple[str, ...]:
    """The web pages and GraphQL, on loopback."""
    return (
        *(sys.executable, "-m", "dagster_webserver", "--host", "127.0.0.1", "--port", str(port)),
        *("--workspace", str(workspace), "--log-level", "warning", "--dagster-log-level", "warning", "--suppress-warnings"),
    )
