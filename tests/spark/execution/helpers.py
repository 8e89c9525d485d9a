"""An endpoint's function whose UDF needs a helper of its module, which the server does not have."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def shout(text: str) -> str:
    return f"{text.upper()}!"


def shouted(played: DataFrame) -> DataFrame:
    loud = F.udf(lambda text: shout(text), "string")
    return played.groupBy(loud("track").alias("track")).agg(F.count("*").alias("plays"))
