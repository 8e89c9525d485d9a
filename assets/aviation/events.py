"""What happens to a flight out of New York, and the weather it meets."""

from typing import Literal

from pydantic import Field

from platform_defs.contracts import Event, Lateness

FIRST_DAY = "2026-01-06"
# The flights are history: whatever comes late is taken at once (share=0), and landing keeps it as long as the tables live.
HISTORY = Lateness(settle=["365d"], share=0.0, hold="2h", landing="3650d")

FLIGHT_ID = r"^[A-Z0-9]{2}[0-9]{1,4}-[A-Z]{3}-[0-9]{8}-[0-9]{4}$"
Airport = Literal["EWR", "JFK", "LGA"]


class FlightDeparted(Event, lateness=HISTORY, start=FIRST_DAY):
    """A flight left its gate; `time` is the actual departure."""

    flight_id: str = Field(pattern=FLIGHT_ID, description="Carrier and number, origin, local day and time of the schedule")
    carrier: str = Field(pattern=r"^[A-Z0-9]{2}$")
    flight: int = Field(ge=1, le=9999)
    tail_number: str | None = Field(default=None, pattern=r"^[A-Z0-9]{3,6}$")
    origin: Airport
    destination: str = Field(pattern=r"^[A-Z]{3}$")
    delay_minutes: int = Field(ge=-120, le=2880, description="Against the schedule; negative is early")
    distance_miles: int = Field(ge=1, le=12000)


class FlightLanded(Event, lateness=HISTORY, start=FIRST_DAY):
    """A flight touched down; `time` is departure plus air time, for the source knows no touch-down."""

    flight_id: str = Field(pattern=FLIGHT_ID)
    destination: str = Field(pattern=r"^[A-Z]{3}$")
    air_minutes: int = Field(ge=10, le=1200)
    delay_minutes: int | None = Field(default=None, ge=-240, le=2880, description="Arrival against the schedule; negative is early")


class FlightCancelled(Event, lateness=HISTORY, start=FIRST_DAY):
    """A flight did not leave; `time` is its scheduled departure."""

    flight_id: str = Field(pattern=FLIGHT_ID)
    carrier: str = Field(pattern=r"^[A-Z0-9]{2}$")
    origin: Airport
    destination: str = Field(pattern=r"^[A-Z]{3}$")


class WeatherObserved(Event, lateness=HISTORY, start=FIRST_DAY):
    """An hourly observation at one of the three airports."""

    origin: Airport
    temperature_f: float | None = Field(default=None, ge=-80, le=140)
    dewpoint_f: float | None = Field(default=None, ge=-100, le=100)
    humidity_percent: float | None = Field(default=None, ge=0, le=100)
    wind_direction: int | None = Field(default=None, ge=0, le=360)
    wind_mph: float | None = Field(default=None, ge=0, le=250)
    gust_mph: float | None = Field(default=None, ge=0, le=300)
    precipitation_in: float = Field(ge=0, le=20)
    pressure_mb: float | None = Field(default=None, ge=850, le=1100)
    visibility_miles: float = Field(ge=0, le=50)
