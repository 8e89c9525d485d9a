"""Processes that derive for this one. Python computes on one core at a time, and of each person that is 9 us: the rest of an intake waits for it otherwise.

`python -m platform_defs.privacy.workers 7` serves the process at the other end of its socket 7, and ends with it, however that ends. What they tell each
other stays between them: it holds what lines say of people, and the first word the vault's key.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from platform_defs.privacy.deriving import Wanted, derived
from platform_defs.privacy.vault import Vault

_FEW = 10_000
# People until which no process is started: one takes half a second of a core until it can begin.
_PAYS_FROM = 100_000
_ROWS = 25_000  # a question to one of them, some 0.3 s
_MOST = 4
_CHECKOUT = Path(__file__).resolve().parents[2]


class WorkerGone(RuntimeError):
    """A process that derived has ended before it answered: killed, for want of memory or by somebody. Tried again, another one is started."""


class Deriver:
    """Derives (see `deriving.derived`), much of it in processes of its own, which are started once they pay and ended with it. Threads may share it.

    Args:
        most: processes at most; one or none: all is derived in this one. pays_from: rows in all from which on they are used.
    """

    def __init__(self, vault: Vault, most: int | None = None, pays_from: int = _PAYS_FROM) -> None:
        self.vault = vault
        self._most, self._pays_from, self._asked = min(_MOST, os.cpu_count() or 1) if most is None else most, pays_from, 0
        self._closed = False
        self._threads: ThreadPoolExecutor | None = None
        self._own = threading.local()
        self._workers: list[_Worker] = []
        self._changing = threading.Lock()

    def derived(self, wanted: Wanted, named: Any) -> Any:
        """As `deriving.derived`; raises WorkerGone too, and RuntimeError once it is closed."""
        with self._changing:
            if self._closed:
                raise RuntimeError("nobody derives any more: it was closed")
            self._asked += len(named)
            if self._asked >= self._pays_from and self._most > 1 and self._threads is None:
                self._threads = ThreadPoolExecutor(self._most)
            threads = self._threads
        if threads is None or len(named) < min(_FEW, self._pays_from):
            return derived(self.vault, wanted, named)
        rows = -(-len(named) // self._most) if len(named) < _ROWS * self._most else _ROWS
        parts = named.combine_chunks().to_batches(max_chunksize=rows)
        return pa.concat_tables(threads.map(partial(self._ask, wanted), parts))

    @property
    def pids(self) -> list[int]:
        """The processes that were started and have not ended."""
        with self._changing:
            return [worker.pid for worker in self._workers]

    def close(self) -> None:
        """Ends the processes, for good; what one is asked meanwhile raises WorkerGone."""
        with self._changing:
            self._closed = True
            threads, asked = self._threads, list(self._workers)
        for worker in asked:
            worker.end()
        if threads is None:
            return
        threads.shutdown(cancel_futures=True)
        for worker in self._workers:  # one may have been started meanwhile; nobody reads from any now
            worker.end()
            worker.close()

    def __enter__(self) -> Deriver:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(self, wanted: Wanted, part: Any) -> Any:
        worker: _Worker | None = getattr(self._own, "worker", None)
        if worker is None:
            worker = self._own.worker = _Worker(self.vault)
            with self._changing:
                self._workers.append(worker)
        try:
            return worker.ask(wanted, part)
        except WorkerGone:
            self._own.worker = None
            with self._changing:
                self._workers = [each for each in self._workers if each is not worker]
            worker.close()
            raise


class _Worker:
    """One such process, asked by one thread."""

    def __init__(self, vault: Vault) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            path = os.pathsep.join(filter(None, (str(_CHECKOUT), os.environ.get("PYTHONPATH"))))
            # A session of its own: Ctrl-C is for the one that asks. No output: an error's text may quote a row.
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                (sys.executable, "-m", __name__, str(theirs.fileno())),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._connection = Connection(ours.detach())
        self._tell(vault)

    def ask(self, wanted: Wanted, part: Any) -> Any:
        """What is derived of these rows. Raises what deriving raised there, and WorkerGone."""
        self._tell((wanted, _packed(part)))
        try:
            answer = pickle.loads(self._connection.recv_bytes())  # noqa: S301 - our own child's
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> None:
        """Ends the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Gives the connection back."""
        self._connection.close()

    def _tell(self, what: object) -> None:
        try:
            self._connection.send_bytes(pickle.dumps(what, pickle.HIGHEST_PROTOCOL))
        except OSError as error:
            raise self._gone() from error

    def _gone(self) -> WorkerGone:
        self.end()
        return WorkerGone(f"the process {self.pid}, which derived pseudonyms for this one, ended with code {self._process.returncode}")


def serve(connection: Connection) -> None:
    """Answers until nobody asks any more. Without the vault every answer is what its opening raised."""
    vault = pickle.loads(connection.recv_bytes())  # noqa: S301 - our own parent's
    while True:
        try:
            wanted, packed = pickle.loads(connection.recv_bytes())  # noqa: S301 - as above
        except EOFError:
            return
        connection.send_bytes(_answer(vault, wanted, pa.ipc.open_stream(packed).read_all()))


def _answer(vault: Vault, wanted: Wanted, part: Any) -> bytes:
    try:
        return pickle.dumps(derived(vault, wanted, part), pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - whatever it is: raised where it was asked
        error.add_note(f"In another process:\n{traceback.format_exc()}")
        try:
            return pickle.dumps(error)
        except Exception:  # noqa: BLE001 - an error of some library that cannot be told as it is
            return pickle.dumps(RuntimeError(f"{type(error).__name__}\n{traceback.format_exc()}"))


def _packed(part: Any) -> bytes:
    """A batch as Arrow's stream: pickled, a part of a table is as large as the whole."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, part.schema) as writer:
        writer.write_batch(part)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


if __name__ == "__main__":
    with Connection(int(sys.argv[1])) as asked_by:
        serve(asked_by)
