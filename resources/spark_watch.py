"""Notices that a server has stopped answering though its connections stand: a process that is stopped, or has lost its disk, never ends a call by itself.

What is asked, and what is done about it, is the engine's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Watch:
    """Asks every few seconds, in a thread of its own, while the engine has sessions.

    Args:
        answers: whether the server answers; it may take as long as it gives the server.
        gone: called once, after `patience` questions in a row without an answer.
        every: seconds between two questions.
    """

    def __init__(self, answers: Callable[[], bool], gone: Callable[[], None], every: float, patience: int = 3) -> None:
        self._answers, self._gone, self._every, self._patience = answers, gone, every, patience
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="spark-watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Asks no more. Does not wait for an answer that is still out."""
        self._ended.set()

    def _look(self) -> None:
        silent = 0
        while silent < self._patience:
            if self._ended.wait(self._every):
                return
            silent = 0 if self._answers() else silent + 1
        if not self._ended.is_set():
            self._gone()
