"""Schedules and sensors that somebody switched off, and what does not happen by itself meanwhile. All of ours are on unless a person said otherwise."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from platform_defs.running.dagster_client import Switch

_UNDONE = {
    "hourly": "nothing hourly of {domain} is asked for by itself",
    "daily": "nothing daily of {domain} is asked for by itself",
    "late_data": "late rows, changed inputs and changes from outside of {domain} are not followed",
    "alerts": "nobody is told of {domain}'s troubles and deadlines",
    "retention": "nothing of {domain} is dropped when its time is over",
}


@dataclass(frozen=True)
class Off:
    """One that is switched off. `undone`: what does not happen meanwhile."""

    name: str
    kind: str
    domain: str
    undone: str

    @property
    def words(self) -> str:
        """All of it in a line, with what to do."""
        return f"{self.kind} {self.name} is switched off: {self.undone}; switch it on in the web pages, Automation"


def switched_off(switches: Iterable[Switch], paused: Collection[str]) -> list[Off]:
    """Those that are off, by name. Of a domain that is paused only retention is told: a pause rests what asks and tells, not what drops."""
    found = []
    for each in switches:
        duty = each.name.removeprefix(f"{each.location}_")
        if not each.on and (each.location not in paused or duty == "retention"):
            undone = _UNDONE.get(duty, "what it does for {domain} is not done")
            found.append(Off(each.name, each.kind, each.location, undone.format(domain=each.location)))
    return sorted(found, key=lambda each: each.name)
