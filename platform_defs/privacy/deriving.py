"""What tables hold instead of people: for rows of texts as lines spell them, the person's pseudonym and the ciphertexts of what is theirs.

The formula of pseudonyms is here, that of ciphertexts in encryption. Rows go in and come out as Arrow tables; keys stay inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from platform_defs.contracts.contract import WireField
from platform_defs.privacy.encryption import FieldCipher
from platform_defs.privacy.identity import NAME_BYTES, mac, message
from platform_defs.privacy.vault import People, Person, Vault

PSEUDONYM, ERASED_AT = "_pseudonym", "_erased_at"
INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Wanted:
    """What is derived of whom.

    Attributes:
        kind: of the ids that name people.
        purpose: of the pseudonyms: those of two purposes do not join.
        values: the reversible fields that are theirs: name, and whether they are whole numbers.
    """

    kind: str
    purpose: str
    values: tuple[tuple[str, bool], ...]

    @classmethod
    def of(cls, person: WireField, values: Sequence[WireField], purpose: str) -> Wanted:
        """For a field that names a person, and those that are theirs."""
        assert person.personal is not None
        return cls(person.personal.kind, purpose, tuple((value.name, value.type.kind == "integer") for value in values))


def derived(vault: Vault, wanted: Wanted, named: Any) -> Any:
    """What is derived, row by row. People seen for the first time get their key on the way.

    Args:
        named: the ids of people, none of them null, and a column of texts for each value, null where there is none; a table or a batch of Arrow's.

    Returns:
        A table: `_pseudonym` BINARY, `_erased_at` TIMESTAMP (what happened before is to be dropped; null: never erased), and the values' ciphertexts,
        BINARY, by their names.
    """
    whose, *texts = (column.to_pylist() for column in named.columns)
    place_of = {who: place for place, who in enumerate(dict.fromkeys(whose))}
    people = vault.people(wanted.kind, place_of)
    names, places = _pseudonyms(people, wanted.purpose), list(map(place_of.__getitem__, whose))
    columns = {
        PSEUDONYM: pa.array([names[place] for place in places], pa.binary()),
        ERASED_AT: pa.array([people.erased_at.get(place) for place in places], INSTANT) if people.erased_at else pa.nulls(len(places), INSTANT),
    }
    for (name, whole), column in zip(wanted.values, texts, strict=True):
        encrypt, read = FieldCipher(name).encrypt, int if whole else str
        sealed = [None if text is None else encrypt(people.keys[place], read(text)) for place, text in zip(places, column, strict=True)]
        columns[name] = pa.array(sealed, pa.binary())
    return pa.table(columns)


def pseudonym(person: Person, purpose: str) -> bytes:
    """Who the person is for one purpose: 16 bytes."""
    return _pseudonyms(People([person.key], {0: person.generation}), purpose)[0]


def _pseudonyms(people: People, purpose: str) -> list[bytes]:
    first, later = _label(purpose, 0), {place: _label(purpose, generation) for place, generation in people.generations.items()}
    return [mac(key, later.get(place, first), NAME_BYTES) for place, key in enumerate(people.keys)]


def _label(purpose: str, generation: int) -> bytes:
    return message("pseudonym", purpose, str(generation))
