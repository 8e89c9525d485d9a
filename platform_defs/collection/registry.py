"""What the receiver knows of the contracts: the registry's last state, looked at every two seconds, kept on disk for a start without Postgres."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import TypeAdapter

from platform_defs.collection.disk import Disk
from platform_defs.collection.validation import Judge, Limits
from platform_defs.contracts.contract import Contract

Registry = Callable[[], Mapping[str, Contract]]

_LOG = logging.getLogger(__name__)
_KEPT = TypeAdapter(dict[str, Contract])


class RegistryView:
    """The newest judge; building one happens outside the requests, and the last good one stays if a read or a contract fails.

    Args:
        load: all contracts; cheap when nothing changed (the same mapping again).
        kept: file of the last state; holds no value of any event.
        every: seconds between looks.
    """

    def __init__(self, load: Registry, kept: Path, *, limits: Limits | None = None, every: float = 2.0, disk: Disk | None = None) -> None:
        self._load, self._kept, self._limits, self._every, self._disk = load, kept, limits, every, disk or Disk()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._seen: Mapping[str, Contract] | None = None
        self._looked_at = float("-inf")
        self._thread: threading.Thread | None = None
        self.judge: Judge | None = None
        self.problem: str | None = None

    def start(self) -> None:
        """Reads the registry, else the kept state, and begins to look."""
        self.refresh()
        if self.judge is None and self._kept.exists():
            self.judge = Judge(_KEPT.validate_python(json.loads(self._kept.read_text())), self._limits)
        self._thread = threading.Thread(target=self._run, name="registry", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the looking."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def refresh(self, at_most_every: float = 0.0) -> Judge | None:
        """Looks now, unless somebody did within `at_most_every` seconds; returns the judge that holds from now on."""
        with self._lock:
            if time.monotonic() - self._looked_at < at_most_every:
                return self.judge
            try:
                contracts = self._load()
                events = {key: contract for key, contract in contracts.items() if contract.kind == "event"}
                if contracts is not self._seen and (self.judge is None or self.judge.contracts != events):
                    self.judge = Judge(events, self._limits, self.judge)
                    self._disk.put(self._kept, [_KEPT.dump_json(events)])
                self._seen = contracts
                self.problem = None
            except Exception as error:  # noqa: BLE001 - whatever the registry's driver raises: the last good state runs on
                words = f"the registry cannot be read ({type(error).__name__}); the last state read goes on"
                if words != self.problem:
                    _LOG.warning("%s", words)
                self.problem = words
            self._looked_at = time.monotonic()
            return self.judge

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.refresh()
