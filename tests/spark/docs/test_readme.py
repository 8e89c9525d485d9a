"""The README's example is whole: its files load, resolve, and its test passes as it stands. Nothing of it is copied here."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import assets
from platform_defs.contracts.loading import load_domain
from platform_defs.contracts.resolving import resolve

README = Path(__file__).parents[3] / "README.md"
_BLOCK = re.compile(r"```python\n# (\S+\.py)\n(.*?)```", re.DOTALL)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The README's files in a folder of their own, importable as if they lay in the checkout."""
    files = dict(_BLOCK.findall(README.read_text(encoding="utf-8")))
    assert {"assets/payments/domain.py", "assets/payments/events.py", "assets/payments/turnover.py", "tests/assets/payments/test_turnover.py"} == set(files)
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "assets" / "payments" / "__init__.py").touch()
    monkeypatch.setattr(assets, "__path__", [*assets.__path__, str(tmp_path / "assets")])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("assets.payments")]:
        del sys.modules[name]


def test_the_readmes_domain_loads_and_its_test_passes(written: Path, build: Callable[..., Any]) -> None:
    domain = load_domain(written / "assets" / "payments")
    assert set(domain.declared) == {"payments/order_placed", "payments/turnover"}
    resolve(domain.contracts, {})
    scope: dict[str, Any] = {}
    exec(compile((written / "tests/assets/payments/test_turnover.py").read_text(), "test_turnover.py", "exec"), scope)
    scope["test_turnover"](build)
