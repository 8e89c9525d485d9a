"""The ledger as one object: the concerns, hung on one connection pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from platform_defs.ledger.attempts import Attempts, Transitions
from platform_defs.ledger.facts import PlannerReads
from platform_defs.ledger.forgetting import Forgetting
from platform_defs.ledger.landing import Landing
from platform_defs.ledger.leases import Leases
from platform_defs.ledger.overdue import Overdue
from platform_defs.ledger.partitions import Partitions
from platform_defs.ledger.pauses import Pauses
from platform_defs.ledger.registry import Registry
from platform_defs.ledger.reopenings import Reopenings
from platform_defs.ledger.requests import Requests
from platform_defs.ledger.store import Store
from platform_defs.ledger.troubles import Troubles
from platform_defs.ledger.turns import Turns
from platform_defs.planning.facts import Facts


class Ledger:
    """The platform's tables in one Postgres database: an index that can be rebuilt from landing manifests and the lake's records.

    Args:
        url: SQLAlchemy URL of the database, `postgresql+psycopg2://...`.
        clock: the present instant, aware, UTC; given so that tests can move it.

    Safe to share between threads; after a fork each process opens its own connections.
    """

    def __init__(self, url: str, clock: Callable[[], datetime] | None = None) -> None:
        self.store = Store(url, clock)
        self.registry = Registry(self.store)
        self.landing = Landing(self.store)
        self.attempts = Attempts(self.store)
        self.transitions = Transitions(self.store)
        self.troubles = Troubles(self.store, self.transitions)
        self.partitions = Partitions(self.store, self.attempts, self.troubles)
        self.leases = Leases(self.store)
        self.turns = Turns(self.store)
        self.requests = Requests(self.store)
        self.pauses = Pauses(self.store, self.registry, self.transitions)
        self.reopenings = Reopenings(self.store)
        self.overdue = Overdue(self.store, self.registry, self.transitions)
        self.forgetting = Forgetting(self.store, self.attempts, self.requests)
        self.planner = PlannerReads(self.store, self.registry)

    def create(self) -> None:
        """Makes the tables, and adds what is missing to those that are there; idempotent, safe from several processes at once."""
        self.store.create()

    def facts(self, asked: str | Iterable[str], since: datetime, until: datetime) -> Facts:
        """What `planning.decide` needs of a domain, or of some endpoints, for the partitions that begin in a span."""
        return self.planner.facts(asked, since, until)

    def close(self) -> None:
        """Closes the pool's connections; the object may be used again."""
        self.store.engine.dispose()
