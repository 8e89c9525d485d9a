"""contracts.json: what is read is what was written, in a text that changes only when a contract does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from platform_defs.contracts import registry_file
from platform_defs.contracts.errors import ContractErrors
from tests.fixtures.contracts import as_of, contract, endpoint, event, reads
from tests.unit.contracts.test_events import EVERY_TYPE
from tests.unit.contracts.writing import event as declared_event

SOME = (event("a/x"), endpoint("a/y", reads("a/x", 0, 1), as_of("a/z")), contract("a/z", kind="source", cadence="daily", unique=("id",), secrets=("s",)))


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    every = declared_event(tmp_path, EVERY_TYPE)
    assert registry_file.write(tmp_path, [*SOME, every]) is True
    assert registry_file.read(tmp_path) == {c.key: c for c in (*SOME, every)}
    assert [c.canonical_json() for c in registry_file.read(tmp_path).values()] == [c.canonical_json() for c in (*SOME, every)]


def test_the_text_does_not_depend_on_order_and_nothing_is_written_twice(tmp_path: Path) -> None:
    assert registry_file.text_of(SOME) == registry_file.text_of(reversed(SOME))
    registry_file.write(tmp_path, SOME)
    before = (tmp_path / registry_file.FILE).stat().st_mtime_ns
    assert registry_file.write(tmp_path, reversed(SOME)) is False
    assert (tmp_path / registry_file.FILE).stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir()] == [registry_file.FILE]


def test_one_changed_contract_changes_one_block() -> None:
    changed = (SOME[0], SOME[1].model_copy(update={"tier": "high"}), SOME[2])
    old, new = registry_file.text_of(SOME).splitlines(), registry_file.text_of(changed).splitlines()
    assert [(a, b) for a, b in zip(old, new, strict=True) if a != b] == [('      "tier": "normal",', '      "tier": "high",')]


def test_all_domains_are_read_together(tmp_path: Path) -> None:
    for domain in ("a", "b"):
        (tmp_path / domain).mkdir()
        registry_file.write(tmp_path / domain, [contract(f"{domain}/x")])
    assert sorted(registry_file.read_registry_files(tmp_path)) == ["a/x", "b/x"]
    assert registry_file.read(tmp_path / "none") == {}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2, "contracts": []}', '{"format": 1}', '{"format": 1, "contracts": [{"key": "a/x"}]}', "<<<<<<< HEAD"]
)
def test_another_file_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(ContractErrors, match=r"assets/a/contracts.json: .*backline apply"):
        registry_file.parse(text, "assets/a/contracts.json")


def test_what_is_default_is_left_out() -> None:
    block = json.loads(registry_file.text_of([contract("a/x")]))["contracts"][0]
    assert "ranged" not in block
    assert block["columns"] == [{"name": "id", "type": "BIGINT"}]
