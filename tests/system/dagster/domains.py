"""Two small domains, written as their authors would: `music` (an event type and what stands on it) and `sales`, which reads it."""

from pathlib import Path
from textwrap import dedent

from platform_defs.contracts.loading import LoadedDomain, load_domain

START = "2024-10-01"

_FILES = {
    "music/domain.py": f"""
        from platform_defs.contracts import Domain

        domain = Domain(owner="team:music", purpose="product", tier="normal", start="{START}", retention="4000d", readers=["group:analysts"])
        """,
    "music/events.py": """
        from pydantic import Field

        from platform_defs.contracts import Event


        class TrackPlayed(Event, tier="high"):
            \"\"\"A track was played.\"\"\"

            track_id: str = Field(pattern=r"^trk_[a-z0-9]{8}$", description="The track")
            ms_played: int = Field(ge=0, le=86_400_000)
        """,
    "music/hours.py": """
        from pyspark.sql import DataFrame
        from pyspark.sql import functions as F

        from platform_defs.contracts import Schema, T, endpoint, field, window


        class Plays(Schema):
            \"\"\"Plays by track.\"\"\"

            track_id: T.StringType = field(description="The track")
            plays: T.LongType = field(ge=1, le=3, description="Times it was played in the hour")

            class Config(Schema.Config):
                unique = ["track_id"]


        @endpoint(schema=Plays, partitions="hourly", inputs={"played": "music/track_played"})
        def plays(played: DataFrame) -> DataFrame:
            \"\"\"Plays of each track.\"\"\"
            return played.groupBy("track_id").agg(F.count("*").alias("plays"))


        class PlaysDay(Schema):
            \"\"\"Plays by track and day.\"\"\"

            track_id: T.StringType = field()
            plays: T.LongType = field(ge=1)

            class Config(Schema.Config):
                unique = ["track_id"]


        @endpoint(schema=PlaysDay, partitions="daily", inputs={"plays": "music/plays"})
        def plays_day(plays: DataFrame) -> DataFrame:
            \"\"\"Plays of each track in a day.\"\"\"
            return plays.groupBy("track_id").agg(F.sum("plays").alias("plays"))
        """,
    "music/totals.py": """
        from pyspark.sql import DataFrame
        from pyspark.sql import functions as F

        from platform_defs.contracts import Schema, T, endpoint, field, window


        class Totals(Schema):
            \"\"\"Plays by track since the start.\"\"\"

            track_id: T.StringType = field()
            plays: T.LongType = field(ge=1)

            class Config(Schema.Config):
                unique = ["track_id"]


        @endpoint(schema=Totals, partitions="daily", corrections="30d", inputs={"plays": "music/plays_day", "before": window("self", days=(-1, -1))})
        def totals(plays: DataFrame, before: DataFrame) -> DataFrame:
            \"\"\"Running totals.\"\"\"
            both = plays.select("track_id", "plays").unionByName(before.select("track_id", "plays"))
            return both.groupBy("track_id").agg(F.sum("plays").alias("plays"))
        """,
    "sales/prices.py": """
        from collections.abc import Iterator

        from pydantic import Field

        from platform_defs.contracts import Record, Window, source


        class Price(Record):
            \"\"\"What a play of a track pays.\"\"\"

            track_id: str = Field(pattern=r"^trk_[a-z0-9]{8}$")
            cents: int = Field(ge=0, le=100)


        @source(row=Price, partitions="daily", key=["track_id"])
        def prices(at: Window) -> Iterator[dict[str, object]]:
            \"\"\"The day's prices.\"\"\"
            yield {"track_id": "trk_aaaaaaaa", "cents": 2}
        """,
    "sales/domain.py": f"""
        from platform_defs.contracts import Domain

        domain = Domain(owner="team:sales", purpose="product", tier="low", start="{START}", retention="4000d", readers=["group:analysts"])
        """,
    "sales/hours.py": """
        from pyspark.sql import DataFrame
        from pyspark.sql import functions as F

        from platform_defs.contracts import Schema, T, endpoint, field, window


        class Royalties(Schema):
            \"\"\"What is owed by track.\"\"\"

            track_id: T.StringType = field()
            owed: T.LongType = field(ge=1)

            class Config(Schema.Config):
                unique = ["track_id"]


        @endpoint(schema=Royalties, partitions="hourly", inputs={"plays": window("music/plays", hours=(-1, 0))})
        def royalties(plays: DataFrame) -> DataFrame:
            \"\"\"Owed for this hour and the one before.\"\"\"
            return plays.groupBy("track_id").agg(F.sum("plays").alias("owed"))


        class RoyaltiesDay(Schema):
            \"\"\"What is owed by track and day.\"\"\"

            track_id: T.StringType = field()
            owed: T.LongType = field(ge=1)

            class Config(Schema.Config):
                unique = ["track_id"]


        @endpoint(schema=RoyaltiesDay, partitions="daily", inputs={"royalties": "sales/royalties"})
        def royalties_day(royalties: DataFrame) -> DataFrame:
            \"\"\"Owed for the day.\"\"\"
            return royalties.groupBy("track_id").agg(F.sum("owed").alias("owed"))
        """,
}


def write_domains(folder: Path) -> Path:
    """Writes both domains below `folder/assets`; that path."""
    assets = folder / "assets"
    for name, text in _FILES.items():
        path = assets / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip(), encoding="utf-8")
    (assets / "__init__.py").touch()
    return assets


def loaded(folder: Path, domain: str) -> LoadedDomain:
    """One of them, loaded."""
    return load_domain(write_domains(folder) / domain)
