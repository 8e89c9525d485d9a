"""One line of a file of old events as the CloudEvent that stands for it. Pure: bytes in, bytes out; whether the event is good is validation's to say.

A line is a CloudEvent (it has `specversion`), or `{"id", "time", "data": {fields}}`, or `{"id", "time", fields...}`; each may name its client. What becomes
of `data` is spliced from the line's own text, so that no number changes its spelling on the way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass

_DECODER = json.JSONDecoder(parse_int=float)  # only where values end is looked at: an integer of 5000 digits is validation's to refuse
_SPACE = re.compile(r"[ \t\r\n]*")
_ENVELOPE = ("id", "time", "type", "client", "received_at")


@dataclass(frozen=True, slots=True)
class OldLine:
    """A line taken apart.

    Attributes:
        number: from 1. raw: as it stands in the file, without its line feed; None for one that is longer than any event may be.
        size: bytes of it. event: the CloudEvent; None if the line is no JSON object.
        client: whose event it says it is. type: its event type if it says one; both None where the line has none, or no text.
    """

    number: int
    raw: bytes | None
    size: int
    event: bytes | None
    client: str | None = None
    type: str | None = None


def old_line(number: int, raw: bytes, event_type: str, fields: Collection[str]) -> OldLine:
    """Takes one line apart.

    Args:
        event_type: of an event that does not say its type.
        fields: names of the type's fields: a plain line's `client`, say, is data where the type has such a field.
    """
    try:
        members = _members(raw.decode())
    except RecursionError:
        return OldLine(number, raw, len(raw), raw)  # validation says how deep is too deep
    except ValueError:  # no UTF-8 is one too
        members = None
    if members is None:
        return OldLine(number, raw, len(raw), None)
    if "specversion" in members:
        return OldLine(number, raw, len(raw), raw, _text(members, "client"), _text(members, "type"))
    if members.get("data", "").startswith("{") and members.keys() <= {*_ENVELOPE, "data"}:
        envelope, data = members, members["data"]
    else:
        own = [name for name in _ENVELOPE if name not in fields]
        envelope = {name: members[name] for name in own if name in members}
        data = "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in members.items() if name not in envelope) + "}"
    said = _text(envelope, "type")
    parts = ['"specversion":"1.0"', f'"type":{json.dumps(event_type if said is None else said)}']
    parts += [f'"{name}":{envelope[name]}' for name in ("id", "time") if name in envelope]
    event = "{" + ",".join([*parts, f'"data":{data}']) + "}"
    return OldLine(number, raw, len(raw), event.encode(), _text(envelope, "client"), said)


def _members(text: str) -> dict[str, str] | None:
    """The members of a JSON object as they are written, the last of a name; None if the text is no object. Raises ValueError where it is no JSON."""
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        return None
    members: dict[str, str] = {}
    at = _skip(text, at + 1)
    while not (text[at : at + 1] == "}" and not members):
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if not isinstance(name, str) or text[at : at + 1] != ":":
            return None
        begin = _skip(text, at + 1)
        _, end = _DECODER.raw_decode(text, begin)
        members[name] = text[begin:end]
        at = _skip(text, end)
        if text[at : at + 1] == "}":
            break
        if text[at : at + 1] != ",":
            return None
        at = _skip(text, at + 1)
    return members if _skip(text, at + 1) == len(text) else None


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _text(members: dict[str, str], name: str) -> str | None:
    """The text that a member is; None if there is none, or it is something else."""
    value = json.loads(members[name], parse_int=float) if name in members else None
    return value if isinstance(value, str) else None
