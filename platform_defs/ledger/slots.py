"""A day of one endpoint as it lies in `partition_days`: arrays with a slot per partition. Turning slots into `Published` and back, nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

from sqlalchemy import RowMapping

from platform_defs.planning.facts import Counts, Published

ARRAYS = (
    "changes", "content", "inputs", "rows", "version", "code", "run", "built_at", "first_built_at", "changed_at", "seen_at", "checks_passed", "checks_failed",
)  # fmt: skip
SPARSE = ("counts", "pins", "imported")  # null as a whole where no slot has any
_COUNTS = 8


@dataclass
class Day:
    """The arrays of one endpoint and day, to be changed in place.

    Attributes:
        endpoint, day: the row.
        values: column -> list of `size` slots (`counts`: eight numbers a slot), or None for a sparse column without any.
    """

    endpoint: int
    day: int
    size: int
    values: dict[str, list[Any] | None]

    @classmethod
    def of(cls, row: RowMapping, size: int) -> Day:
        """The day of a table row; null arrays become arrays of nulls."""
        values: dict[str, list[Any] | None] = {name: list(row[name]) if row[name] is not None else [None] * size for name in ARRAYS}
        values |= {name: None if row[name] is None else list(row[name]) for name in SPARSE}
        return cls(row["endpoint_id"], row["day"], size, values)

    def get(self, slot: int, codes: Mapping[int, str], runs: Mapping[int, str]) -> Published | None:
        """The published version of a slot, None if there is none."""
        content = self._at("content", slot)
        if content is None:
            return None
        counts = self.values["counts"]
        numbers = None if counts is None else counts[slot * _COUNTS : (slot + 1) * _COUNTS]
        pins = self._at("pins", slot)
        return Published(
            content=bytes(content),
            inputs=bytes(self._at("inputs", slot)),
            rows=self._at("rows", slot),
            version=self._at("version", slot),
            code=codes[self._at("code", slot)],
            built_at=self._at("built_at", slot),
            run_id=runs.get(self._at("run", slot), ""),
            counts=None if numbers is None or numbers[0] is None else Counts(*numbers),
            pins={} if pins is None else json.loads(pins),
            checks_passed=self._at("checks_passed", slot),
            checks_failed=self._at("checks_failed", slot),
            origin="imported" if self._at("imported", slot) else "built",
            first_built_at=self._at("first_built_at", slot),
            changed_at=self._at("changed_at", slot),
            seen_at=self._at("seen_at", slot),
        )

    def put(self, slot: int, new: Published, code: int, run: int) -> bool:
        """Writes a new version into a slot; whether its content is another than before."""
        old = self._at("content", slot)
        changed = old is None or bytes(old) != new.content
        self._set("content", slot, new.content)
        self._set("inputs", slot, new.inputs)
        self._set("rows", slot, new.rows)
        self._set("version", slot, new.version)
        self._set("code", slot, code)
        self._set("run", slot, run)
        self._set("built_at", slot, new.built_at)
        self._set("seen_at", slot, new.built_at)
        self._set("checks_passed", slot, new.checks_passed)
        self._set("checks_failed", slot, new.checks_failed)
        if self._at("first_built_at", slot) is None:
            self._set("first_built_at", slot, new.built_at)
        if changed:
            self._set("changed_at", slot, new.built_at)
        self._set_sparse("pins", slot, json.dumps(dict(new.pins), sort_keys=True) if new.pins else None)
        self._set_sparse("imported", slot, True if new.origin == "imported" else None)
        self._set_counts(slot, new.counts)
        return changed

    def seen(self, slot: int, at: Any) -> None:
        """Notes that a build found the slot good; nothing if it was never published."""
        if self._at("content", slot) is not None:
            self._set("seen_at", slot, at)

    def clear(self, slot: int) -> None:
        """Forgets a slot."""
        for name in ARRAYS:
            self._set(name, slot, None)
        self._set_sparse("pins", slot, None)
        self._set_sparse("imported", slot, None)
        self._set_counts(slot, None)

    def stamp(self, slot: int, change: int) -> None:
        """Writes the change number of a slot's content."""
        self._set("changes", slot, change)

    def _at(self, name: str, slot: int) -> Any:
        values = self.values[name]
        return None if values is None else values[slot]

    def _set(self, name: str, slot: int, value: Any) -> None:
        values = self.values[name]
        assert values is not None  # every column of ARRAYS is filled by `of`
        values[slot] = value

    def _set_sparse(self, name: str, slot: int, value: Any) -> None:
        if self.values[name] is None and value is not None:
            self.values[name] = [None] * self.size
        if self.values[name] is not None:
            self._set(name, slot, value)

    def _set_counts(self, slot: int, counts: Counts | None) -> None:
        if self.values["counts"] is None and counts is not None:
            self.values["counts"] = [None] * (self.size * _COUNTS)
        values = self.values["counts"]
        if values is not None:
            values[slot * _COUNTS : (slot + 1) * _COUNTS] = [None] * _COUNTS if counts is None else list(astuple(counts))
