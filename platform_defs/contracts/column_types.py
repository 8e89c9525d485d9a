"""Column types as trees: whether a table's column can take up what a changed contract says, without rewriting what is stored. Pure text; no Spark."""

from __future__ import annotations


def takes_up(old: str, new: str) -> bool:
    """Whether a column of type `old` becomes `new` by gaining parts alone: equal, or records in it have more parts than before, in the same order.

    `STRUCT<a: INT>` -> `STRUCT<z: STRING, a: INT>` does, at any depth of lists, maps and records; a wider number does not: the table keeps its type, and
    who passes the column on would be refused.
    """
    if old == new:
        return True
    before, after = _inside(old), _inside(new)
    if before is None or after is None or before[0] != after[0]:
        return False
    if before[0] != "STRUCT":
        parts_before, parts_after = _split(before[1]), _split(after[1])
        return len(parts_before) == len(parts_after) and all(takes_up(one, other) for one, other in zip(parts_before, parts_after, strict=True))
    fields_before, fields_after = _fields(before[1]), _fields(after[1])
    known = dict(fields_before)
    kept = [name for name, _ in fields_after if name in known]
    return kept == [name for name, _ in fields_before] and all(takes_up(known[name], kind) for name, kind in fields_after if name in known)


def returns_otherwise(older: str, last: str, new: str) -> bool:
    """Whether a part of a record that `last` no longer had comes back in `new` as something that the `older` one cannot become: the table has it still."""
    was, kept, comes = _inside(older), _inside(last), _inside(new)
    if was is None or kept is None or comes is None or not was[0] == kept[0] == comes[0]:
        return False
    if was[0] != "STRUCT":
        return any(returns_otherwise(*parts) for parts in zip(_split(was[1]), _split(kept[1]), _split(comes[1]), strict=False))
    had, left = dict(_fields(was[1])), dict(_fields(kept[1]))
    known = [(name, kind) for name, kind in _fields(comes[1]) if name in had]
    return any(returns_otherwise(had[name], left[name], kind) if name in left else not takes_up(had[name], kind) for name, kind in known)


def _inside(text: str) -> tuple[str, str] | None:
    """`ARRAY<INT>` as `("ARRAY", "INT")`; None for a type without parts."""
    head, opened, rest = text.strip().partition("<")
    return (head.strip().upper(), rest[:-1]) if opened and rest.endswith(">") else None


def _fields(text: str) -> list[tuple[str, str]]:
    found = []
    for part in _split(text):
        name, _, kind = part.partition(":")
        found.append((name.strip(), kind.strip()))
    return found


def _split(text: str) -> list[str]:
    """Parts between the commas that are in no bracket: `a: DECIMAL(3,1), b: MAP<STRING, INT>` is two."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "<(") - (letter in ">)")
        if letter == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()] if text.strip() else []
