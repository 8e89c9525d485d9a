"""What each hour's departures met and came to."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from assets.aviation.events import FIRST_DAY
from platform_defs.contracts import Schema, T, as_of, endpoint, field, window


class DepartureWeather(Schema):
    """Departures of an airport in an hour beside the weather it reported for that hour."""

    origin: T.StringType = field(isin=["EWR", "JFK", "LGA"])
    departures: T.LongType = field(ge=1, description="Flights that left in the hour")
    delayed: T.LongType = field(ge=0, description="Of these, 15 minutes late or more")
    delay_minutes: T.LongType = field(description="Sum over the departures; early ones count negative")
    wind_mph: T.DoubleType = field(nullable=True, ge=0, le=250, on_fail="warn", description="Null where nothing was reported")
    visibility_miles: T.DoubleType = field(nullable=True, ge=0)

    class Config(Schema.Config):
        unique = ["origin"]


@endpoint(
    schema=DepartureWeather,
    partitions="hourly",
    start=FIRST_DAY,
    ready_within="3h",
    ranged=True,  # it keeps the hour in its grouping and its join: a range of hours is one plan
    inputs={"departed": "aviation/flight_departed", "weather": "aviation/weather_observed"},
)
def departure_weather(departed: DataFrame, weather: DataFrame) -> DataFrame:
    """Departures and delays by airport, with the weather of the same hour."""
    by_airport = departed.groupBy("hour", "origin").agg(
        F.count("*").alias("departures"),
        F.count_if(F.col("delay_minutes") >= 15).alias("delayed"),
        F.sum("delay_minutes").alias("delay_minutes"),
    )
    return by_airport.join(weather.select("hour", "origin", "wind_mph", "visibility_miles"), ["hour", "origin"], "left")


class FlightOutcomes(Schema):
    """What became of the flights that left in an hour, by route, within the six hours after it."""

    origin: T.StringType = field(isin=["EWR", "JFK", "LGA"])
    destination: T.StringType = field(str_matches=r"^[A-Z]{3}$")
    departures: T.LongType = field(ge=1)
    landed: T.LongType = field(ge=0, description="Of these, down by the end of the sixth hour after")
    air_minutes: T.LongType = field(ge=0, description="Sum over the landed")
    late_arrivals: T.LongType = field(ge=0, description="Of the landed, 15 minutes late or more")

    class Config(Schema.Config):
        unique = ["origin", "destination"]


@endpoint(
    schema=FlightOutcomes,
    partitions="hourly",
    start=FIRST_DAY,
    ready_within="9h",
    inputs={"departed": "aviation/flight_departed", "landed": window("aviation/flight_landed", hours=(0, 6))},
)
def flight_outcomes(departed: DataFrame, landed: DataFrame) -> DataFrame:
    """Each landing counted to its departure, by route."""
    down = landed.select("flight_id", "air_minutes", F.col("delay_minutes").alias("arrival_delay"))
    return (
        departed.join(down, "flight_id", "left")
        .groupBy("origin", "destination")
        .agg(
            F.count("*").alias("departures"),
            F.count("air_minutes").alias("landed"),
            F.coalesce(F.sum("air_minutes"), F.lit(0)).alias("air_minutes"),
            F.count_if(F.col("arrival_delay") >= 15).alias("late_arrivals"),
        )
    )


class CarrierHours(Schema):
    """What each airline put in the air in an hour."""

    carrier: T.StringType = field(str_matches=r"^[A-Z0-9]{2}$")
    name: T.StringType = field(description="The airline's name as of the hour")
    departures: T.LongType = field(ge=1)
    seats: T.LongType = field(ge=0, description="Of the planes the register knows")
    unknown_planes: T.LongType = field(ge=0, description="Departures whose plane the register does not know")

    class Config(Schema.Config):
        unique = ["carrier"]


@endpoint(
    schema=CarrierHours,
    partitions="hourly",
    start=FIRST_DAY,
    ready_within="3h",
    ranged=True,
    inputs={
        "departed": "aviation/flight_departed",
        "airlines": as_of("aviation/airlines", within="3d"),
        "planes": as_of("aviation/planes", within="3d"),
    },
)
def carrier_hours(departed: DataFrame, airlines: DataFrame, planes: DataFrame) -> DataFrame:
    """Departures and seats by airline."""
    return (
        departed.join(planes.select("tail_number", "seats"), "tail_number", "left")
        .join(airlines.select("carrier", "name"), "carrier")
        .groupBy("hour", "carrier", "name")
        .agg(
            F.count("*").alias("departures"),
            F.coalesce(F.sum("seats"), F.lit(0)).alias("seats"),
            F.count_if(F.col("seats").isNull()).alias("unknown_planes"),
        )
    )
