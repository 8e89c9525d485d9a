"""Which seals a build of an event hour has read. It is kept beside the hour's version: so it is known what came since, even after landing has dropped
what came before. Each receiver seals in the order of its numbers and is recorded in that order, so its newest number says it all. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime

from platform_defs.planning.facts import Published

SEALS = "seals"
Seal = tuple[str, int]


def seals_pin(seals: Iterable[Seal], before: Published | None = None) -> dict[str, str]:
    """What a build that has read these seals (receiver, number) keeps beside its version; `before`: the version it replaces."""
    newest = dict(_read(before)) if before is not None else {}
    for receiver, seal in seals:
        newest[receiver] = max(seal, newest.get(receiver, seal))
    return {SEALS: json.dumps(newest, sort_keys=True, separators=(",", ":"))} if newest else {}


def is_unread(published: Published, receiver: str, seal: int, sealed_at: datetime) -> bool:
    """Whether the published version was built without this seal. Where it does not say what it has read, the time of its build must do."""
    if SEALS not in published.pins:
        return sealed_at > published.built_at
    return seal > _read(published).get(receiver, -1)


def _read(published: Published) -> Mapping[str, int]:
    found: dict[str, int] = json.loads(published.pins.get(SEALS, "{}"))
    return found
