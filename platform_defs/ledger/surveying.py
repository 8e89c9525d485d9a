"""One look at a domain's deadlines: what became overdue and what no longer is, and the verdicts of check `on_time` that are to be told of it, with roots.

Reads alone: `Overdue.record` notes what was told. A look with nothing overdue is four statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache

from platform_defs.contracts.partitions import index_of, start_of
from platform_defs.ledger.ledger import Ledger
from platform_defs.ledger.looking import facts_of, look
from platform_defs.ledger.overdue import Promises
from platform_defs.planning.deadlines import Moves, Place, Verdict, absent, deadline_of, judged, moves
from platform_defs.planning.pausing import pause_words
from platform_defs.planning.roots import Root, Roots, is_news
from platform_defs.planning.spans import Ranges
from platform_defs.planning.states import LOOK_BACK
from platform_defs.planning.sweep import swept

# Verdicts a look tells; the rest waits for the next ones, oldest first.
MOST = 300
# What was told and is still overdue is looked at again in shares of so many, for its root may have become another.
_TRACED_AGAIN = 500
# Deadlines older than this are not found any more: what has been missing for so long is listed by `status --missing`.
_BACK = LOOK_BACK + timedelta(days=1)


@dataclass(frozen=True)
class Survey:
    """What one look found.

    Attributes:
        moves: what changed, as far as this look tells it. roots: of what is told to be overdue.
        verdicts: for Dagster, oldest partition first. overdue: how many are, muted ones aside.
    """

    moves: Moves
    verdicts: tuple[Verdict, ...]
    roots: Mapping[Place, Root]
    overdue: int

    @property
    def told(self) -> dict[Place, str]:
        """The names of the roots that are told."""
        return {place: root.name for place, root in self.roots.items()}

    @property
    def words(self) -> dict[Place, str]:
        """These roots in words."""
        return {place: root.words for place, root in self.roots.items()}


def survey(ledger: Ledger, domain: str, most: int = MOST) -> Survey:
    """Looks at a domain now; what is not noted afterwards is told at the next look again. `most`: verdicts to be told."""
    now = ledger.store.clock()
    promises = ledger.overdue.read(domain)
    seen = moves(promises.of, promises.open, promises.pauses.keys(), now, _BACK)
    new = {*seen.entered, *seen.resumed, *(place for place in seen.still if promises.open[place].root is None)}
    chosen = set(_oldest([*new, *seen.left, *seen.muted])[:most])
    again = {f"{place[0]} {place[1]}": place for place in seen.still if place not in new}
    roots = _roots(ledger, promises, [*(new & chosen), *(again[name] for name in swept(again, now, _TRACED_AGAIN))], now)
    news = [place for place in _oldest(again.values()) if place in roots and is_news(promises.open[place].root, roots[place])]
    kept = {place: roots[place] for place in _oldest([*(new & chosen), *news[: most - len(chosen)]]) if place in roots}
    left = {place: end for place, end in seen.left.items() if place in chosen}
    muted = tuple(place for place in seen.muted if place in chosen)
    verdicts = [
        *(absent(promises.of[place[0]].contract, place[1], promises.of[place[0]].since, root.words) for place, root in kept.items()),
        *(_muted(promises, place) for place in muted),
        *_imported(ledger, promises, [place for place, end in left.items() if end == "published"]),
    ]
    verdicts.sort(key=lambda verdict: (start_of(verdict.partition), verdict.endpoint))
    overdue = len(seen.entered) + len(seen.resumed) + len(seen.still)
    return Survey(replace(seen, muted=muted, left=left), tuple(verdicts), kept, overdue)


def _roots(ledger: Ledger, promises: Promises, places: list[Place], now: datetime) -> dict[Place, Root]:
    if not places:
        return {}
    contracts = ledger.registry.current()

    @cache
    def published(endpoint: str) -> Ranges:
        return tuple((index_of(first), index_of(last)) for first, last in ledger.partitions.ranges(endpoint, contracts[endpoint].cadence))

    # What is waited for may be of other domains, paused for reasons of their own.
    return Roots(contracts, lambda wanted: look(ledger, wanted, now), published, ledger.pauses.of(contracts), now).of(places)


def _muted(promises: Promises, place: Place) -> Verdict:
    endpoint, partition = place
    promise = promises.of[endpoint]
    words = f"its deadline is muted: {pause_words(promises.pauses[endpoint])}"
    return Verdict(endpoint, partition, True, False, words, deadline_of(promise.contract, partition, promise.since))


def _imported(ledger: Ledger, promises: Promises, places: list[Place]) -> Iterable[Verdict]:
    """Verdicts on what was imported: what was built has its verdict from its build."""
    for facts, stretch in facts_of(ledger, places):
        for endpoint, partition in stretch:
            version = facts.endpoints[endpoint].published.get(partition)
            if version is not None and version.origin == "imported":
                yield judged(promises.of[endpoint].contract, partition, version, promises.of[endpoint].since)


def _oldest(places: Iterable[Place]) -> list[Place]:
    return sorted(places, key=lambda place: (start_of(place[1]), place))
