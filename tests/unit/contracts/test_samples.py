"""The domains of this repository load, fit together, and say what the design's samples say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from assets.catalogue.library import library, licensed
from assets.catalogue.tracks import Track, tracks
from assets.catalogue.vendor import vendor_chart
from platform_defs.contracts import NotReady, registry_file
from platform_defs.contracts.contract import AsOfInput, Contract, PersonalMark, WindowInput
from platform_defs.contracts.loading import LoadedDomain, domain_folders, load_domain
from platform_defs.contracts.partitions import window_of
from platform_defs.contracts.resolving import resolve
from platform_defs.contracts.sources import secrets_of

ASSETS = Path(__file__).parents[3] / "assets"


@pytest.fixture(scope="module")
def domains() -> dict[str, LoadedDomain]:
    return {folder.name: load_domain(folder) for folder in domain_folders(ASSETS)}


@pytest.fixture(scope="module")
def contracts(domains: dict[str, LoadedDomain]) -> dict[str, Contract]:
    return {contract.key: contract for domain in domains.values() for contract in domain.contracts}


def test_all_domains_fit_together(contracts: dict[str, Contract]) -> None:
    resolve(contracts.values(), {})


@pytest.mark.parametrize("domain", ["catalogue", "charts", "listening"])
def test_each_domain_resolves_against_the_committed_files_of_the_others(domains: dict[str, LoadedDomain], domain: str) -> None:
    resolve(domains[domain].contracts, registry_file.read_registry_files(ASSETS))


@pytest.mark.parametrize("domain", ["catalogue", "charts", "listening"])
def test_committed_files_are_what_the_code_says(domains: dict[str, LoadedDomain], domain: str) -> None:
    """After an edit, `backline apply` writes them; reviewers see every derived change."""
    assert registry_file.read(ASSETS / domain) == {contract.key: contract for contract in domains[domain].contracts}


def test_track_played_is_as_designed(contracts: dict[str, Contract]) -> None:
    played = contracts["listening/track_played"]
    assert (played.tier, played.owner, played.purpose, played.start, played.retention_seconds) == (
        "high",
        "team:listening",
        "product",
        "2026-01-01",
        400 * 86400,
    )
    assert played.lateness is not None
    assert (played.lateness.settle_seconds, played.lateness.hold_seconds) == ((3600, 21600, 86400, 259200), 7200)
    marks = {field.name: field.personal for field in played.fields if field.personal}
    assert marks == {"user_id": PersonalMark(kind="person"), "email": PersonalMark(kind="email", of="user_id")}
    assert {column.name: column.mark for column in played.columns if column.mark} == {"user_id": "person", "email": "personal"}


def test_skip_rate_is_as_designed(contracts: dict[str, Contract]) -> None:
    rate = contracts["charts/skip_rate"]
    assert rate.inputs == (
        WindowInput(param="started", endpoint="listening/track_started", unit="hours"),
        WindowInput(param="played", endpoint="listening/track_played", unit="hours", first=0, last=1),
        AsOfInput(param="tracks", endpoint="catalogue/tracks", within_seconds=3 * 86400),
    )
    assert (rate.cadence, rate.ready_within_seconds, rate.unique) == ("hourly", 3 * 3600, ("track_id",))
    assert rate.column("plays").on_fail == "quarantine"
    assert contracts["charts/daily_listeners"].column("listeners").mark == "people"


def test_the_library_is_the_same_for_everybody() -> None:
    assert len({track.track_id for track in library()}) == 400
    assert library()[0].track_id == "trk_fakvtorz"
    days = [date(2026, month, 1) for month in range(1, 13)]
    shares = [sum(licensed(track, day) for track in library()) / 400 for day in days]
    assert all(0.85 < share < 0.99 for share in shares)
    assert len(set(shares)) > 1  # licences lapse and come back, so snapshots differ


def test_the_snapshot_of_tracks_is_made_of_valid_rows() -> None:
    rows = tracks(window_of("2026-10-01"))
    found = [Track.model_validate(row) for row in rows]
    assert [row.track_id for row in found] == [track.track_id for track in library()]


class Bucket:
    """What the vendor's source sees of S3."""

    class exceptions:  # noqa: N801  (boto3's name)
        class ClientError(Exception):
            def __init__(self, code: str) -> None:
                self.response = {"Error": {"Code": code}}

    def __init__(self, code: str | None) -> None:
        self.code = code

    def head_object(self, **where: str) -> dict[str, str]:
        if self.code:
            raise self.exceptions.ClientError(self.code)
        return {"ETag": f"etag of {where['Key']}"}

    def get_object(self, **where: str) -> dict[str, str]:
        return {"Body": f"{where['Key']} if {where['IfMatch']}"}


@pytest.fixture
def vendor_secret() -> Iterator[None]:
    with secrets_of({"vendor_s3": {"region_name": "eu-west-1"}}.get, ["vendor_s3"]):
        yield


@pytest.mark.usefixtures("vendor_secret")
def test_the_vendors_file_waits_comes_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    at = window_of("2026-10-01")
    for code, raised in (("404", NotReady), ("403", Bucket.exceptions.ClientError)):
        monkeypatch.setattr("assets.catalogue.vendor.boto3.client", lambda name, code=code, **secret: Bucket(code))
        with pytest.raises(raised):
            list(vendor_chart(at))
    monkeypatch.setattr("assets.catalogue.vendor.boto3.client", lambda name, **secret: Bucket(None))
    (file,) = vendor_chart(at)
    assert (file.name, file.version, file.format) == ("charts/2026/10/01.csv.gz", "etag of charts/2026/10/01.csv.gz", "csv")  # type: ignore[union-attr]
    assert str(file.read()) == "charts/2026/10/01.csv.gz if etag of charts/2026/10/01.csv.gz"  # type: ignore[union-attr]


def test_the_vendors_source_waits_for_its_secret() -> None:
    with secrets_of(lambda name: None, ["vendor_s3"]), pytest.raises(NotReady, match="'vendor_s3' is not set"):
        list(vendor_chart(window_of("2026-10-01")))
