"""Days of the airports and airlines: a day from its hours, a rolling week, running totals."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from assets.aviation.events import FIRST_DAY
from platform_defs.contracts import Schema, T, as_of, endpoint, field, window


class AirportDays(Schema):
    """One day of one of New York's airports."""

    origin: T.StringType = field(isin=["EWR", "JFK", "LGA"])
    name: T.StringType = field(description="The airport's name as of the day")
    departures: T.LongType = field(ge=0)
    cancelled: T.LongType = field(ge=0)
    delayed: T.LongType = field(ge=0, description="Departures 15 minutes late or more")

    class Config(Schema.Config):
        unique = ["origin"]


@endpoint(
    schema=AirportDays,
    partitions="daily",
    start=FIRST_DAY,
    ready_within="6h",
    corrections="3650d",
    inputs={
        "departed": "aviation/flight_departed",
        "cancelled": "aviation/flight_cancelled",
        "airports": as_of("aviation/airports", within="3d"),
    },
)
def airport_days(departed: DataFrame, cancelled: DataFrame, airports: DataFrame) -> DataFrame:
    """Departures, cancellations and delays of each airport."""
    left = departed.select("origin", F.lit(1).alias("left"), (F.col("delay_minutes") >= 15).cast("int").alias("delayed"))
    stayed = cancelled.select("origin", F.lit(0).alias("left"), F.lit(0).alias("delayed"))
    return (
        left.unionByName(stayed)
        .groupBy("origin")
        .agg(F.sum("left").alias("departures"), F.sum(1 - F.col("left")).alias("cancelled"), F.sum("delayed").alias("delayed"))
        .join(airports.select(F.col("faa").alias("origin"), "name"), "origin")
    )


class PunctualityWeek(Schema):
    """The seven days that end with this one."""

    origin: T.StringType = field(isin=["EWR", "JFK", "LGA"])
    days: T.LongType = field(ge=1, le=7, description="Days with flights among the seven")
    departures: T.LongType = field(ge=0)
    cancelled: T.LongType = field(ge=0)
    delayed: T.LongType = field(ge=0)

    class Config(Schema.Config):
        unique = ["origin"]


@endpoint(
    schema=PunctualityWeek,
    partitions="daily",
    start=FIRST_DAY,
    ready_within="9h",
    corrections="3650d",
    inputs={"days": window("aviation/airport_days", days=(-6, 0))},
)
def punctuality_week(days: DataFrame) -> DataFrame:
    """A rolling week of each airport."""
    sums = [F.sum(column).alias(column) for column in ("departures", "cancelled", "delayed")]
    return days.groupBy("origin").agg(F.count_distinct("day").alias("days"), *sums)


class CarrierTotals(Schema):
    """What each airline flew since the first day."""

    carrier: T.StringType = field(str_matches=r"^[A-Z0-9]{2}$")
    departures: T.LongType = field(ge=1)
    miles: T.LongType = field(ge=1)

    class Config(Schema.Config):
        unique = ["carrier"]


@endpoint(
    schema=CarrierTotals,
    partitions="daily",
    start=FIRST_DAY,
    ready_within="6h",
    corrections="3650d",
    inputs={"departed": "aviation/flight_departed", "before": window("self", days=(-1, -1))},
)
def carrier_totals(departed: DataFrame, before: DataFrame) -> DataFrame:
    """Running totals by airline: yesterday's and today's."""
    today = departed.select("carrier", F.lit(1).cast("bigint").alias("departures"), F.col("distance_miles").cast("bigint").alias("miles"))
    both = today.unionByName(before.select("carrier", "departures", "miles"))
    return both.groupBy("carrier").agg(F.sum("departures").alias("departures"), F.sum("miles").alias("miles"))
