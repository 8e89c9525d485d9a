"""Damaged events, so that the failed log of the demo holds one of each reason at least. Which flights they are made of is drawn by lot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx

from platform_defs.cli.demo.aviation import Happening
from platform_defs.cli.demo.lot import lot

DAMAGED = range(30, 40)  # of 1,000: sent once more, damaged, under another id
_LONG_AGO = datetime(1999, 12, 31, 23, tzinfo=UTC)


def damaged(events: list[Happening]) -> Iterator[Happening]:
    """Damaged copies of those events whose lot it is: a field missing, an unknown field, a wrong type, out of range, too old, no such type, too large."""
    chosen = [event for event in events if lot(event.id) in DAMAGED]
    for number, event in enumerate(chosen):
        broken = f"damaged-{event.id}"
        match number % 7:
            case 0:
                yield Happening(event.type, broken, event.time, {name: value for name, value in event.data.items() if name != "flight_id"} | {"origin": None})
            case 1:
                yield Happening(event.type, broken, event.time, {**event.data, "gate": "B12"})
            case 2:
                yield Happening(event.type, broken, event.time, {**event.data, "delay_minutes": "late"})
            case 3:
                yield Happening(event.type, broken, event.time, {**event.data, "delay_minutes": 1_000_000})
            case 4:
                yield Happening(event.type, broken, _LONG_AGO, event.data)
            case 5:
                yield Happening("aviation/flight_diverted", broken, event.time, event.data)
            case _:
                yield Happening(event.type, broken, event.time, {**event.data, "remarks": "x" * 300_000})


def post_damaged(url: str, token: str, events: list[Happening]) -> None:
    """Sends the damaged ones past the SDK, which would hold some of them back; the last request is no JSON at all."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/cloudevents-batch+json"}
    with httpx.Client(base_url=url, headers=headers, timeout=30) as http:
        for event in damaged(events):
            http.post("/events", content=json.dumps([_cloud_event(event)]))
        http.post("/events", content=b'[{"specversion": "1.0", "id": "cut off in the mid')


def _cloud_event(event: Happening) -> dict[str, Any]:
    return {"specversion": "1.0", "id": event.id, "source": "demo", "type": event.type, "time": event.time.isoformat(), "data": event.data}
