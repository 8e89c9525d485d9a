"""The rival of `bench backfill`: an asset as the documentation of Dagster, PySpark and Delta Lake teaches it. A Spark session in each run, one run a partition,
replaceWhere, no checks. `dagster dev -f vanilla.py` serves it; where the tables and Delta's jars are, the environment says.
"""

import os

import dagster as dg
from pyspark.sql import SparkSession
from pyspark.sql import functions as F


@dg.asset(partitions_def=dg.HourlyPartitionsDefinition(start_date="2026-10-01-00:00", end_date="2026-11-01-00:00"))
def plays(context: dg.AssetExecutionContext) -> None:
    """Plays by track."""
    spark = (
        SparkSession.builder.appName("plays")
        .config("spark.jars", os.environ["VANILLA_JARS"])
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .getOrCreate()
    )
    hour = context.partition_time_window.start.strftime("%Y-%m-%dT%H")
    heard = spark.read.format("delta").load(os.environ["VANILLA_HEARD"]).where(F.col("hour") == hour)
    rows = heard.groupBy("track").agg(F.count("*").alias("plays"), F.sum("ms").alias("ms")).withColumn("hour", F.lit(hour))
    rows.write.format("delta").mode("overwrite").option("replaceWhere", f"hour = '{hour}'").save(os.environ["VANILLA_PLAYS"])
    spark.stop()


defs = dg.Definitions(assets=[plays])
