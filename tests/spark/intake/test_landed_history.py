"""Old events from a file, from landing to rows: built as live ones are, one row for a copy that came both ways."""

from __future__ import annotations

import json
from pathlib import Path

from platform_defs.collection.landing_files import FileLander
from tests.spark.intake.house import House, event
from tests.spark.intake.lines import contract_of, field

OLD = "2026-09-10T05"
PLAYED = contract_of((field("ms", "integer", ge="0", le="1000"),))


def test_landed_history_is_built_with_what_came_alive(house: House, tmp_path: Path) -> None:
    house.apply(PLAYED)
    house.land(PLAYED, {OLD: [event(1, {"ms": 1}, hour=OLD)]})
    lines = [json.loads(event(n, {"ms": n}, hour=OLD)) for n in (1, 2)]  # as another installation's landing has them
    lines.append({"id": "e3", "time": f"{OLD}:30:00Z", "ms": 3, "client": "web"})
    path = tmp_path / "old.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    lander = FileLander(PLAYED, [PLAYED.key], None, Path(house.platform.landing.root), house.platform.ledger.landing, house.platform.clock)
    for _ in range(2):
        assert lander.land(lander.know(path, lambda read: None), lambda read: None).accepted == 3
    built = house.take(PLAYED, OLD)[OLD]
    counts = {name: built.counts.get(name, 0) for name in ("landed", "good", "duplicate", "conflict")}
    assert (built.outcome, counts) == ("published", {"landed": 4, "good": 3, "duplicate": 1, "conflict": 0})
    assert [row["ms"] for row in house.rows(PLAYED)] == [1, 2, 3]
    assert house.take(PLAYED, OLD)[OLD].outcome == "skipped"
