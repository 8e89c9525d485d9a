"""`backline plan`: what a change would do, against a ledger that runs and against git alone."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from click.testing import CliRunner

from platform_defs.cli.main import cli
from platform_defs.contracts import registry_file
from platform_defs.contracts.loading import load_domain
from platform_defs.contracts.partitions import key_of
from tests.system.cli.conftest import Desk

START = key_of("daily", datetime.now(UTC) - timedelta(days=10))
FILES = {
    "shop/domain.py": f"""
        from platform_defs.contracts import Domain

        domain = Domain(owner="team:shop", purpose="product", start="{START}", retention="400d")
        """,
    "shop/events.py": """
        from pydantic import Field

        from platform_defs.contracts import Event


        class Sold(Event):
            \"\"\"Something was sold.\"\"\"

            pieces: int = Field(ge=1, le=10)
            cents: int = Field(ge=0, le=1000)
        """,
    "shop/hours.py": """
        from pyspark.sql import DataFrame
        from pyspark.sql import functions as F

        from platform_defs.contracts import Schema, T, endpoint, field


        class Sums(Schema):
            \"\"\"Sums.\"\"\"

            pieces: T.LongType = field()


        @endpoint(schema=Sums, partitions="hourly", inputs={"sold": "shop/sold"})
        def turnover(sold: DataFrame) -> DataFrame:
            \"\"\"Pieces sold.\"\"\"
            return sold.agg(F.sum("pieces").alias("pieces"))


        @endpoint(schema=Sums, partitions="daily", inputs={"hours": "shop/turnover"})
        def day(hours: DataFrame) -> DataFrame:
            \"\"\"Pieces sold in a day.\"\"\"
            return hours.agg(F.sum("pieces").alias("pieces"))


        @endpoint(schema=Sums, partitions="daily", inputs={"days": "shop/day"})
        def report(days: DataFrame) -> DataFrame:
            \"\"\"Pieces, for the report.\"\"\"
            return days.select("pieces")
        """,
}


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    """The shop's files."""
    folder = tmp_path / "checkout" / "assets"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text).lstrip())
    (folder / "__init__.py").touch()
    registry_file.write(folder / "shop", load_domain(folder / "shop", fresh=True).contracts)
    return folder


@pytest.fixture
def deployed(assets: Path, desk: Desk) -> Desk:
    """A ledger in which the shop is in force and has 24 hours of turnover, built by two runs."""
    desk.ledger.registry.apply(load_domain(assets / "shop", fresh=True).contracts, "ref")
    hours = [desk.hour(ago) for ago in range(30, 54)]
    desk.publish("shop/sold", *hours)
    desk.publish("shop/turnover", *hours[:8], run="run-a")
    desk.publish("shop/turnover", *hours[8:], run="run-b")
    return desk


def edit(assets: Path, file: str, old: str, new: str) -> None:
    path = assets / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def plan(assets: Path, *words: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli, ["plan", "--assets", str(assets), *words])
    assert done.exit_code == code, f"{done.output}{done.exception!r}"
    return done.stdout


def datasets(assets: Path, *words: str, code: int = 0) -> dict[str, dict[str, Any]]:
    found = json.loads(plan(assets, *words, "--json", code=code))
    assert found["compatible"] is (code == 0)
    return {each["key"]: each for each in found["datasets"]}


def test_nothing_changes(assets: Path, deployed: Desk) -> None:
    assert plan(assets) == "Nothing changes against what is deployed (registry version 2).\n"


def test_other_code_makes_partitions_outdated_and_says_how_long_they_take(assets: Path, deployed: Desk) -> None:
    edit(assets, "shop/hours.py", "return sold.agg(F.sum", "return sold.agg(F.max")
    (found,) = datasets(assets).values()
    assert (found["key"], found["what"], found["breaking"]) == ("shop/turnover", "changed", False)
    assert [change["path"] for change in found["changes"]] == ["code_version"]
    assert (found["readers"], found["further_readers"]) == (["shop/day"], ["shop/report"])
    assert found["partitions"] == {"published": 24, "outdated": 24, "by_itself": 0, "new": 0, "hidden": 0}
    assert found["rebuild_seconds"] > 0
    said = plan(assets)
    assert "endpoint shop/turnover changed, compatible" in said
    assert "read by shop/day; and through them shop/report" in said
    assert "24 partitions become outdated; to rebuild them (about " in said
    assert said.endswith("1 dataset changes against what is deployed (registry version 2); nothing breaks.\n")


def test_what_breaks_is_named_with_its_senders_and_how_it_is_decided(assets: Path, deployed: Desk) -> None:
    deployed.ledger.landing.record_seal(sealed(deployed))
    edit(assets, "shop/events.py", "    cents: int = Field(ge=0, le=1000)\n", "")
    found = datasets(assets, code=3)["shop/sold"]
    assert (found["breaking"], found["used"], found["senders"]) == (True, True, ["till"])
    said = plan(assets, code=3)
    assert "  ! fields.cents: removed: who still sends it is refused" in said
    assert "sent in the last 30 days by till" in said
    assert said.endswith("If it is decided: ./backline apply --allow shop/sold\n")


def sealed(desk: Desk) -> Any:
    from platform_defs.lake.landing import Account, SealManifest

    account = Account(client="till", event="shop/sold", received=3, accepted=3, rejected=0, reasons={})
    return SealManifest(receiver="r1", seal=1, sealed_at=desk.now, sealed_until=desk.now, segments=(), accounts=(account,))


def test_what_never_held_anything_may_break(assets: Path, deployed: Desk) -> None:
    edit(
        assets,
        "shop/hours.py",
        '@endpoint(schema=Sums, partitions="daily", inputs={"days"',
        '@endpoint(schema=Sums, partitions="daily", retention="9d", inputs={"days"',
    )
    found = datasets(assets)["shop/report"]
    assert (found["breaking"], found["used"]) == (False, False)
    assert any(change["breaking"] for change in found["changes"])
    assert "breaking, but it never held anything" in plan(assets)


def test_a_column_that_comes_back_as_something_else_breaks(assets: Path, deployed: Desk) -> None:
    """Each of the two steps looks harmless; the table has the column still."""
    edit(assets, "shop/hours.py", "    pieces: T.LongType = field()\n", "    pieces: T.LongType = field()\n    note: T.StringType = field(nullable=True)\n")
    deployed.ledger.registry.apply(load_domain(assets / "shop", fresh=True).contracts, "with a note")
    edit(assets, "shop/hours.py", "    note: T.StringType = field(nullable=True)\n", "")
    deployed.ledger.registry.apply(load_domain(assets / "shop", fresh=True).contracts, "without")
    edit(assets, "shop/hours.py", "    pieces: T.LongType = field()\n", "    pieces: T.LongType = field()\n    note: T.LongType = field(nullable=True)\n")
    found = datasets(assets, code=3)
    assert found["shop/turnover"]["breaking"]
    assert not found["shop/day"]["breaking"], "it never held anything"


def test_a_wrong_declaration_is_no_verdict(assets: Path, deployed: Desk) -> None:
    edit(assets, "shop/events.py", "le=10)", 'le="ten")')
    assert CliRunner().invoke(cli, ["plan", "--assets", str(assets)]).exit_code == 1


# --- against git, without anything running ----------------------------------------------------------------------------------------------------


@pytest.fixture
def committed(assets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The shop, committed; nothing runs."""
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "one"]):
        named = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(assets.parent), *named, *command], check=True, capture_output=True)
    monkeypatch.setenv("BACKLINE_HOME", str(tmp_path / "nothing"))
    return assets


def test_against_a_git_ref(committed: Path) -> None:
    assert plan(committed, "--against", "main").startswith("Nothing changes against main (")
    edit(committed, "shop/events.py", "le=1000)", "le=2000)")
    assert [change["breaking"] for change in datasets(committed, "--against", "HEAD")["shop/sold"]["changes"] if change["path"] == "fields.cents.le"] == [False]
    edit(committed, "shop/events.py", "le=2000)", "le=500)")
    found = datasets(committed, "--against", "HEAD", code=3)["shop/sold"]
    assert (found["breaking"], found["used"], found["partitions"]) == (True, None, None)
    assert found["readers"] == ["shop/turnover"]


def test_wrong_usage(committed: Path) -> None:
    done = CliRunner().invoke(cli, ["plan", "--assets", str(committed), "--against", "nowhere"])
    assert done.exit_code == 2
    assert "'nowhere' is no commit git knows; write `deployed` or a git ref" in done.stderr


def test_deployed_needs_a_running_backline_and_says_what_does_not(committed: Path) -> None:
    done = CliRunner().invoke(cli, ["plan", "--assets", str(committed)])
    assert done.exit_code == 1
    assert done.stderr == "Error: Backline is not running: start it with ./backline up, or compare with what is committed: ./backline plan --against HEAD\n"
