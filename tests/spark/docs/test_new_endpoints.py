"""The endpoints that `backline new` writes pass their own tests as they stand, on a real Spark."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from platform_defs.running.supervisor import CHECKOUT

COMMANDS = (
    "domain payments --start 2026-01-01",
    "event payments/order_placed",
    "endpoint payments/orders_per_hour",
    "endpoint payments/orders_per_day --of payments/order_placed --daily",
    "endpoint payments/rates_seen --of catalogue/tracks",
)
SEVERAL = """
import sys
from click.testing import CliRunner
from platform_defs.cli.main import cli
for command in sys.argv[1:]:
    done = CliRunner().invoke(cli, ["new", *command.split()], catch_exceptions=False)
    assert done.exit_code == 0, done.output
"""


def test_generated_endpoints_pass_their_tests(spark_server: str, tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "assets", tmp_path / "assets", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "workspace.yaml", tmp_path)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{CHECKOUT}", "PYTHONSAFEPATH": "1", "BACKLINE_TEST_SPARK": spark_server}
    for arguments in (
        ["-c", SEVERAL, *COMMANDS],
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "platform_defs.execution.testing", "-p", "tests.fixtures.spark", "tests"],
    ):
        done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout
    assert "passed" in done.stdout
