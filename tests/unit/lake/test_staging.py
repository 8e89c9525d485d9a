"""Files of rows that were computed without Spark: one a folder, closed to others, packed as a table's own are."""

from __future__ import annotations

import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from platform_defs.lake.staging import write_frame


def test_every_part_of_a_column_is_looked_up_but_what_never_comes_twice(tmp_path: Path) -> None:
    frame = pa.table(
        {
            "event_id": [b"1", b"2"],
            "track": ["a", "a"],
            "tags": [["x"], ["x", "y"]],
            "labels": pa.array([[("k", "v")], []], pa.map_(pa.string(), pa.string())),
            "spot": [{"x": 1.5, "route": [{"y": "z"}]}, {"x": 1.5, "route": []}],
        }
    )
    write_frame(f"{tmp_path}/out", frame)
    [file] = (tmp_path / "out").iterdir()
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
    assert pq.read_table(file).equals(frame)
    group = pq.ParquetFile(file).metadata.row_group(0)
    looked_up = {group.column(n).path_in_schema for n in range(group.num_columns) if group.column(n).has_dictionary_page}
    assert looked_up == {"track", "tags.list.element", "labels.key_value.key", "labels.key_value.value", "spot.x", "spot.route.list.element.y"}


def test_many_rows_are_several_groups(tmp_path: Path) -> None:
    write_frame(f"{tmp_path}/out", pa.table({"event_id": [bytes(1000)] * 20_000}))
    assert pq.ParquetFile(f"{tmp_path}/out/part-0.parquet").metadata.num_row_groups == 3
