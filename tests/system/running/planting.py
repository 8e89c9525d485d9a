"""Names, addresses and ids that are sent by every way a client has, and where they are found afterwards: in landing and the failed log alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from platform_defs.collection.tokens import add_client
from platform_defs.contracts.partitions import key_of
from platform_defs.ledger import Ledger
from resources.settings import Settings
from tests.fixtures.scan import database, holding
from tests.fixtures.up import Up

CANARY = "canary"
HOUR = key_of("hourly", datetime.now(UTC) - timedelta(hours=3))
FILES = {
    "domain.py": """
from platform_defs.contracts import Domain
domain = Domain(owner="team:care", purpose="product", start="{start}", retention="30d")
""",
    "events.py": """
from typing import Annotated
from platform_defs.contracts import Event, Lateness, Personal

class CallMade(Event, lateness=Lateness(settle=["30d"], share=0.0, landing="40d")):
    \"\"\"Somebody called.\"\"\"

    caller: Annotated[str, Personal("person")]
    address: Annotated[str | None, Personal("address", of="caller")] = None
    minutes: int
""",
    "members.py": """
from collections.abc import Iterator
from typing import Annotated
from platform_defs.contracts import Personal, Record, Window, source

END = "ary"

class Member(Record):
    \"\"\"A member.\"\"\"

    member: Annotated[str, Personal("person")]

@source(row=Member, partitions="daily", key=["member"])
def members(at: Window) -> Iterator[dict[str, object]]:
    \"\"\"The register, which fails after its first row.\"\"\"
    # Joined when it runs: the compiled module must not hold the word.
    yield {"member": "-".join(["can" + END, "member"])}
    raise ValueError("cannot read the line of " + "-".join(["can" + END, "member"]))
""",
}
# What may hold raw values: landing with the failed log, the receiver's log, the private logs of runs (DESIGN 8).
RAW = ("landing", "spool", "logs/runs")


def write_domain(assets: Path) -> None:
    """Writes the domain `care`, whose event type and source are personal."""
    folder = assets / "care"
    folder.mkdir(parents=True)
    start = f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}"
    for name, text in FILES.items():
        (folder / name).write_text(text.replace("{start}", start))


def plant(up: Up, number: int) -> None:
    """Sends planted values by every way a client has."""
    settings = Settings.load(up.home, environ={})
    token = add_client(up.home / "clients.json", f"pbx-{number}")
    good = {"caller": f"{CANARY}-caller-{number}", "address": f"{CANARY}@example.org", "minutes": 3}
    events = [
        cloud_event(f"{CANARY}-id-{number}", good, subject=f"{CANARY}-subject", source=f"//{CANARY}-source"),
        cloud_event(f"mistyped-{number}", {**good, "minutes": f"{CANARY}-minutes"}),
        cloud_event(f"extra-{number}", {**good, f"{CANARY}_field": 1}),
        cloud_event(f"unknown-{number}", good, type=f"care/{CANARY}_type"),
        cloud_event(f"old-{number}", good, time=f"1999-01-01T00:00:00Z-{CANARY}"),
    ]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/cloudevents-batch+json", "User-Agent": f"{CANARY}-agent"}
    with httpx.Client(base_url=str(settings.collector_url), headers=headers, timeout=60) as http:
        answer = http.post("/events", content=json.dumps(events)).json()
        assert [one["status"] for one in answer["events"]] == ["accepted", *["rejected"] * 4]
        assert http.post("/events", content=b'[{"id": "' + CANARY.encode()).status_code == 400


def cloud_event(identity: str, data: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"specversion": "1.0", "id": identity, "source": "//test", "type": "care/call_made", "time": f"{HOUR}:30:00Z", **more, "data": data}


def taken(up: Up, rows: int) -> bool:
    """Whether the hour is published with so many rows, and the source was tried and is stuck."""
    ledger = Ledger(Settings.load(up.home, environ={}).ledger_url)
    try:
        built = ledger.partitions.row_counts("care/call_made", [HOUR]).get(HOUR) == rows
        return built and bool(ledger.attempts.of("care/members", "daily"))
    finally:
        ledger.close()


def databases(up: Up) -> str:
    settings = Settings.load(up.home, environ={})
    return "".join(database(url) for url in (settings.ledger_url, settings.vault_url, str(settings.storage_url)))


def astray(home: Path) -> list[str]:
    """Files below the home that hold a planted value and must not."""
    found = [str(path.relative_to(home)) for path in holding(home, CANARY)]
    return [path for path in found if not path.startswith(RAW)]
