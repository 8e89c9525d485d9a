"""`assets/<domain>/contracts.json`: a domain's contracts as committed, for reviewers to see every derived change and for others to resolve against.

Written by `apply`, never by hand. Defaults are left out, so that a diff shows what was said; each contract is a block, in the order of keys.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.errors import ContractError, ContractErrors
from platform_defs.contracts.places import short

FILE = "contracts.json"


def text_of(contracts: Iterable[Contract]) -> str:
    """The file's text: the same for the same contracts, whatever their order."""
    blocks = [_block(contract) for contract in sorted(contracts, key=lambda contract: contract.key)]
    return json.dumps({"format": 1, "contracts": blocks}, indent=2, ensure_ascii=False) + "\n"


def parse(text: str, where: str) -> dict[str, Contract]:
    """Contracts by key from a file's text (of this checkout or of another git ref); raises ContractErrors if it is no such file."""
    write = "Take it from git again, or run `backline apply`, which writes it"
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("format") != 1:
            raise ContractErrors([ContractError(where, "it is of another format than this version of the platform reads", write)])
        return {contract.key: contract for contract in (Contract.model_validate_json(json.dumps(block)) for block in data["contracts"])}
    except (json.JSONDecodeError, KeyError, TypeError, ValidationError):
        raise ContractErrors([ContractError(where, "it does not hold contracts", write)]) from None


def read(folder: Path) -> dict[str, Contract]:
    """A domain's committed contracts by key; empty if the file is not there."""
    path = folder / FILE
    return parse(path.read_text(encoding="utf-8"), short(path)) if path.is_file() else {}


def read_registry_files(assets: Path) -> dict[str, Contract]:
    """The committed contracts of all domains below a folder of assets, by key."""
    found: dict[str, Contract] = {}
    for path in sorted(assets.glob(f"*/{FILE}")):
        found.update(read(path.parent))
    return found


def write(folder: Path, contracts: Iterable[Contract]) -> bool:
    """Writes the file if it would change; whether it did. A reader sees the old text or the new one, never a part."""
    path, text = folder / FILE, text_of(contracts)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".{FILE}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return True


def _block(contract: Contract) -> dict[str, Any]:
    block = contract.model_dump(mode="json", exclude_defaults=True)
    for one, dumped in zip(contract.inputs, block.get("inputs", []), strict=True):
        dumped["kind"] = one.kind  # a default that tells the two forms apart
    return block
