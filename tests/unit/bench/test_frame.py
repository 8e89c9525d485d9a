"""What benchmarks write: figures beside a rival's, the page made of those that were kept, one failing benchmark beside others."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.bench import everything, frame, report
from tests.bench.figures import figure
from tests.bench.frame import Kept, Measured, benchmark, read_kept
from tests.bench.report import page, page_file


@pytest.mark.parametrize(
    ("ours", "rival", "target", "more", "met"),
    [
        ([60.0], [1.0], 50, True, True),
        ([40.0], [1.0], 50, True, False),
        ([1.5], [1.0], 1.6, False, True),
        ([1.7], [1.0], 1.6, False, False),
        ([1.4], [], 1.5, False, True),  # without a rival the value itself is asked
        ([1.4], [], None, True, None),
    ],
)
def test_a_target_is_asked_of_the_ratio_or_without_a_rival_of_the_value(ours: list[float], rival: list[float], target: float, more: bool, met: bool) -> None:
    one = figure("x", "s", ours, rival, target, more_is_better=more, cause="because")
    assert one["met"] is met
    assert one["cause"] == ("because" if met is False else None)


def test_medians_are_compared() -> None:
    one = figure("x", "s", [1, 2, 90], [3, 4, 5])
    assert (one["min"], one["median"], one["max"], one["ratio"]) == (1, 2, 90, 0.5)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A checkout of its own to keep results in."""
    (tmp_path / "docs").mkdir()
    for module in (frame, report):
        monkeypatch.setattr(module, "checkout", lambda: tmp_path)
    return tmp_path


@benchmark(rounds=2)
@click.option("--size", default=1)
@click.option("--warm/--cold", default=True)
def sample(rounds: int, size: int, warm: bool) -> Measured:
    """Measures nothing."""
    return Measured([figure("things", "s", [float(size)] * rounds, [1.0] * rounds, 2, cause="It is small.")], profile="All in one place.")


def test_figures_are_written_and_kept_with_the_command_that_makes_them(elsewhere: Path) -> None:
    done = CliRunner().invoke(sample, ["--json", str(elsewhere / "out.json"), "--keep", "--size", "1", "--cold"], prog_name="sample")
    assert done.exit_code == 0, done.output
    (one,) = json.loads((elsewhere / "out.json").read_text())
    assert {"what", "ours", "rival", "ratio", "target", "met", "min", "median", "max", "unit"} <= one.keys()
    (kept,) = read_kept()
    assert kept.command == "./backline bench sample --size 1 --cold"
    assert kept.figures == [one]
    text = (elsewhere / "docs" / "benchmarks.md").read_text()
    assert "things: 1x, asked >= 2x. It is small." in text
    assert "All in one place." in text
    assert "**no**" in text


def test_the_page_is_what_is_kept() -> None:
    """Nothing in it is typed by hand."""
    assert page_file().read_text() == page(read_kept())


def test_a_benchmark_that_fails_does_not_stop_the_rest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Done:
        def __init__(self, returncode: int) -> None:
            self.returncode = returncode

    def run(command: list[str], check: bool) -> Done:
        if "quick" in command:
            return Done(1)
        Path(command[command.index("--json") + 1]).write_text(json.dumps([{"what": command[command.index("bench") + 1]}]))
        return Done(0)

    monkeypatch.setattr(everything.subprocess, "run", run)
    done = CliRunner().invoke(everything.everything, ["--json", str(tmp_path / "all.json")])
    assert done.exit_code == 1
    assert "quick failed" in done.output
    assert "planning" in {one["what"] for one in json.loads((tmp_path / "all.json").read_text())}


def test_memory_is_that_of_the_kept_run(elsewhere: Path) -> None:
    kept = Kept(
        "x", "About.", "./backline bench x", "2026-01-01", {}, {"cores": 2, "memory_gb": 8, "load_a_core": 0.1}, [figure("a", "s", [1], memory=[10, 30])]
    )
    assert "30 MB" in page([kept])
