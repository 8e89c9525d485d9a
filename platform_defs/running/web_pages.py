"""What the supervisor asks of Dagster's web server: to load locations again. Everything else of Dagster is asked by those who need it."""

from __future__ import annotations

import http.client
import json
from typing import Any

# A reload answers once the new code was loaded, pandera and pyspark included.
_SECONDS = 60.0
_WORKSPACE = "mutation { reloadWorkspace { __typename ... on PythonError { message } } }"
_LOCATION = """
mutation ($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) {
    __typename
    ... on WorkspaceLocationEntry { locationOrLoadError { __typename ... on PythonError { message } } }
    ... on PythonError { message }
    ... on ReloadNotSupported { message }
    ... on RepositoryLocationNotFound { message }
} }"""


class ReloadFailed(RuntimeError):
    """Dagster's web server did not load a location again; the message is Dagster's."""


def reload_location(port: int, name: str) -> None:
    """Has a location's code server load its code again; returns once it did. Raises ReloadFailed."""
    answer = _ask(port, _LOCATION, {"name": name})["reloadRepositoryLocation"]
    loaded = answer.get("locationOrLoadError") or {}
    if answer["__typename"] != "WorkspaceLocationEntry" or loaded.get("__typename") == "PythonError":
        raise ReloadFailed(f"{name}: {loaded.get('message') or answer.get('message') or answer['__typename']}")


def reload_workspace(port: int) -> None:
    """Has the web server read its workspace file again and look at all locations. Raises ReloadFailed."""
    answer = _ask(port, _WORKSPACE, {})["reloadWorkspace"]
    if answer["__typename"] != "Workspace":
        raise ReloadFailed(answer.get("message") or answer["__typename"])


def _ask(port: int, query: str, variables: dict[str, str]) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("POST", "/graphql", json.dumps({"query": query, "variables": variables}), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ReloadFailed(f"Dagster's web server did not answer ({type(error).__name__})") from error
    finally:
        connection.close()
    if answer.get("errors"):
        raise ReloadFailed(str(answer["errors"][0].get("message")))
    return dict(answer["data"])
