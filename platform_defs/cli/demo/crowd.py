"""The demo's listeners at work: what their phones hand in, up to now and then as time goes on, from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from platform_defs.cli.demo.listening import hour_of_listening
from platform_defs.cli.demo.sent import Sent
from platform_defs.collection.sdk import Client

CLIENT = "phones"
HOURS_BACK = 6  # a first demo begins so many whole hours ago
_LONGEST_OFFLINE = timedelta(hours=3)
_EVERY_SECONDS = 5.0


class Crowd:
    """Sends what listeners do. `catch_up` once, then `start` for the trickle.

    Args:
        save: called with the instant up to which everything is acknowledged.

    Attributes:
        begun: what was handed in before this was sent by an earlier demo.
        until: what was handed in before this is acknowledged.
    """

    def __init__(self, client: Client, sent: Sent, save: Callable[[datetime], None], clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._client, self._save, self._clock = client, save, clock
        self.begun = sent.listening_until or clock().replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS_BACK)
        self.until = self.begun
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def catch_up(self) -> int:
        """Sends what was handed in up to now; returns how many events once they are acknowledged."""
        now = self._clock()
        hour = (self.until - _LONGEST_OFFLINE).replace(minute=0, second=0, microsecond=0)
        count = 0
        while hour <= now:
            for heard in hour_of_listening(hour):
                if self.until <= heard.sent < now:
                    self._client.send_raw(heard.event.type, heard.event.data, id=heard.event.id, time=heard.event.time)
                    count += 1
            hour += timedelta(hours=1)
        if self._client.flush(timeout=60):
            self.until = now
            self._save(now)
        return count

    def start(self) -> None:
        """Goes on by itself until `stop`."""
        self._thread = threading.Thread(target=self._trickle, name="demo-listeners", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the trickle."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _trickle(self) -> None:
        while not self._end.wait(_EVERY_SECONDS):
            self.catch_up()
