"""A run host whose definitions start native threads says which import did, before it takes anything over."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from platform_defs.running.supervisor import CHECKOUT

LOCATION = "import dagster as dg\nfrom assets.shop import orders\nshop = dg.Definitions()\n"
ORDERS = '"""Orders."""\nfrom assets.shop import prices\nimport busy\nimport colorsys\n'
BUSY = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")


@needs_proc
def test_the_import_that_starts_threads_is_named_and_no_socket_is_taken(tmp_path: Path) -> None:
    package = tmp_path / "assets" / "shop"
    package.mkdir(parents=True)
    for file, text in ((tmp_path / "planted.py", LOCATION), (tmp_path / "busy.py", BUSY), (package / "orders.py", ORDERS)):
        file.write_text(text)
    for file in (package / "__init__.py", package.parent / "__init__.py", package / "prices.py"):
        file.touch()
    with tempfile.TemporaryDirectory(prefix="host-") as folder:  # short: a socket's path may not be long
        target = ["--module", "planted", "--attribute", "shop", "--working-directory", str(tmp_path)]
        command = ["--socket", f"{folder}/s", *target, "--code-socket", f"{folder}/c", "--location-name", "shop"]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
        done = subprocess.run(
            [sys.executable, "-m", "platform_defs.running.run_host", *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert list(Path(folder).iterdir()) == []
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "2 native threads" in last
    assert "import of busy at assets/shop/orders.py:3" in last
    assert "inside the function" in last
