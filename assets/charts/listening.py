"""Tracks by what people did with them."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from platform_defs.contracts import Schema, T, as_of, endpoint, field, people, window


class SkipRate(Schema):
    """How many started tracks were heard long enough to count."""

    track_id: T.StringType = field()
    starts: T.LongType = field(ge=1, description="Tracks started in the hour")
    plays: T.LongType = field(ge=0, on_fail="quarantine", description="Of these, heard for 30 seconds")

    class Config(Schema.Config):
        unique = ["track_id"]  # the key within a partition


@endpoint(
    schema=SkipRate,
    partitions="hourly",
    ready_within="3h",
    inputs={
        "started": "listening/track_started",  # the same hour
        "played": window("listening/track_played", hours=(0, 1)),  # and the next one; the partition waits for it
        "tracks": as_of("catalogue/tracks", within="3d"),  # newest daily snapshot that ended by this partition's end
    },
)
def skip_rate(started: DataFrame, played: DataFrame, tracks: DataFrame) -> DataFrame:
    """Starts and plays of each licensed track."""
    done = played.select("play_id").distinct().withColumn("done", F.lit(1))
    return (
        started.join(tracks.where("licensed").select("track_id"), "track_id")
        .join(done, "play_id", "left")
        .groupBy("track_id")
        .agg(F.count("*").alias("starts"), F.count("done").alias("plays"))
    )


class DailyListeners(Schema):
    """How many people heard a track in a day, and for how long together."""

    track_id: T.StringType = field()
    listeners: T.LongType = people(ge=1, description="Persons who heard it for 30 seconds or to its end")
    plays: T.LongType = field(ge=1)
    minutes: T.DoubleType = field(ge=0, description="Of all plays together")

    class Config(Schema.Config):
        unique = ["track_id"]


@endpoint(schema=DailyListeners, partitions="daily", ready_within="6h", on_erase="keep", inputs={"played": "listening/track_played"})
def daily_listeners(played: DataFrame) -> DataFrame:
    """Listeners, plays and minutes of each track by day."""
    return played.groupBy("track_id").agg(
        F.count_distinct("user_id").alias("listeners"),
        F.count("*").alias("plays"),
        F.round(F.sum("ms_played") / 60_000, 3).alias("minutes"),
    )
