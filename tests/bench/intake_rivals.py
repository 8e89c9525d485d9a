"""What a careful engineer would write instead of the intake, in DuckDB and in Polars: the same segments in, the same rows out, as Parquet by hour.

    python -m tests.bench.intake_rivals duckdb FOLDER_OF_SEGMENTS OUT

Both parse, hold every line to the contract's rules, keep the first copy of each event by segment and line, and count. What the platform does beyond is left
out: keyed ids, quarantine, verdicts equal to Pydantic's on any line, content hashes, a table with versions, books. Prints the counts as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.bench.intake_landing import PLATFORMS

THREADS = 2
_TRACK = "^trk_[a-z0-9]{8}$"
_MOST = 86_400_000


def in_duckdb(segments: Path, out: Path) -> dict[str, int]:
    """DuckDB's way."""
    import duckdb

    connection = duckdb.connect(config={"threads": THREADS, "preserve_insertion_order": True})
    files = sorted(map(str, segments.glob("*/*.jsonl.gz")))
    fields = "STRUCT(track_id VARCHAR, ms_played BIGINT, platform VARCHAR, shuffled BOOLEAN)"
    columns = f"{{client: 'VARCHAR', id: 'VARCHAR', time: 'TIMESTAMP', received_at: 'TIMESTAMP', data: '{fields}'}}"
    platforms = ", ".join(f"'{name}'" for name in PLATFORMS)
    connection.execute(
        f"""
        CREATE TEMP TABLE judged AS
        SELECT split_part(filename, '/', -2) AS hour, row_number() OVER () AS line, client, id, time, received_at, unnest(data),
               coalesce(regexp_matches(data.track_id, '{_TRACK}') AND data.ms_played BETWEEN 0 AND {_MOST} AND data.platform IN ({platforms})
                        AND data.shuffled IS NOT NULL AND client <> '' AND id <> '' AND received_at IS NOT NULL
                        AND strftime(time, '%Y-%m-%dT%H') = hour, false) AS good
        FROM read_json($files, format = 'newline_delimited', columns = {columns}, filename = true)
        """,
        {"files": files},
    )
    connection.execute(
        f"""
        COPY (SELECT * EXCLUDE (good, line) FROM judged WHERE good QUALIFY row_number() OVER (PARTITION BY hour, client, id ORDER BY line) = 1)
        TO '{out}' (FORMAT parquet, PARTITION_BY (hour))
        """
    )
    landed, quarantined = connection.execute("SELECT count(*), count_if(NOT good) FROM judged").fetchone() or (0, 0)
    good = connection.execute(f"SELECT count(*) FROM read_parquet('{out}/*/*.parquet')").fetchone()
    assert good is not None
    return {"landed": landed, "good": good[0], "quarantined": quarantined}


def in_polars(segments: Path, out: Path) -> dict[str, int]:
    """Polars' way."""
    os.environ["POLARS_MAX_THREADS"] = str(THREADS)
    import polars as pl

    fields = {"track_id": pl.String, "ms_played": pl.Int64, "platform": pl.String, "shuffled": pl.Boolean}
    line = {"client": pl.String, "id": pl.String, "time": pl.String, "received_at": pl.String, "data": pl.Struct(fields)}
    files = sorted(segments.glob("*/*.jsonl.gz"))
    read = pl.scan_ndjson(files, schema=line, include_file_paths="file").unnest("data")
    instants = [pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.6fZ", strict=False) for name in ("time", "received_at")]
    hour = pl.col("file").str.split("/").list.get(-2)
    good = (
        pl.col("track_id").str.contains(_TRACK)
        & pl.col("ms_played").is_between(0, _MOST)
        & pl.col("platform").is_in(PLATFORMS)
        & pl.col("shuffled").is_not_null()
        & (pl.col("client") != "")
        & (pl.col("id") != "")
        & (pl.col("time").str.slice(0, 13) == hour)
    )
    judged = read.with_columns(hour.alias("hour"), good.fill_null(value=False).alias("good")).with_columns(*instants).drop("file").collect()
    kept = judged.lazy().filter("good").unique(["hour", "client", "id"], keep="first", maintain_order=True).drop("good")
    kept.sink_parquet(pl.PartitionBy(out, key="hour", include_key=False), mkdir=True)
    good_rows = pl.scan_parquet(f"{out}/*/*.parquet").select(pl.len()).collect().item()
    return {"landed": judged.height, "good": good_rows, "quarantined": judged.height - int(judged["good"].sum())}


if __name__ == "__main__":
    way = {"duckdb": in_duckdb, "polars": in_polars}[sys.argv[1]]
    print(json.dumps(way(Path(sys.argv[2]), Path(sys.argv[3]))))  # noqa: T201 - what the benchmark reads
