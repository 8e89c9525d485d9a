"""What may be said of an exception where raw values are handled: its class, Spark's condition, file and line. Its text goes to the run's own log.

An exception's text may quote a row, and Dagster keeps what it is told for months. The log is `<folder>/<run>.log`, 0600, kept as long as landing and
read with `backline logs RUN`.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import grpc
from pyspark.errors import PySparkException

from platform_defs.execution.failures import ROOM, disk_words, kind_of
from platform_defs.execution.results import Failure, FailureKind

# The process has one output: of two threads that redirect it, the second would give the first one's closed log back.
_CAPTURING = threading.RLock()


@dataclass(frozen=True)
class RunLog:
    """The private log of one run. `folder` None: texts are dropped."""

    folder: Path | None
    run_id: str

    def keep(self, error: BaseException, about: str) -> None:
        """Appends the whole error. `about`: what was being done. A disk that takes no log keeps nobody from being told of the error itself."""
        with suppress(OSError), self._open() as file:
            file.write(f"{datetime.now(UTC).isoformat()} {about}\n{''.join(traceback.format_exception(error))}\n")

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """What is printed inside goes to this log instead of the process' output, which Dagster keeps and shows. One thread at a time."""
        with _CAPTURING, self._open() as file, redirect_stdout(file), redirect_stderr(file):
            yield

    def _open(self) -> TextIO:
        if self.folder is None:
            return open(os.devnull, "w", encoding="utf-8")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.folder / f"{self.run_id}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace")

    def failure(self, endpoint: str, function: str, key: str, error: BaseException, module_file: str | None = None) -> Failure:
        """The failure without its text, which is kept here. `module_file`: the author's, to name the line in it rather than one in a library."""
        self.keep(error, f"{endpoint} {key}")
        # Memory that others had is free one day: nothing is the matter with the rows.
        kind, why = FailureKind.ENGINE if isinstance(error, MemoryError) else kind_of(error), f"it raised {said(error, module_file)}"
        again = kind in (FailureKind.ENGINE, FailureKind.INTERRUPTED)
        action = "It is tried again by itself" if again else "Mend what it names: only new code or new input helps"
        if kind is FailureKind.DISK:
            return Failure(kind, endpoint, function, key, f"a disk takes nothing: {disk_words(error)} ({said(error, module_file)})", ROOM)
        return Failure(kind, endpoint, function, key, why, f"{action}; the text is in `backline logs {self.run_id}`")


def said(error: BaseException, module_file: str | None = None) -> str:
    """Class, condition, file and line: `KeyError at vendor.py:31`, `AnalysisException [CONDITION] at cleaning.py:80`."""
    name = type(error).__name__
    condition = error.getCondition() if isinstance(error, PySparkException) else error.code().name if isinstance(error, grpc.RpcError) else None
    frames = traceback.extract_tb(error.__traceback__)
    own = (
        [frame for frame in frames if frame.filename == module_file]
        or [frame for frame in frames if "platform_defs" in Path(frame.filename).parts]
        or list(frames)
    )
    where = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    return f"{name}{f' [{condition}]' if condition else ''}{where}"
