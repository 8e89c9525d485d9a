"""What the platform asks of its distributed engine. The protocol alone: Spark Connect is implemented in resources/spark.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from platform_defs.contracts.contract import Tier

Zone = Literal["intake", "lake"]


class EngineError(RuntimeError):
    """The engine cannot do what was asked; the message says why and what to do."""


@dataclass(frozen=True)
class Metrics:
    """What one tagged piece of work cost: wall seconds, and the server's counts where it tells them."""

    seconds: float
    counts: dict[str, Any] = field(default_factory=dict)


class Engine(Protocol):
    """One warm engine in one trust zone.

    Sessions are named: `session(run_id)` opens (or finds again) the session whose id is uuid5 of the run id, with a fixed user id, so
    that whoever takes over a lease can interrupt what a killed client left running in the server.
    """

    zone: Zone

    def session(self, run_id: str) -> SparkSession:
        """The session of this run, opened on first use, with the platform's settings."""

    def tagged(self, session: SparkSession, *tags: str) -> AbstractContextManager[None]:
        """Every operation inside carries the tags (run, endpoint, partition), for metrics and for interrupting."""

    def sized(self, session: SparkSession, rows: int | None) -> None:
        """Says how many rows each of the next plans of the session sees (None: nobody knows), so that few rows are not kept waiting for a compiler."""

    def ranked(self, session: SparkSession, tier: Tier) -> None:
        """Says of which tier the session's next work is: where cores are short, higher tiers get more of them."""

    def interrupt(self, run_id: str) -> int:
        """Interrupts all that the run's session still does in the server, waits until nothing of it runs; how many operations it hit."""

    def release(self, run_id: str) -> None:
        """Ends the run's session; harmless if there is none."""

    def alive(self) -> bool:
        """Whether the server answers within a few seconds."""


class EngineProvider(Protocol):
    """Engines by trust zone (DESIGN 7). On a laptop both zones may be one server."""

    def engine(self, zone: Zone) -> Engine:
        """The engine of that zone."""

    def engines(self) -> Iterator[Engine]:
        """All of them, each once."""
