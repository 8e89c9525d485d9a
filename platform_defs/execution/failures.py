"""What can go wrong with one partition, worded for whoever mends it, and which of an engine's errors are whose.

Names the endpoint, the function, the partition, and what to do. Nothing here decides what happens next.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc
from pyspark.errors import AnalysisException, PySparkException
from pyspark.errors.exceptions.connect import SparkConnectGrpcException
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from platform_defs.execution.results import CheckResult, Failure, FailureKind
from platform_defs.lake.commits import NotCommitted
from platform_defs.lake.engine import EngineError
from platform_defs.ledger.turns import TurnTaken
from platform_defs.privacy.vault import VaultUnavailable
from platform_defs.privacy.workers import WorkerGone

_LINE = 300
_DETAIL = 6000
_INTERRUPTED = ("OPERATION_CANCELED", "OPERATION_CANCELLED", "SESSION_CLOSED", "SESSION_CHANGED", "JOB_CANCELLED", "cancelled part of cancelled job group")
_ENGINE = (
    "INTERNAL_ERROR",
    "CONNECT",
    "SESSION_NOT_FOUND",
    "UNABLE_TO_ACQUIRE_MEMORY",
    "RETRIES_EXCEEDED",
    "NO_ACTIVE_SESSION",
    "RESPONSE_ALREADY_RECEIVED",
    "OutOfMemoryError",
)
# Of a call: the server is gone, overloaded, or past the deadline. What it says of a plan comes as INTERNAL or UNKNOWN, with a condition of its own.
_GONE = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED}
)

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
_DISK_WORDS = {words: words for words in ("No space left on device", "Disk quota exceeded", "Read-only file system", "Input/output error")}
_DISK_WORDS |= {"Mkdirs failed to create": "no folder can be made on it, as on a read-only file system"}
ROOM = "Make room or mend the disk (`backline retention --dry-run` says what is to be had); it is tried again by itself"


def open_words(error: BaseException) -> tuple[str, str | None]:
    """What may be said of an endpoint's error: its first line, and where it came from. Endpoints see pseudonyms only."""
    return f"{type(error).__name__}: {first_line(error)}", _trace(error)


@dataclass(frozen=True)
class Blame:
    """Of whom a failure speaks: the endpoint and its author's function.

    Attributes:
        tell: an error in words that may be shown, and more to read. Where raw values are handled it withholds the text (see withheld).
    """

    endpoint: str
    function: str
    tell: Callable[[BaseException], tuple[str, str | None]] = open_words

    def raised(self, key: str, error: BaseException) -> Failure:
        """The function, or the plan it made, raised. An engine that is gone or a session that was interrupted is not the author's."""
        kind = kind_of(error)
        said, detail = self.tell(error)
        if kind is FailureKind.INTERRUPTED:
            return self._make(kind, key, "its work in Spark was interrupted", "It is tried again by itself; see the run that took it over or was cancelled")
        if kind is FailureKind.DISK:
            return self.disk(key, error)
        if kind is FailureKind.ENGINE:
            whose = "Spark" if isinstance(error, PySparkException | grpc.RpcError | EngineError) else "a service of the platform"
            return self._make(kind, key, f"{whose} failed: {said}", "It is tried again by itself; see `backline status` and that service's log", detail)
        return self._make(kind, key, f"it raised {said}", "Mend the function, run its test, and save: only new code or new input helps", detail)

    def not_a_frame(self, key: str, got: object) -> Failure:
        """The function returned something else than a DataFrame."""
        if got is None:
            return self._make(FailureKind.NOT_A_FRAME, key, "it returned None", "End the function with `return` and the DataFrame")
        return self._make(
            FailureKind.NOT_A_FRAME, key, f"it returned a {type(got).__name__}, not a DataFrame", "Return the DataFrame itself, not what is in it"
        )

    def missing(self, key: str, columns: Sequence[str], have: Sequence[str]) -> Failure:
        """Columns of the schema are not in the result."""
        why = f"its result lacks {_listed(columns)}; it has {_listed(have)}"
        return self._make(FailureKind.MISSING_COLUMNS, key, why, f"Add {_them(columns)} to the result, or take {_them(columns)} out of the schema")

    def missing_partition(self, key: str, column: str) -> Failure:
        """A ranged function dropped the partition column."""
        action = f"Keep {column} in its grouping and its result, or remove ranged=True"
        return self._make(FailureKind.MISSING_COLUMNS, key, f"its result lacks {column}, which a ranged function must return", action)

    def unknown(self, key: str, columns: Sequence[str]) -> Failure:
        """Columns in the result that the schema does not know."""
        why = f"its result has {_listed(columns)}, which the schema does not"
        return self._make(FailureKind.EXTRA_COLUMNS, key, why, f"Drop {_them(columns)} from the result, or declare {_them(columns)} in the schema")

    def twice(self, key: str, columns: Sequence[str]) -> Failure:
        """Several columns of one name."""
        why = f"its result has {_listed(columns)} more than once"
        return self._make(FailureKind.EXTRA_COLUMNS, key, why, "Drop one side after the join, or join by the column's name")

    def wrong_types(self, key: str, columns: Mapping[str, tuple[str, str]]) -> Failure:
        """Columns of another type than declared; by name (got, declared)."""
        why = "; ".join(f"{name} is {got}, declared {declared}" for name, (got, declared) in columns.items())
        casts = ", ".join(f'.withColumn("{name}", F.col("{name}").cast("{declared.lower()}"))' for name, (_, declared) in list(columns.items())[:3])
        return self._make(FailureKind.WRONG_TYPES, key, why, f"Cast in the function ({casts}), or declare the other type")

    def elsewhere(self, key: str, column: str, rows: int) -> Failure:
        """Rows of the result belong to another partition by their own partition column."""
        why = f"{rows} rows of its result are of another {column}"
        action = f"Filter to this partition, or leave {column} out of the result: it is added by itself"
        return self._make(FailureKind.OTHER_PARTITION, key, why, action)

    def refused(self, key: str, checks: Sequence[CheckResult], unique: Sequence[str], repeated: bool) -> Failure:
        """It was computed, and checks that refuse did not hold: the last good version stays. `repeated`: its rows repeat the key."""
        failed = [check for check in checks if not check.passed and check.severity == "error"]
        why = "; ".join(f"{check.name}: {check.description}" for check in failed)
        if any(check.name == "accounting" for check in failed):
            return self._make(FailureKind.UNACCOUNTED, key, why, "Rows were lost or made up on the way: a fault of the platform, tell who runs it")
        if repeated:
            action = f"Group by {', '.join(unique)} or drop duplicates in the function, or change Config.unique"
            return self._make(FailureKind.DUPLICATE_KEYS, key, why, f"{action}; the last good version stays")
        action = 'Mend the function or its input, or say in the schema what may be (nullable, bounds, on_fail="quarantine")'
        return self._make(FailureKind.BROKEN_CONTRACT, key, why, f"{action}; the last good version stays")

    def inspecting(self, key: str, error: BaseException) -> Failure:
        """The checks could not be evaluated."""
        kind = kind_of(error)
        if kind is FailureKind.DISK:
            return self.disk(key, error)
        kind = kind if kind in (FailureKind.ENGINE, FailureKind.INTERRUPTED) else FailureKind.RAISED
        said, detail = self.tell(error)
        action = "See the schema's checks (patterns, values); if Spark failed it is tried again by itself"
        return self._make(kind, key, f"its checks could not be evaluated: {said}", action, detail)

    def publishing(self, key: str, error: BaseException) -> Failure:
        """The commit failed; nothing of it is visible. What Spark says of a plan, files the table cannot take, and faults of the platform do not pass."""
        kind = kind_of(error)
        if kind is FailureKind.DISK:
            return self.disk(key, error)
        said, detail = self.tell(error)
        why = f"it could not be published: {said}"
        if kind is FailureKind.RAISED and not _of_storage(error):
            action = "If the table was changed by hand, mend it and build the partition again; else tell who runs the platform"
            return self._make(FailureKind.NOT_TAKEN, key, why, f"{action}; the last good version stays", detail)
        kind = FailureKind.INTERRUPTED if kind is FailureKind.INTERRUPTED else FailureKind.ENGINE
        return self._make(kind, key, why, "It is tried again by itself; see `backline status`", detail)

    def disk(self, key: str, error: BaseException) -> Failure:
        """A disk takes nothing; nothing of it is visible."""
        _, detail = self.tell(error)
        return self._make(FailureKind.DISK, key, f"a disk takes nothing: {disk_words(error)}", ROOM, detail)

    def engine(self, key: str, error: BaseException) -> Failure:
        """The engine is not there, or cannot say that a dead run has stopped."""
        said, detail = self.tell(error)
        action = "It is tried again by itself; see `backline status` and Spark's log"
        return self._make(FailureKind.ENGINE, key, f"Spark could not be used: {said}", action, detail)

    def taken_over(self, key: str) -> Failure:
        """Another run took the lease."""
        return self._make(FailureKind.INTERRUPTED, key, "another run took it over", "Nothing was published by this run; look at the newer one")

    def _make(self, kind: FailureKind, key: str, why: str, action: str, detail: str | None = None) -> Failure:
        return Failure(kind, self.endpoint, self.function, key, why, action, detail)


def kind_of(error: BaseException) -> FailureKind:
    """Whose an error is: of a disk, of a session that was interrupted, of an engine, Postgres or the vault in trouble, or of the code that was run."""
    if disk_words(error) is not None:
        return FailureKind.DISK
    if isinstance(error, grpc.RpcError | EngineError | NotCommitted | TurnTaken | VaultUnavailable | WorkerGone | PoolTimeout) or _of_postgres(error):
        return FailureKind.ENGINE
    if not isinstance(error, PySparkException):
        return FailureKind.RAISED
    if isinstance(error, SparkConnectGrpcException) and error.getGrpcStatusCode() in _GONE:
        return FailureKind.ENGINE
    condition, text = error.getCondition() or "", str(error)
    if condition.startswith(_INTERRUPTED) or any(mark in text for mark in _INTERRUPTED):
        return FailureKind.INTERRUPTED
    if condition.startswith(_ENGINE) or any(mark in text for mark in _ENGINE):
        return FailureKind.ENGINE
    return FailureKind.RAISED


def _of_postgres(error: BaseException) -> bool:
    """Whether a Postgres was not there, went away or had no room: one that ends in the midst of a statement is told by a plain DatabaseError."""
    if not isinstance(error, DBAPIError) or not type(error.orig).__module__.startswith("psycopg2"):  # other databases call more than that operational
        return False
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def _of_storage(error: BaseException) -> bool:
    """Whether an error that nobody else is blamed for comes from where tables lie."""
    if isinstance(error, PySparkException):
        return not isinstance(error, AnalysisException)
    return isinstance(error, OSError)


def disk_words(error: BaseException) -> str | None:
    """What the system says of a disk that takes nothing, full or read-only; None if it is not that. No value can be in it."""
    if isinstance(error, OSError) and error.errno in _DISK:
        return error.strerror or type(error).__name__
    if isinstance(error, PySparkException):  # Spark wraps it, and what is left of it are words among the causes
        causes = error.getStackTrace() if isinstance(error, SparkConnectGrpcException) else None
        text = f"{error}\n{causes or ''}"
        return next((words for mark, words in _DISK_WORDS.items() if mark in text), None)
    return None


def first_line(error: BaseException) -> str:
    """The first line of an error's text, shortened; Spark appends plans and stacks."""
    lines = str(error).strip().splitlines()
    line = lines[0].strip().rstrip(";") if lines else "no message"
    return line if len(line) <= _LINE else f"{line[:_LINE]}..."


def _trace(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error))
    return text if len(text) <= _DETAIL else f"{text[: _DETAIL // 2]}\n...\n{text[-_DETAIL // 2 :]}"


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(columns[:10]) + (f" and {len(columns) - 10} more" if len(columns) > 10 else "") if columns else "no column"


def _them(columns: Sequence[str]) -> str:
    return "it" if len(columns) == 1 else "them"
