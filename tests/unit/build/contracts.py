"""Small contracts for the tests of build, written as data."""

from typing import Any

from platform_defs.contracts.contract import AsOfInput, Column, Contract, Input, LatenessPolicy, WindowInput


def contract(key: str, cadence: str = "hourly", inputs: tuple[Input, ...] = (), **given: Any) -> Contract:
    """A contract with everything that is not given filled in."""
    values: dict[str, Any] = {
        "kind": "endpoint",
        "key": key,
        "description": f"What {key} holds.",
        "owner": "team:listening",
        "purpose": "product",
        "tier": "normal",
        "start": "2026-01-01",
        "retention_seconds": 400 * 86_400,
        "readers": ("group:analysts",),
        "cadence": cadence,
        "columns": (Column(name="track_id", type="STRING", description="The track"), Column(name="plays", type="BIGINT", nullable=True)),
        "unique": ("track_id",),
        "inputs": inputs,
        "code_version": "c0de",
    }
    return Contract(**{**values, **given})


def event(key: str, **given: Any) -> Contract:
    """The contract of an event type."""
    lateness = LatenessPolicy(settle_seconds=(3600, 86_400), hold_seconds=7200, share=0.01, landing_seconds=7 * 86_400)
    return contract(key, **{"kind": "event", "lateness": lateness, **given})


def over(endpoint: str, first: int = 0, last: int = 0, unit: str = "hours", param: str = "one") -> WindowInput:
    """A windowed input."""
    return WindowInput(param=param, endpoint=endpoint, unit=unit, first=first, last=last)  # type: ignore[arg-type]


def newest(endpoint: str, days: int) -> AsOfInput:
    """An `as_of` input."""
    return AsOfInput(param="snapshot", endpoint=endpoint, within_seconds=days * 86_400)
