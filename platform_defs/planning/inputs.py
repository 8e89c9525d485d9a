"""What one partition would be built from now: which partitions of which endpoints, what is missing, and the digest over their contents.

The planner and the build ask the same function, so that "current" means the same to both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from platform_defs.contracts.contract import AsOfInput, Contract
from platform_defs.planning.digest import inputs_digest
from platform_defs.planning.windows import before_start, first_key, keys_read

ContentOf = Callable[[str, str], bytes | None]


@dataclass(frozen=True, slots=True)
class Missing:
    """A partition that must be published first. For an `as_of`, the newest of its candidates, none of which is there (`snapshot`)."""

    endpoint: str
    partition: str
    snapshot: bool = False

    def __str__(self) -> str:
        return f"{self.endpoint} {self.partition}" + (" or an earlier one" if self.snapshot else "")


@dataclass(frozen=True, slots=True)
class InputRead:
    """What one parameter reads: the partitions of an endpoint that exist (those before its start left out); `pinned`: its `as_of` choice."""

    param: str
    endpoint: str
    keys: tuple[str, ...]
    pinned: str | None = None


@dataclass(frozen=True)
class InputsView:
    """What a partition reads.

    Attributes:
        missing: what is not published yet; with anything in it the partition cannot be built.
        digest: over the contents of all that is published; comparable only when nothing is missing.
        pins: `as_of` choices, parameter -> snapshot key.
    """

    reads: tuple[InputRead, ...]
    missing: tuple[Missing, ...]
    digest: bytes
    pins: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """Whether the partition can be built."""
        return not self.missing


def view_inputs(contract: Contract, key: str, contracts: Mapping[str, Contract], content: ContentOf, pins: Mapping[str, str] | None = None) -> InputsView:
    """What partition `key` reads, by the contents that are published now.

    Args:
        contracts: the registry; holds every endpoint that is read.
        content: content hash of a published partition (endpoint, key), None if it is not published.
        pins: `as_of` choices to keep (a rebuild from late rows); a pin that is no longer published is chosen anew.
    """
    reads: list[InputRead] = []
    missing: list[Missing] = []
    contents: list[tuple[str, str, bytes]] = []
    chosen: dict[str, str] = {}
    for item in contract.inputs:
        read = contracts[item.endpoint]
        keys = tuple(each for each in keys_read(item, key, read.cadence) if not before_start(read, each))
        pinned: str | None = None
        if isinstance(item, AsOfInput):
            kept = (pins or {}).get(item.param)
            wanted = ([kept] if kept else []) + list(keys)
            pinned = next((each for each in wanted if content(item.endpoint, each) is not None), None)
            if pinned is None:
                missing.append(Missing(item.endpoint, keys[0] if keys else first_key(read), snapshot=True))
                reads.append(InputRead(item.param, item.endpoint, ()))
                continue
            chosen[item.param] = pinned
            keys = (pinned,)
        for each in keys:
            found = content(item.endpoint, each)
            if found is None:
                missing.append(Missing(item.endpoint, each))
            else:
                contents.append((item.endpoint, each, found))
        reads.append(InputRead(item.param, item.endpoint, keys, pinned))
    return InputsView(tuple(reads), tuple(dict.fromkeys(missing)), inputs_digest(contents), chosen)
