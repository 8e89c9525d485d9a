"""Proof of the ledger's layout: fills a ledger with many endpoints and a long history, then measures what one planning tick reads.

    python -m tests.bench.ledger_layout [--endpoints 40000] [--days 60] [--json FILE]

19 of 20 endpoints are hourly, the others daily; each reads three others; 1 % of the partitions, at any place, are exceptions (never published, with a row that
says why).
The filling is done in SQL and says nothing about the speed of `record`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from platform_defs.contracts.contract import Column, Contract, WindowInput
from platform_defs.ledger import Ledger
from platform_defs.ledger.embedded import EmbeddedPostgres

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
TODAY = int(NOW.timestamp()) // 86400
LOOK_BACK = timedelta(hours=48)
# As many domains as a location of at most 2,000 endpoints makes reasonable; the forty endpoints that the others read are in the first forty.
_READ, _A_DOMAIN = 40, 1000
# Contracts are put in force so many at a time: one statement with all of 400,000 takes the database gigabytes.
_APPLIED = 40_000


def contracts(endpoints: int) -> list[Contract]:
    """That many contracts, one of 20 daily, three inputs each."""
    made = []
    domains = max(_READ, endpoints // _A_DOMAIN)
    for number in range(endpoints):
        daily = number % 20 == 19
        inputs = [_input(param, other, daily) for param, other in enumerate((number * 7 + 1, number * 13 + 2, number * 29 + 3)) if number > _READ]
        made.append(
            Contract(
                kind="endpoint",
                key=f"d{number % domains}/e{number}",
                description="filled",
                owner="team:bench",
                purpose="bench",
                tier="normal",
                start="2026-01-01",
                retention_seconds=400 * 86400,
                readers=(),
                cadence="daily" if daily else "hourly",
                columns=(Column(name="id", type="BIGINT"),),
                inputs=tuple(inputs),
                code_version=f"code-{number}",
            )
        )
    return made


def _input(param: int, other: int, daily: bool) -> WindowInput:
    read = other % _READ
    read -= 1 if read % 20 == 19 else 0  # hourly ones only: an hour reads a day through as_of alone
    return WindowInput(param=f"p{param}", endpoint=f"d{read}/e{read}", unit="hours", first=0, last=param % 2)


def _apply(ledger: Ledger, endpoints: int) -> None:
    """All contracts, some domains at a time."""
    made = sorted(contracts(endpoints), key=lambda contract: contract.domain)
    for first in range(0, endpoints, _APPLIED):
        part = made[first : first + _APPLIED]
        ledger.registry.apply(part, "bench", domains=())


def fill(ledger: Ledger, endpoints: int, days: int, version_days: int | None = None) -> dict[str, float]:
    """Fills the ledger; seconds by step. `version_days`: for how many of the days there are versions, too; None: for all of them."""
    spent: dict[str, float] = {}

    def step(name: str, work: Callable[[], Any]) -> None:
        began = time.perf_counter()
        work()
        spent[name] = round(time.perf_counter() - began, 2)

    def sql(*statements: str) -> None:
        with ledger.store.transaction() as connection:
            for statement in statements:
                connection.execute(text(statement), {"days": days, "today": TODAY, "versions": days if version_days is None else version_days})

    step("apply contracts", lambda: _apply(ledger, endpoints))
    with ledger.store.transaction() as connection:
        ledger.store.run_number(connection, "00000000-0000-0000-0000-000000000001")
        connection.execute(text("INSERT INTO codes (code) SELECT code FROM endpoints"))
    slots = "CASE e.cadence WHEN 'hourly' THEN 24 ELSE 1 END"
    arrays = {
        "content": f"array_fill(decode(md5(e.id::text || d), 'hex'), ARRAY[{slots}])",
        "inputs": f"array_fill(decode(md5(d || e.id::text), 'hex'), ARRAY[{slots}])",
        "rows": f"array_fill(1000::bigint, ARRAY[{slots}])",
        "version": f"array_fill((d * 24)::bigint, ARRAY[{slots}])",
        "code": f"array_fill(c.id, ARRAY[{slots}])",
        "run": f"array_fill(1::bigint, ARRAY[{slots}])",
        "changes": f"array_fill(((d - :today) * 24 + 100000)::bigint, ARRAY[{slots}])",
        "checks_passed": f"array_fill(5::smallint, ARRAY[{slots}])",
        "checks_failed": f"array_fill(0::smallint, ARRAY[{slots}])",
    } | dict.fromkeys(("built_at", "first_built_at", "changed_at", "seen_at"), f"array_fill(to_timestamp(d * 86400), ARRAY[{slots}])")
    step(
        "partition_days",
        lambda: sql(
            f"INSERT INTO partition_days (endpoint_id, day, change, {', '.join(arrays)}) "
            f"SELECT e.id, d, (d - :today) * 24 + 100000, {', '.join(arrays.values())} "
            "FROM endpoints e JOIN codes c USING (code), generate_series(:today - :versions + 1, :today) AS d ORDER BY d, e.id"
        ),
    )
    # One partition of a hundred is missing, at other places for each endpoint.
    step(
        "exceptions",
        lambda: sql(
            "SELECT setseed(0.4)",
            "INSERT INTO exceptions (endpoint_id, partition, state, reason, tries, at, run, code) "
            f"SELECT e.id, ((:today - :days + 1) * {slots} + floor(random() * :days * {slots}))::int, 'refused', 'rows break the key', 1, now(), 1, e.code "
            f"FROM endpoints e, generate_series(1, ceil(:days * {slots} / 100.0)::int) ON CONFLICT DO NOTHING",
        ),
    )
    step(
        "frontiers",
        lambda: sql(
            f"INSERT INTO frontiers (endpoint_id, published) SELECT e.id, int4multirange(int4range((:today - :days + 1) * {slots}, (:today + 1) * {slots})) "
            "- coalesce((SELECT range_agg(int4range(x.partition, x.partition + 1)) FROM exceptions x WHERE x.endpoint_id = e.id), '{}') FROM endpoints e"
        ),
    )
    step("analyze", lambda: sql("ANALYZE"))
    return spent


def touch(ledger: Ledger, partitions: int) -> int:
    """Changes the content of one hour of that many endpoints, as since the last tick; the cursor of before."""
    with ledger.store.transaction() as connection:
        cursor = int(connection.execute(text("SELECT max(change) FROM partition_days")).scalar_one())
        connection.execute(
            text(
                "UPDATE partition_days SET change = :next, changes[1] = :next WHERE day = :today AND endpoint_id IN "
                "(SELECT endpoint_id FROM partition_days WHERE day = :today ORDER BY endpoint_id LIMIT :n)"
            ),
            {"next": cursor + 1, "today": TODAY, "n": partitions},
        )
    return cursor


def measure(ledger: Ledger, cursor: int) -> dict[str, Any]:
    """What one tick reads: seconds and rows of each query, and of all of them."""
    since = NOW - LOOK_BACK
    queries: dict[str, Callable[[], Any]] = {
        "frontiers": lambda: ledger.planner.frontiers(since, NOW),
        "exceptions": lambda: ledger.planner.troubles_since(since),
        "content changed": lambda: ledger.partitions.changed_since(cursor)[0],
        "landing changed": lambda: ledger.landing.changed_since(0)[0],
        "open requests": ledger.requests.open,
        "receivers": ledger.landing.receivers,
    }
    result: dict[str, Any] = {}
    total = total_cpu = 0.0
    for name, query in queries.items():
        began, began_cpu = time.perf_counter(), _cpu(ledger)
        found = query()
        seconds, cpu = time.perf_counter() - began, _cpu(ledger) - began_cpu
        total += seconds
        total_cpu += cpu
        result[name] = {"seconds": round(seconds, 3), "cpu seconds": round(cpu, 3), "rows": len(found)}
    return result | {"total seconds": round(total, 3), "total cpu seconds": round(total_cpu, 3)}


def _cpu(ledger: Ledger) -> float:
    """CPU seconds of this process and of the database's process that serves it (on Linux): what a busy machine does not stretch."""
    with ledger.store.engine.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return time.process_time()
    return time.process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sizes(ledger: Ledger) -> dict[str, float]:
    """Megabytes by table, indexes included."""
    query = text("SELECT relname, pg_total_relation_size(oid) / 1e6 AS mb FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
    with ledger.store.engine.connect() as connection:
        return {row.relname: round(float(row.mb), 1) for row in connection.execute(query) if row.mb > 1}


def peak_megabytes() -> float:
    """Highest resident memory of this program so far. (`getrusage` would count the process it was forked from.)"""
    try:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return round(int(line.split()[1]) / 1024, 1)
    except OSError:
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def main(arguments: list[str]) -> int:
    """Fills, measures, prints; exit code 0 if one tick's reads took under a second and the process under 500 MB."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--endpoints", type=int, default=40_000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--url", help="an empty database to fill; without it an embedded Postgres is made in a temporary folder")
    parser.add_argument("--measure", type=int, metavar="CURSOR", help="only measure a database that is filled (needs --url)")
    given = parser.parse_args(arguments)
    if given.measure is not None:
        ledger = Ledger(given.url)
        rounds = [measure(ledger, given.measure) for _ in range(given.rounds)]
        sys.stdout.write(json.dumps({"rounds": rounds, "peak MB": peak_megabytes()}))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder), durable=False)
        server.start()
        try:
            ledger = Ledger(given.url or server.uri("ledger"))
            ledger.create()
            report: dict[str, Any] = {"endpoints": given.endpoints, "days": given.days, "fill": fill(ledger, given.endpoints, given.days)}
            report["tables MB"] = sizes(ledger)
            cursor = touch(ledger, 2_000)
            os.sync()  # gigabytes that wait to be written would slow the first reads, which must write too (hint bits)
            # A process of its own: the memory of filling is not the memory of a tick.
            report |= _in_a_process(given.url or server.uri("ledger"), cursor, given.rounds)
            ledger.close()
        finally:
            server.stop()
    times = sorted(each["total seconds"] for each in report["rounds"])
    report["median seconds"] = times[len(times) // 2]
    report["met"] = times[len(times) // 2] < 1.0 and report["peak MB"] < 500
    written = json.dumps(report, indent=2)
    sys.stdout.write(written + "\n")
    if given.json:
        given.json.write_text(written)
    return 0 if report["met"] else 1


def _in_a_process(url: str, cursor: int, rounds: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.ledger_layout", "--url", url, "--measure", str(cursor), "--rounds", str(rounds)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
