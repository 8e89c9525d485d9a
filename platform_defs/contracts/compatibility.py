"""What changed between two contracts of one key, and which changes readers, clients or stored data cannot go on with. Pure; who may force what is not here.

Some changes break no program but a promise: data is kept for a shorter time, or more people may read it. They need a person's decision as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Literal

from platform_defs.contracts.column_types import returns_otherwise, takes_up
from platform_defs.contracts.contract import Canonical, Column, Contract, WireField, WireType
from platform_defs.contracts.durations import words
from platform_defs.contracts.partitions import window_of

ChangeKind = Literal["identity", "field", "column", "input", "policy", "code", "text"]


class Change(Canonical):
    """One change.

    Attributes:
        kind: what part: identity (kind, cadence, key, start), field (what clients send), column (what readers see), input, policy, code, text.
        path: the part's name: `fields.ms_played.le`, `retention`.
        breaking: readers, clients or stored data cannot go on as they are.
        words: what it means, for the reviewer.
    """

    kind: ChangeKind
    path: str
    breaking: bool
    words: str


def compare(old: Contract, new: Contract) -> list[Change]:
    """All changes from `old` to `new` in a fixed order; empty if they are equal. Raises ValueError if their keys differ."""
    if old.key != new.key:
        raise ValueError(f"{old.key} and {new.key} are two endpoints: compare contracts of one key")
    return [*_identity(old, new), *_fields(old.fields, new.fields, "fields"), *_columns(old, new), *_inputs(old, new), *_policies(old, new), *_code(old, new)]


def changes_of(old: Contract | None, new: Contract | None, earlier: Sequence[Contract] = ()) -> list[Change]:
    """What becomes of one key: declared, changed or no longer declared. Empty if nothing changes.

    Args:
        old: the contract in force, None if there is none. new: the one that would be, None if it is no longer declared.
        earlier: contracts the key had before `old`, newest first. What they hold is in the table still: a name that comes back must come back as it was.
    """
    if new is None:
        return [] if old is None else [Change(kind="identity", path="key", breaking=True, words="it is no longer declared; its tables stay")]
    if old is None and not earlier:
        return [Change(kind="identity", path="key", breaking=False, words="declared for the first time")]
    changes = compare(old, new) if old is not None else [Change(kind="identity", path="key", breaking=False, words="declared again")]
    last, *older = [old, *earlier] if old is not None else earlier
    if old is None:
        changes += _declared_again(last, new)
    back = list(_returned(last, new, older))
    return [*(change for change in changes if change.path not in {one.path for one in back}), *back]


def breaking(changes: list[Change]) -> list[Change]:
    """Those that need another name or a person's decision."""
    return [change for change in changes if change.breaking]


def _declared_again(last: Contract, new: Contract) -> Iterator[Change]:
    """What its stored rows cannot follow. Nobody sends or reads what was removed: fields and columns that are gone break nothing now."""
    names = {column.name for column in new.columns}
    for change in breaking(compare(last, new)):
        if change.kind != "field" and (change.kind != "column" or change.path.removeprefix("columns.") in names):
            yield change


def _returned(last: Contract, new: Contract, older: Sequence[Contract]) -> Iterator[Change]:
    """Columns, and parts of their records, that were once removed and come back as something else: the table has them still, as they were."""
    here = {column.name: column for column in last.columns}
    for column in new.columns:
        known = [each for version in older for each in version.columns if each.name == column.name]
        if column.name in here:
            known = [each for each in known if returns_otherwise(each.type, here[column.name].type, column.type)]
        for change in _column_changes(known[0], column) if known else ():
            if change.breaking:
                yield change.model_copy(update={"words": f"comes back as something else than the table holds: {change.words}"})


def _identity(old: Contract, new: Contract) -> Iterator[Change]:
    if old.kind != new.kind:
        yield Change(kind="identity", path="kind", breaking=True, words=f"was {_a(old.kind)}, is {_a(new.kind)}: give it another name")
    if old.cadence != new.cadence:
        yield Change(kind="identity", path="cadence", breaking=True, words=f"was {old.cadence}, is {new.cadence}: give it another name")
    if old.unique != new.unique:
        told = f"a row was told by {', '.join(old.unique) or 'nothing'}, is told by {', '.join(new.unique) or 'nothing'}"
        yield Change(kind="identity", path="unique", breaking=True, words=told)
    if old.start != new.start:
        later = window_of(new.start).start > window_of(old.start).start
        words_ = f"starts {new.start}, no longer {old.start}: " + ("earlier partitions are hidden" if later else "earlier partitions come into being")
        yield Change(kind="identity", path="start", breaking=later, words=words_)


def _fields(old: tuple[WireField, ...], new: tuple[WireField, ...], path: str) -> Iterator[Change]:
    before, after = {field.name: field for field in old}, {field.name: field for field in new}
    for name in before:
        if name not in after:
            yield _field(f"{path}.{name}", True, "removed: who still sends it is refused")
    for name, field in after.items():
        was = before.get(name)
        at = f"{path}.{name}"
        if was is None:
            needed = field.required
            yield _field(at, needed, "added and required: who does not send it yet is refused; give it a default" if needed else "added, may be left out")
            continue
        if was.required != field.required:
            yield _field(at, field.required, "must be sent now" if field.required else "may be left out now")
        if was.nullable != field.nullable:
            yield _field(at, was.nullable, "may not be null any more: what is in landing may be" if was.nullable else "may be null now")
        if was.personal != field.personal:
            yield _field(at, True, "its personal mark changed: stored rows are not what the new mark says")
        if not was.required and not field.required and was.default != field.default:
            yield _field(at, False, "has another default")
        if was.type != field.type:
            yield from _type(was.type, field.type, at)
        if was.description != field.description:
            yield Change(kind="text", path=f"{at}.description", breaking=False, words="described otherwise")
    if [name for name in before if name in after] != [name for name in after if name in before]:
        yield _field(f"{path}.order", False, "fields stand in another order; they are told by name")


def _type(old: WireType, new: WireType, path: str) -> Iterator[Change]:
    if old.kind != new.kind:
        yield _field(path, True, f"was {_a(old.kind)}, is {_a(new.kind)}")
        return
    for limit, sign in (("ge", 1), ("gt", 1), ("le", -1), ("lt", -1), ("min_length", 1), ("max_length", -1)):
        before, after = getattr(old, limit), getattr(new, limit)
        if before != after:
            tighter = after is not None and (before is None or (Decimal(after) - Decimal(before)) * sign > 0)
            yield _field(f"{path}.{limit}", tighter, f"was {_or_none(before)}, is {_or_none(after)}" + (": what was good may be refused" if tighter else ""))
    if old.pattern != new.pattern:
        tighter = new.pattern is not None
        yield _field(f"{path}.pattern", tighter, "another pattern: what was good may be refused" if tighter else "its pattern is gone")
    if old.choices != new.choices:
        gone = [choice for choice in old.choices or () if choice not in (new.choices or ())]
        tighter = new.choices is not None and (old.choices is None or bool(gone))
        added = [choice for choice in new.choices or () if choice not in (old.choices or ())]
        parts = [f"no longer {', '.join(gone)}"] * bool(gone) + [f"also {', '.join(added)}"] * bool(added)
        yield _field(f"{path}.choices", tighter, "; ".join(parts) or "other choices, or another order of them")
    if (old.digits, old.places) != (new.digits, new.places):
        yield _field(path, True, f"was a decimal({old.digits},{old.places}), is a decimal({new.digits},{new.places}): its column's type changes")
    if old.item is not None and new.item is not None and old.item != new.item:
        yield from _type(old.item, new.item, f"{path}[]")
    if old.fields is not None and new.fields is not None:
        yield from _fields(old.fields, new.fields, path)


def _columns(old: Contract, new: Contract) -> Iterator[Change]:
    before, after = {column.name: column for column in old.columns}, {column.name: column for column in new.columns}
    for name in before:
        if name not in after:
            yield _column(name, True, "removed: who reads it fails")
    for name, column in after.items():
        was = before.get(name)
        if was is None:
            yield _column(name, False, "added: null in partitions built before")
            continue
        yield from _column_changes(was, column)
    shared = [name for name in before if name in after]
    if shared != [name for name in after if name in before]:
        yield _column("order", False, "columns stand in another order in what is declared; the table keeps its own")


def _column_changes(old: Column, new: Column) -> Iterator[Change]:
    if old.type != new.type:
        grown = takes_up(old.type, new.type)
        told = "; new parts are null in partitions built before" if grown else ": a table keeps its types, and who passes it on is refused; use a new name"
        yield _column(new.name, not grown, f"was {old.type}, is {new.type}{told}")
    if old.mark != new.mark:
        worse = old.mark is not None or new.mark != "people"
        yield _column(new.name, worse, f"was marked {_or_none(old.mark)}, is marked {_or_none(new.mark)}: stored rows are not what the new mark says")
    if old.nullable != new.nullable:
        yield _column(new.name, False, "may be null now" if new.nullable else "may not be null in partitions built from now on")
    if old.checks != new.checks or old.on_fail != new.on_fail:
        yield _column(new.name, False, "is checked otherwise from now on")
    if old.description != new.description:
        yield Change(kind="text", path=f"columns.{new.name}.description", breaking=False, words="described otherwise")


def _inputs(old: Contract, new: Contract) -> Iterator[Change]:
    before, after = {one.param: one for one in old.inputs}, {one.param: one for one in new.inputs}
    for param in sorted(before.keys() | after.keys()):
        if before.get(param) != after.get(param):
            state = "added" if param not in before else "removed" if param not in after else "reads otherwise"
            endpoint = (after.get(param) or before[param]).endpoint
            yield Change(kind="input", path=f"inputs.{param}", breaking=False, words=f"{state} ({endpoint})")


def _policies(old: Contract, new: Contract) -> Iterator[Change]:
    traces = any(column.mark in ("person", "personal") for column in old.columns)
    if old.purpose != new.purpose:
        told = f"was for {old.purpose}, is for {new.purpose}" + (": the pseudonyms of old and new partitions do not join" if traces else "")
        yield Change(kind="policy", path="purpose", breaking=traces, words=told)
    for name in ("retention", "ready_within", "corrections", "recheck"):
        before, after = getattr(old, f"{name}_seconds"), getattr(new, f"{name}_seconds")
        if before != after:
            told = f"was {words(before) if before else 'not set'}, is {words(after) if after else 'not set'}"
            shorter = name == "retention" and after < before
            yield Change(kind="policy", path=name, breaking=shorter, words=told + (": older partitions are deleted" if shorter else ""))
    yield from _access(old, new)
    for name in ("tier", "secrets", "ranged", "on_erase"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            stays = name == "on_erase" and before == "rebuild"
            told = f"was {_said(before)}, is {_said(after)}" + (": erased persons stay in what was built" if stays else "")
            yield Change(kind="policy", path=name, breaking=stays, words=told)
    if old.lateness != new.lateness:
        yield Change(kind="policy", path="lateness", breaking=False, words="late rows are taken in otherwise")


def _access(old: Contract, new: Contract) -> Iterator[Change]:
    """Who may read: the owner and the readers. Whoever is let in was not there when the data was given."""
    had = {old.owner, *old.readers}
    for name in ("owner", "readers"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            let_in = [one for one in ((after,) if isinstance(after, str) else after) if one not in had]
            told = f"was {_said(before)}, is {_said(after)}" + (f": access is widened, {', '.join(let_in)} may read now" if let_in else "")
            yield Change(kind="policy", path=name, breaking=bool(let_in), words=told)
    if old.shared != new.shared:
        told = "access is widened: who reads what is made of it needs no right to it" if new.shared else "who reads what is made of it needs a right to it now"
        yield Change(kind="policy", path="shared", breaking=new.shared, words=told)


def _code(old: Contract, new: Contract) -> Iterator[Change]:
    if old.code_version != new.code_version:
        yield Change(kind="code", path="code_version", breaking=False, words="other code: partitions built before are outdated")
    for name in ("description", "schema_description"):
        if getattr(old, name) != getattr(new, name):
            yield Change(kind="text", path=name, breaking=False, words="described otherwise")


def _field(path: str, breaks: bool, told: str) -> Change:
    return Change(kind="field", path=path, breaking=breaks, words=told)


def _column(name: str, breaks: bool, told: str) -> Change:
    return Change(kind="column", path=f"columns.{name}", breaking=breaks, words=told)


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _or_none(value: Any) -> str:
    return "not set" if value is None else str(value)


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "nobody"
    return _or_none(value)
