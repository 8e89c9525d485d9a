"""A product's service has pydantic and httpx: contracts and every events.py must import with no more than that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Distributions of the base install and what they need; everything else from site-packages is refused.
LOADER = """
import sys
from importlib.abc import MetaPathFinder

BASE = {"pydantic", "pydantic_core", "typing_extensions", "annotated_types", "typing_inspection", "httpx", "httpcore", "h11", "anyio", "sniffio",
        "idna", "certifi", "platform_defs", "assets"}

class Refuse(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        top = name.partition(".")[0]
        if top not in BASE and top not in sys.stdlib_module_names and not top.startswith("_"):
            raise ModuleNotFoundError(f"{name} is not in the base install", name=name)
        return None

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, ROOT)
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    text = f"ROOT = {str(ROOT)!r}\n{LOADER}\n{code}"
    return subprocess.run([sys.executable, "-I", "-c", text], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("domain", sorted(path.parent.name for path in (ROOT / "assets").glob("*/events.py")))
def test_events_import_with_the_base_alone(domain: str) -> None:
    done = run(f"""
from pathlib import Path
import assets.{domain}.events
from platform_defs.contracts.loading import load_domain
from platform_defs.contracts.wire import model_of
loaded = load_domain(Path(ROOT) / "assets" / {domain!r}, events_only=True)
for declared in loaded.declared.values():
    example = declared.declaration.example()
    assert model_of(declared.contract).model_validate_json(example.model_dump_json()).model_dump_json() == example.model_dump_json()
print(len(loaded.declared))
""")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_every_module_of_contracts_but_the_schema_imports_with_the_base_alone() -> None:
    modules = [path.stem for path in (ROOT / "platform_defs" / "contracts").glob("*.py") if path.stem not in ("__init__", "schema")]
    done = run("\n".join(f"import platform_defs.contracts.{module}" for module in modules))
    assert done.returncode == 0, done.stderr


def test_the_guard_of_this_test_bites() -> None:
    done = run("from platform_defs.contracts import Schema")
    assert done.returncode != 0
    assert "is not in the base install" in done.stderr
