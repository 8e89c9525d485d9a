"""Planted names, addresses and ids, looked for in everything that outlives a run: tables and their logs, staging, records, databases, answers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from platform_defs.privacy.vault import Vault
from platform_defs.privacy.workers import Deriver
from tests.fixtures.scan import database, holding
from tests.spark.intake.house import HOUR, House, event
from tests.spark.intake.test_intake import DEVICE, NEXT, PLAYED, data

CANARY = "canary"
PLACES = {
    "field": event(1, data("canary-ada", email="canary@x.example", device=DEVICE.replace("0123", "cafe"))),
    "limit": event(2, data("canary-bob", ms=7000)),
    "mistyped": event(3, data("canary-dora", ms="canary-number")),
    "extra": event(4, data("canary-emil", canary_surname="canary-x")),
    "client": event(5, data("canary-fay"), client="canary-client"),
    "hour": event(6, data("canary-greta"), hour=NEXT),
    "no json": '{"canary": canary',
    "twice": event(1, data("canary-ada", email="canary@x.example", device=DEVICE.replace("0123", "cafe"))),
    "conflict": event(1, data("canary-ida")),
    "lost": event(7, data(None, email="canary-lost@x.example")),
}


class Talkative(Vault):
    """A vault whose errors quote what it was asked."""

    def people(self, kind: str, identifiers: Collection[str]) -> NoReturn:
        raise ValueError(f"no idea who {kind} {identifiers} is")


@pytest.mark.parametrize("way", ["spark", "process"], indirect=True)
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_personal_outlives_a_run(house: House, fails: bool, capfd: pytest.CaptureFixture[str]) -> None:
    house.apply(PLAYED)
    house.land(PLAYED, {HOUR: PLACES.values()})
    vault = house.vault
    if fails:
        talkative = Talkative.__new__(Talkative)
        talkative.__dict__.update(vault.__dict__)
        house.platform = replace(house.platform, deriver=Deriver(talkative))
    result = house.take(PLAYED, HOUR)[HOUR]
    assert result.outcome == ("failed" if fails else "published")
    if not fails:
        assert result.counts == {"landed": 10, "good": 3, "duplicate": 1, "conflict": 1, "quarantined": 5}
    else:  # it was the vault that failed, and its words are where they may be
        assert any("no idea who person" in log.read_text() for log in (house.folder / "logs" / "runs").iterdir())
    lake, landing = house.folder / "lake", house.folder / "landing"
    assert list(holding(landing, CANARY))  # the scan sees what is there to be seen
    assert not list(holding(lake, CANARY))
    assert not list(landing.glob("private/*"))
    assert CANARY not in f"{result!r}{capfd.readouterr()}"
    assert CANARY not in database(house.platform.ledger.store.engine.url.render_as_string(hide_password=False))
    assert CANARY not in database(vault._engine.url.render_as_string(hide_password=False))
    for key in (vault.event_key, vault._named("index")):
        assert not list(holding(lake, key.hex()))
    runs = list((house.folder / "logs" / "runs").glob("*.log"))
    assert bool(runs) == fails
    assert all(path.stat().st_mode & 0o077 == 0 for path in runs)


def test_no_key_is_in_a_plan(house: House, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every plan that goes to Spark, and Spark's own analysis of what is staged, is without the keys in any spelling."""
    from pyspark.sql.connect.client import SparkConnectClient

    vault = house.vault
    house.apply(PLAYED)
    house.land(PLAYED, {HOUR: [event(1, data("canary-ada", email="canary@x.example"))]})
    sent: list[bytes] = []
    send = SparkConnectClient._execute_plan_request_with_metadata

    def seen(self: Any, *args: Any, **kwargs: Any) -> Any:
        request = send(self, *args, **kwargs)
        sent.append(request)
        return request

    monkeypatch.setattr(SparkConnectClient, "_execute_plan_request_with_metadata", seen)
    house.take(PLAYED, HOUR)
    assert len(sent) > 5
    everything = b"".join(request.SerializeToString() for request in sent)
    inner, outer = (bytes(byte ^ pad for byte in vault.event_key) for pad in (0x36, 0x5C))
    for needle in (vault.event_key, inner, outer, b"canary"):
        assert needle not in everything
        assert needle.hex().encode() not in everything
