"""What a person means by a selection: keys of endpoints, domains, and the simple words of Dagster's asset selection. Pure; partitions are not chosen here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from platform_defs.contracts.contract import Contract

_FORMS = 'write keys (charts/skip_rate), domains (charts), patterns ("charts/*"), each with + behind it for its readers too'


class Refused(ValueError):
    """What was asked for cannot be done as it was said; the message names every reason and what to say instead."""


@dataclass(frozen=True)
class Selection:
    """The endpoints somebody chose.

    Attributes:
        endpoints: keys, sorted. named: those said by their own key: nothing of theirs is left out in silence.
        followed: those whose readers are wanted too.
    """

    endpoints: tuple[str, ...]
    named: frozenset[str]
    followed: frozenset[str]


def select(words: Iterable[str], contracts: Mapping[str, Contract]) -> Selection:
    """The endpoints that some words choose of the registry.

    Args:
        words: each a key, a domain, a pattern with `*`, or several of them with commas; `key:"..."` as Dagster writes it; `+` behind adds its readers.

    Raises:
        Refused: for words that choose nothing, with the nearest names, and for words of Dagster's language beyond these.
    """
    domains = {contract.domain for contract in contracts.values()}
    chosen: set[str] = set()
    named: set[str] = set()
    followed: set[str] = set()
    problems: list[str] = []
    for word in [part.strip() for each in words for part in each.split(",") if part.strip()]:
        bare = word.rstrip("+").removeprefix("key:").strip("\"'")
        if not bare or bare[0] == "+" or any(letter in bare for letter in ' ():"'):
            problems.append(f"{word!r} is not understood: {_FORMS}")
            continue
        found = _matching(bare, contracts, domains)
        if not found:
            problems.append(_unknown(bare, contracts, domains))
            continue
        chosen |= found
        named |= found & {bare}
        if word.endswith("+"):
            followed |= found
    if problems:
        raise Refused("\n".join(problems))
    if not chosen:
        raise Refused(f"nothing is chosen: {_FORMS}")
    return Selection(tuple(sorted(chosen)), frozenset(named), frozenset(followed))


def nearest(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Names that somebody who wrote `name` may have meant, the likeliest first."""
    every = sorted(known)
    ends = [each for each in every if each.rpartition("/")[2] == name.rpartition("/")[2]]
    return list(dict.fromkeys([*ends, *get_close_matches(name, every, most)]))[:most]


def _matching(word: str, contracts: Mapping[str, Contract], domains: set[str]) -> set[str]:
    if "*" in word:
        return {key for key in contracts if fnmatchcase(key, word)}
    if word in contracts:
        return {word}
    return {key for key, contract in contracts.items() if contract.domain == word} if word in domains else set()


def _unknown(word: str, contracts: Mapping[str, Contract], domains: set[str]) -> str:
    near: Sequence[str] = nearest(word, [*contracts, *domains])
    hint = f"did you mean {' or '.join(near)}?" if near else "./backline status lists what there is"
    return f"there is no {'dataset or domain' if '/' not in word else 'dataset'} {word}: {hint}"
