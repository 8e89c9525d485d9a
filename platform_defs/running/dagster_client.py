"""Dagster over its GraphQL interface, as its own web pages use it: backfills and runs. No Dagster is imported here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

_LAUNCH = """
mutation Launch($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
    ... on InvalidSubsetError { message }
    ... on PartitionSetNotFoundError { message }
    ... on PartitionKeysNotFoundError { message }
  }
}
"""

_STATUS = """
query Status($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill {
      status
      error { message }
      runs(limit: 1000) { runId status }
      assetBackfillData {
        assetBackfillStatuses {
          ... on AssetPartitionsStatusCounts {
            assetKey { path } numPartitionsTargeted numPartitionsInProgress numPartitionsMaterialized numPartitionsFailed
          }
        }
      }
    }
    ... on BackfillNotFoundError { message }
    ... on PythonError { message }
  }
}
"""

_CANCEL = """
mutation Cancel($id: String!) {
  cancelPartitionBackfill(backfillId: $id) { __typename ... on CancelBackfillSuccess { backfillId } ... on PythonError { message } }
}
"""

_RETRY = """
mutation Retry($params: ReexecutionParams!) {
  reexecutePartitionBackfill(reexecutionParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
    ... on InvalidSubsetError { message }
    ... on PartitionSetNotFoundError { message }
    ... on PartitionKeysNotFoundError { message }
  }
}
"""

_SCHEDULE = """
query Schedule($selector: ScheduleSelector!) {
  scheduleOrError(scheduleSelector: $selector) {
    __typename
    ... on Schedule { id }
    ... on ScheduleNotFoundError { message }
    ... on PythonError { message }
  }
}
"""

_STOP_SCHEDULE = """
mutation StopSchedule($id: String!) {
  stopRunningSchedule(id: $id) { __typename ... on PythonError { message } ... on UnauthorizedError { message } }
}
"""

_SWITCHES = """
query Switches {
  repositoriesOrError {
    __typename
    ... on RepositoryConnection {
      nodes {
        location { name }
        schedules { name scheduleState { status } }
        sensors { name sensorState { status } }
      }
    }
    ... on PythonError { message }
  }
}
"""

_PARTS = """
query Parts {
  instance { daemonHealth { allDaemonStatuses { daemonType required lastHeartbeatTime } } }
  workspaceOrError {
    __typename
    ... on Workspace { locationEntries { name locationOrLoadError { __typename ... on PythonError { message } } } }
    ... on PythonError { message }
  }
}
"""

# Dagster's name for the one repository of a location that is a Definitions object.
_REPOSITORY = "__repository__"

ENDED = frozenset({"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"})


class DagsterRefused(RuntimeError):
    """Dagster answered, but with an error; the text is Dagster's."""


@dataclass(frozen=True)
class Progress:
    """Partitions of one asset within a backfill."""

    targeted: int
    running: int
    built: int
    failed: int


@dataclass(frozen=True)
class BackfillStatus:
    """A backfill as Dagster sees it now.

    Attributes:
        status: Dagster's word: REQUESTED, CANCELING, COMPLETED_SUCCESS, ...
        runs: run id -> status.
        assets: endpoint key -> progress.
        error: Dagster's message if the backfill itself broke.
    """

    id: str
    status: str
    runs: Mapping[str, str]
    assets: Mapping[str, Progress]
    error: str | None

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.status in ENDED

    @property
    def partitions(self) -> Progress:
        """All assets together."""
        every = self.assets.values()
        return Progress(sum(p.targeted for p in every), sum(p.running for p in every), sum(p.built for p in every), sum(p.failed for p in every))


@dataclass(frozen=True)
class Switch:
    """A schedule or a sensor (`kind`) of a code location, and whether it ticks."""

    location: str
    name: str
    kind: str
    on: bool


@dataclass(frozen=True)
class Parts:
    """What Dagster says of its own parts.

    Attributes:
        beats: part of the daemon, of those it needs -> its last sign of life, in seconds since 1970; 0: none yet.
        unloaded: code location -> why it could not be loaded.
    """

    beats: Mapping[str, float]
    unloaded: Mapping[str, str]


class DagsterClient:
    """Talks to one webserver.

    Args:
        url: `http://127.0.0.1:3000`.
    """

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout)

    def __enter__(self) -> DagsterClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def query(self, text: str, **variables: Any) -> dict[str, Any]:
        """One GraphQL request; raises DagsterRefused for errors in the answer and httpx.HTTPError when nobody answers."""
        answer = self._http.post("/graphql", json={"query": text, "variables": variables})
        body = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
        if body.get("errors"):
            raise DagsterRefused("; ".join(error["message"] for error in body["errors"]))
        answer.raise_for_status()
        data: dict[str, Any] = body["data"]
        return data

    def backfill(self, targets: Mapping[str, tuple[str, str]], *, title: str, tags: Mapping[str, str] | None = None) -> str:
        """Starts a backfill of each endpoint over its own range.

        Args:
            targets: endpoint key -> first and last partition, both included.
            title: shown in the web pages, at most 100 characters.

        Returns:
            The backfill's id. Raises DagsterRefused if Dagster will not start it.
        """
        return self.backfill_ranges({key: [ends] for key, ends in targets.items()}, title=title, tags=tags)

    def backfill_ranges(self, targets: Mapping[str, Sequence[tuple[str, str]]], *, title: str, tags: Mapping[str, str] | None = None) -> str:
        """As `backfill`, of several ranges of each endpoint."""
        params = {
            "partitionsByAssets": [
                {"assetKey": {"path": key.split("/")}, "partitions": {"ranges": [{"start": first, "end": last} for first, last in ends]}}
                for key, ends in targets.items()
            ],
            "title": title,
            "tags": [{"key": key, "value": value} for key, value in (tags or {}).items()],
        }
        return str(_good(self.query(_LAUNCH, params=params)["launchPartitionBackfill"], "LaunchBackfillSuccess")["backfillId"])

    def retry_backfill(self, backfill_id: str) -> str:
        """Starts a backfill of what is not built yet of one that has ended (cancelled, or with failures); the new one's id.

        Raises DagsterRefused where nothing is left to build, while it still goes on, or if the id is unknown.
        """
        params = {"parentRunId": backfill_id, "strategy": "FROM_FAILURE"}
        return str(_good(self.query(_RETRY, params=params)["reexecutePartitionBackfill"], "LaunchBackfillSuccess")["backfillId"])

    def backfill_status(self, backfill_id: str) -> BackfillStatus:
        """How far it is; raises DagsterRefused for an unknown id."""
        found = _good(self.query(_STATUS, id=backfill_id)["partitionBackfillOrError"], "PartitionBackfill")
        statuses = (found["assetBackfillData"] or {}).get("assetBackfillStatuses", [])
        return BackfillStatus(
            id=backfill_id,
            status=found["status"],
            runs={run["runId"]: run["status"] for run in found["runs"]},
            assets={
                "/".join(one["assetKey"]["path"]): Progress(
                    one["numPartitionsTargeted"], one["numPartitionsInProgress"], one["numPartitionsMaterialized"], one["numPartitionsFailed"]
                )
                for one in statuses
                if "assetKey" in one
            },
            error=(found["error"] or {}).get("message"),
        )

    def cancel(self, backfill_id: str) -> None:
        """Asks Dagster to cancel it; its running runs are interrupted."""
        _good(self.query(_CANCEL, id=backfill_id)["cancelPartitionBackfill"], "CancelBackfillSuccess")

    def switches(self) -> list[Switch]:
        """All schedules and sensors of the locations that are loaded."""
        found = _good(self.query(_SWITCHES)["repositoriesOrError"], "RepositoryConnection")
        return [
            Switch(node["location"]["name"], each["name"], kind, each[f"{kind}State"]["status"] == "RUNNING")
            for node in found["nodes"]
            for kind in ("schedule", "sensor")
            for each in node[f"{kind}s"]
        ]

    def parts(self) -> Parts:
        """Whether its daemon lives and its code locations are loaded."""
        answer = self.query(_PARTS)
        daemons = answer["instance"]["daemonHealth"]["allDaemonStatuses"]
        entries = _good(answer["workspaceOrError"], "Workspace")["locationEntries"]
        errors = {entry["name"]: entry["locationOrLoadError"] or {} for entry in entries}
        return Parts(
            beats={each["daemonType"]: each["lastHeartbeatTime"] or 0.0 for each in daemons if each["required"]},
            unloaded={name: error["message"] for name, error in errors.items() if error.get("__typename") == "PythonError"},
        )

    def stop_schedule(self, location: str, name: str) -> None:
        """Switches a schedule off, as its switch in the web pages does; harmless if it is. Raises DagsterRefused if there is none of that name."""
        selector = {"repositoryLocationName": location, "repositoryName": _REPOSITORY, "scheduleName": name}
        found = _good(self.query(_SCHEDULE, selector=selector)["scheduleOrError"], "Schedule")
        _good(self.query(_STOP_SCHEDULE, id=found["id"])["stopRunningSchedule"], "ScheduleStateResult")


def _good(answer: dict[str, Any], wanted: str) -> dict[str, Any]:
    if answer["__typename"] != wanted:
        raise DagsterRefused(f"Dagster answered {answer['__typename']}: {answer.get('message', 'no more is said')}")
    return answer
