"""Processes that derive for this one. Python computes on one core at a time, and of each person that is 8 us: the rest of an intake waits for it otherwise.

`python -m platform_defs.privacy.workers 7` serves the process at the other end of its socket 7, and ends with it, however that ends. What they tell each
other stays between them: it holds what lines say of people, and the first word the vault's key.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from platform_defs.privacy.deriving import Wanted, derived
from platform_defs.privacy.vault import Vault

# Rows until which no process is started, all questions together: to start one costs half a second of a core, 100,000 rows nearly one.
_PAYS_FROM = 100_000
_FEW = 10_000  # rows of one question that are sooner done here than told to others
_ROWS = 25_000  # told to one of them at a time, some 0.2 s
_MOST = 4  # some 100 MB each
_CHECKOUT = Path(__file__).resolve().parents[2]


class WorkerGone(RuntimeError):
    """A process that derives could not be started, or ended before it answered: for want of memory, or killed. It passes: the next question starts another."""


class Deriver:
    """Derives (see `deriving.derived`), much of it in processes of its own, which are started once they pay and ended with it. Threads may share it.

    Args:
        most: processes at most; one or none: all is derived in this one. pays_from: rows in all from which on they are used.
    """

    def __init__(self, vault: Vault, most: int | None = None, pays_from: int = _PAYS_FROM) -> None:
        self.vault = vault
        self._most, self._pays_from, self._asked = min(_MOST, _cores()) if most is None else most, pays_from, 0
        self._closed = False
        self._threads: ThreadPoolExecutor | None = None
        self._own = threading.local()
        self._workers: list[_Worker] = []
        self._changing = threading.Lock()

    def derived(self, wanted: Wanted, named: Any) -> Any:
        """As `deriving.derived`; raises WorkerGone too, and RuntimeError once it is closed."""
        with self._changing:
            self._go_on()
            self._asked += len(named)
            if self._asked >= self._pays_from and self._most > 1 and self._threads is None:
                self._threads = ThreadPoolExecutor(self._most)
            threads = self._threads
        if threads is None or len(named) < min(_FEW, self._pays_from):
            return derived(self.vault, wanted, named)
        rows = min(_ROWS, -(-len(named) // self._most))
        parts = named.combine_chunks().to_batches(max_chunksize=rows)
        return pa.concat_tables(threads.map(partial(self._ask, wanted), parts))

    def close(self) -> None:
        """Ends the processes, for good; what one is asked meanwhile raises WorkerGone."""
        with self._changing:
            self._closed = True
            threads, workers, self._workers = self._threads, self._workers, []
        for worker in workers:
            worker.end()
        if threads is not None:
            threads.shutdown(cancel_futures=True)
        for worker in workers:
            worker.close()  # only now: nobody reads from it any more

    def __enter__(self) -> Deriver:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(self, wanted: Wanted, part: Any) -> Any:
        """One of the threads asks its process."""
        worker = getattr(self._own, "worker", None) or self._started()
        try:
            answer = worker.ask(wanted, part)
        except BaseException:  # whatever it is, half an answer may lie in the pipe
            self._own.worker = None
            with self._changing:
                mine, self._workers = worker in self._workers, [each for each in self._workers if each is not worker]
            if mine:  # else it is being closed
                worker.end()
                worker.close()
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _started(self) -> _Worker:
        with self._changing:
            self._go_on()
            self._own.worker = worker = _Worker(self.vault)
            self._workers.append(worker)
        return worker

    def _go_on(self) -> None:
        if self._closed:
            raise RuntimeError("nobody derives any more: it was closed")


class _Worker:
    """One such process, asked by one thread."""

    def __init__(self, vault: Vault) -> None:
        self._opening = pickle.dumps(vault.elsewhere())
        path = os.pathsep.join(filter(None, (str(_CHECKOUT), os.environ.get("PYTHONPATH"))))
        self._connection, theirs = Pipe()
        with theirs:
            try:
                # A session of its own: Ctrl-C is for the one that asks. No output: an error's text may quote a row. No folder of whoever runs it: `-P`.
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    (sys.executable, "-P", "-m", __name__, str(theirs.fileno())),
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": path},
                    start_new_session=True,
                )
            except OSError as error:
                self._connection.close()
                raise WorkerGone("no process that derives could be started") from error

    def ask(self, wanted: Wanted, part: Any) -> Any:
        """What is derived of these rows, or the exception that was raised there. Raises WorkerGone; after any exception the process is of no use."""
        try:
            if self._opening:  # the first word, which nothing need keep
                self._connection.send_bytes(self._opening)
                self._opening = b""
            self._connection.send_bytes(pickle.dumps((wanted, _packed(part)), pickle.HIGHEST_PROTOCOL))
            return pickle.loads(self._connection.recv_bytes())  # noqa: S301 - our own child's
        except (EOFError, OSError) as error:
            self.end()
            raise WorkerGone(f"the process {self._process.pid}, which derived pseudonyms for this one, ended with code {self._process.returncode}") from error

    def end(self) -> None:
        """Ends the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Gives the connection back."""
        self._connection.close()


def serve(connection: Connection) -> None:
    """Answers until nobody asks any more. The first word says how the vault is opened."""
    vault: Vault = pickle.loads(connection.recv_bytes())()  # noqa: S301 - our own parent's
    while True:
        try:
            asked = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(_answer(vault, asked))


def _answer(vault: Vault, asked: bytes) -> bytes:
    try:
        wanted, packed = pickle.loads(asked)  # noqa: S301 - as above
        return pickle.dumps(derived(vault, wanted, pa.ipc.open_stream(packed).read_all()), pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - whatever it is: raised where it was asked
        return _told(error)


def _told(error: Exception) -> bytes:
    """The error as it is, if it survives the way, else its class and its text."""
    where = f"In another process:\n{''.join(traceback.format_exception(error))}"
    error.add_note(where)
    try:
        told = pickle.dumps(error)
        pickle.loads(told)  # noqa: S301 - there it would raise something else
    except Exception:  # noqa: BLE001 - a library's own reasons
        return pickle.dumps(RuntimeError(where))
    return told


def _packed(part: Any) -> bytes:
    """A batch as Arrow's stream: pickled, a part of a table is as large as the whole."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, part.schema) as writer:
        writer.write_batch(part)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    with Connection(int(sys.argv[1])) as asked_by:
        serve(asked_by)
