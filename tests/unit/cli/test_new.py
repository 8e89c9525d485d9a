"""What `new` writes is sound as it stands: it loads, resolves, is formatted, its tests pass; nothing that exists is overwritten."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from platform_defs.build.processes import domains_of
from platform_defs.running.supervisor import CHECKOUT

# Several commands in one process that is not the suite's: the suite has imported the checkout's `assets`.
SEVERAL = """
import json, sys
from click.testing import CliRunner
from platform_defs.cli.main import cli
done = [CliRunner().invoke(cli, ["new", *arguments], catch_exceptions=False) for arguments in json.loads(sys.argv[1])]
print(json.dumps([[each.exit_code, each.output] for each in done]))
"""
KEYS = """
import sys
from pathlib import Path
from platform_defs.running.applying import load
print(*[contract.key for contract in load(*map(Path, sys.argv[1:])).all])
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(CHECKOUT / "assets", tmp_path / "assets", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "workspace.yaml", tmp_path)
    return tmp_path


def python(folder: Path, *arguments: str, path: str = str(CHECKOUT)) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PATH": "/usr/bin:/bin"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment, cwd=folder)


def new(folder: Path, *commands: str) -> list[tuple[int, str]]:
    done = python(folder, "-c", SEVERAL, json.dumps([command.split() for command in commands]))
    assert done.returncode == 0, done.stderr
    return [(code, output) for code, output in json.loads(done.stdout)]


def test_all_of_it_is_sound_and_well_formed(checkout: Path) -> None:
    done = new(
        checkout,
        "domain payments --start 2026-01-01",
        "event payments/order_placed",
        "event payments/order_returned",
        "endpoint payments/orders_per_hour",
        "endpoint payments/returns_per_day --of payments/order_returned --daily",
        "endpoint payments/rates_seen --of catalogue/tracks",
        "source payments/exchange_rates",
    )
    assert [code for code, _ in done] == [0] * 7, done
    assert domains_of(checkout / "workspace.yaml") == sorted([*domains_of(CHECKOUT / "workspace.yaml"), "payments"])
    written = {"order_placed", "order_returned", "orders_per_hour", "returns_per_day", "rates_seen", "exchange_rates"}
    assert {f"payments/{name}" for name in written} <= set(python(checkout, "-c", KEYS, "assets", "home").stdout.split())
    for command in (["check", "--config", 'lint.isort.known-first-party=["assets", "platform_defs"]'], ["format", "--check"]):
        formed = python(checkout, "-m", "ruff", *command, "--config", str(CHECKOUT / "pyproject.toml"), "assets/payments", "tests")
        assert formed.returncode == 0, formed.stdout


def test_its_tests_pass_that_need_no_spark(checkout: Path) -> None:
    new(checkout, "domain payments", "event payments/order_placed", "source payments/exchange_rates")
    done = python(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", path=f"{checkout}:{CHECKOUT}")
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


def test_an_event_joins_those_that_are_there(checkout: Path) -> None:
    before = (checkout / "assets/listening/events.py").read_text()
    new(checkout, "event listening/playlist_made")
    after = (checkout / "assets/listening/events.py").read_text()
    assert after.startswith(before.rstrip())
    assert "class PlaylistMade(Event):" in after


def test_nothing_is_overwritten(checkout: Path) -> None:
    new(checkout, "domain payments")
    files = {path: path.read_bytes() for path in checkout.rglob("*.py")}
    refused = {
        "domain payments": (1, "exists already; nothing was written"),
        "event listening/track_played": (1, "declared already"),
        "source nowhere/x": (1, "no domain nowhere"),
        "source payments/No-Name": (2, "lower case"),
        "endpoint payments/x": (2, "what does it read"),
        "domain other --start soon": (2, "no day"),
    }
    for (command, (code, words)), (got, output) in zip(refused.items(), new(checkout, *refused), strict=True):
        assert (got, words in output) == (code, True), f"{command}: {output}"
    assert {path: path.read_bytes() for path in checkout.rglob("*.py")} == files


def test_readme_samples_are_sound(tmp_path: Path) -> None:
    readme = (CHECKOUT / "README.md").read_text()
    samples = [block.partition("```")[0] for block in readme.split("```python\n# ")[1:]]
    for sample in samples:
        name, _, text = sample.partition("\n")
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert len(samples) == 4
    done = python(tmp_path, "-c", KEYS, "assets", "home")
    assert done.stdout.split() == ["payments/order_placed", "payments/turnover"], done.stderr


def test_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    domain = 'from platform_defs.contracts import Domain\ndomain = Domain(owner="team:x", purpose="x", start="2026-01-01", retention="9d")\n'
    for name, text in (("one", "def broken(:\n"), ("two", "import nothing_of_that_name\n")):
        folder = tmp_path / "assets" / name
        folder.mkdir(parents=True)
        (folder / "domain.py").write_text(domain)
        (folder / "events.py").write_text(text)
    told = python(tmp_path, "-c", KEYS, "assets", "home").stderr
    assert "assets/one/events.py:1" in told
    assert "assets/two/events.py" in told
    assert "Nothing was applied: 2 things are wrong." in told
