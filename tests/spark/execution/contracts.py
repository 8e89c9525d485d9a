"""Small contracts for the tests of execution, as the registry would hold them."""

from __future__ import annotations

from typing import Any

from platform_defs.contracts.contract import Check, Column, Contract


def contract(*columns: Column, key: str = "charts/plays", unique: tuple[str, ...] = (), **more: Any) -> Contract:
    """An endpoint's contract with these columns and otherwise plain values."""
    plain: dict[str, Any] = {
        "kind": "endpoint", "description": "Plays of each track.", "owner": "team:charts", "purpose": "product", "tier": "normal", "start": "2026-01-01",
        "retention_seconds": 86400 * 400, "readers": (), "cadence": "hourly", "code_version": "1",
    }  # fmt: skip
    return Contract(key=key, columns=columns, unique=unique, **{**plain, **more})


def column(name: str, kind: str, *, nullable: bool = False, on_fail: Any = "refuse", **checks: dict[str, Any]) -> Column:
    """A column; a keyword is a check by pandera's name, its value the arguments."""
    return Column(name=name, type=kind, nullable=nullable, on_fail=on_fail, checks=tuple(Check(name=check, args=args) for check, args in checks.items()))
