"""From one declaration and its domain to the canonical contract: defaults filled in, texts parsed, every wrong word named.

Rules between declarations are in `resolving`; finding declarations in files is in `loading`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from difflib import get_close_matches
from typing import Any, get_args

from platform_defs.contracts.codeversion import hash_of, of_fields, of_function
from platform_defs.contracts.contract import AsOfInput, Column, Contract, Input, LatenessPolicy, Tier, WindowInput, WireField
from platform_defs.contracts.durations import DurationError, seconds_of
from platform_defs.contracts.endpoints import SELF, AsOf, EndpointDef, WindowOf
from platform_defs.contracts.errors import ContractError
from platform_defs.contracts.event import Event, Record
from platform_defs.contracts.partitions import Cadence, PartitionKeyError, window_of
from platform_defs.contracts.places import place_of
from platform_defs.contracts.policies import Domain, Lateness, Policy
from platform_defs.contracts.reading import NAME, read_fields
from platform_defs.contracts.sources import SourceDef
from platform_defs.contracts.wire import spark_type

_OWNER = re.compile(r"team:[a-z0-9][a-z0-9_.-]*|[^@\s:]+@[^@\s:]+")
_READER = re.compile(r"(group|team|user):[^\s:]+|[^@\s:]+@[^@\s:]+")
_KEY = re.compile(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*")
_EVENT_KEYWORDS = {field.name for field in dataclass_fields(Policy)} - {"version"} | {"lateness"}


class Compiler:
    """Compiles the declarations of one domain; what is wrong gathers in `problems`, and a wrong declaration gives no contract."""

    def __init__(self, name: str, domain: Domain, place: str) -> None:
        self.name, self.domain = name, domain
        self.problems: list[ContractError] = []
        self.check_domain(place)

    def event(self, cls: type[Event]) -> Contract | None:
        """The contract of an event type."""
        before = len(self.problems)
        keywords = dict(cls.__declared__)
        lateness = keywords.pop("lateness", None)
        for name in sorted(set(keywords) - _EVENT_KEYWORDS):
            near = get_close_matches(name, _EVENT_KEYWORDS, 1)
            self.problem(cls, None, f"{name} is no keyword of an event", f"Write {near[0]}=" if near else f"Known are {', '.join(sorted(_EVENT_KEYWORDS))}")
            keywords.pop(name)
        fields, problems = read_fields(cls)
        self.problems += problems
        common = self.common(cls, snake_case(cls.__name__), Policy(**keywords), "hourly", cls.__dict__.get("__doc__"))
        policy = self.lateness(cls, lateness if lateness is not None else self.domain.lateness)
        if len(self.problems) > before or common is None or policy is None:
            return None
        columns = (
            Column(name="event_id", type="BINARY", description="Identity within the type: a keyed hash of client and id"),
            Column(name="time", type="TIMESTAMP", description="When it happened"),
            Column(name="received_at", type="TIMESTAMP", description="When the platform took it in"),
            *(_column(field) for field in fields),
        )
        return Contract(
            kind="event", cadence="hourly", fields=fields, columns=columns, unique=("event_id",), lateness=policy, code_version=of_fields(fields), **common
        )

    def source(self, definition: SourceDef) -> Contract | None:
        """The contract of a source."""
        before = len(self.problems)
        fn = definition.fn
        if not (isinstance(definition.row, type) and issubclass(definition.row, Record)) or issubclass(definition.row, Event):
            self.problem(fn, "row", "it is no Record", "Write class Row(Record) with the row's fields, and row=Row")
            return None
        fields, problems = read_fields(definition.row)
        self.problems += problems
        names = {field.name for field in fields}
        for key in definition.unique:
            if key not in names and not problems:
                self.problem(fn, "key", f"{key} is no field of {definition.row.__name__}", f"Name some of: {', '.join(sorted(names))}")
        for field in fields:
            if field.name in definition.unique and field.nullable:
                self.problem(fn, "key", f"{field.name} may be null", "Take fields that every row has")
            if field.name in definition.unique and field.personal is not None and field.personal.of is not None:
                self.problem(fn, "key", f"{field.name} is encrypted, and null once its person is erased", "Take a field that stays")
        if not definition.unique:
            self.problem(fn, "key", "a row has no key, so rows that come twice could not be told", 'Write key=["..."]')
        if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
            self.problem(fn, None, "a source's function is a plain one", "Write def instead of async def")
        if len(inspect.signature(fn).parameters) != 1:
            self.problem(fn, None, "a source's function takes the partition's Window and nothing else", f"Write def {fn.__name__}(at: Window)")
        if len(set(definition.secrets)) != len(definition.secrets):
            self.problem(fn, "secrets", "a secret is named twice", "Name each once")
        cadence = self.cadence(fn, definition.partitions)
        recheck = self.seconds(fn, "recheck", definition.recheck)
        policy = self.lateness(fn, definition.lateness or self.domain.lateness)
        common = self.common(fn, fn.__name__, definition.policy, cadence, fn.__doc__)
        if len(self.problems) > before or common is None:
            return None
        columns = tuple(_column(field) for field in fields)
        version = definition.policy.version or self.code(fn, definition.row, columns, definition.unique, ())
        if version is None:
            return None
        if not definition.policy.version:
            version = hash_of(of_fields(fields), version)
        return Contract(
            kind="source",
            cadence=cadence,
            fields=fields,
            columns=columns,
            unique=definition.unique,
            recheck_seconds=recheck,
            secrets=definition.secrets,
            lateness=policy,
            code_version=version,
            **common,
        )

    def endpoint(self, definition: EndpointDef[Any]) -> Contract | None:
        """The contract of an endpoint."""
        from platform_defs.contracts.schema import Schema, read_schema

        before = len(self.problems)
        fn = definition.fn
        if not (isinstance(definition.schema, type) and issubclass(definition.schema, Schema)):
            self.problem(fn, "schema", "it is no Schema", "Write class Rows(Schema) with the dataset's columns, and schema=Rows")
            return None
        columns, unique, problems = read_schema(definition.schema)
        self.problems += problems
        cadence = self.cadence(fn, definition.partitions)
        if not inspect.isfunction(fn) or inspect.iscoroutinefunction(fn) or inspect.isgeneratorfunction(fn):
            self.problem(fn, None, "an endpoint's function returns one frame", "Write a plain def with a return")
        inputs = self.inputs(definition, cadence)
        corrections = self.seconds(fn, "corrections", definition.corrections)
        common = self.common(fn, fn.__name__, definition.policy, cadence, fn.__doc__)
        if corrections is None and (long := [one.param for one in inputs if isinstance(one, WindowInput) and hours_read(one, cadence) > 24]):
            why = f"the window of {', '.join(long)} is longer than a day, so one correction would rebuild many partitions"
            self.problem(fn, "corrections", why, 'Say how long corrections are followed by themselves: corrections="3d"')
        if len(self.problems) > before or common is None:
            return None
        version = definition.policy.version or self.code(fn, definition.schema, columns, unique, inputs)
        if version is None:
            return None
        return Contract(
            kind="endpoint",
            cadence=cadence,
            columns=columns,
            unique=unique,
            inputs=inputs,
            corrections_seconds=corrections,
            ranged=definition.ranged,
            schema_description=inspect.cleandoc(definition.schema.__dict__.get("__doc__") or ""),
            code_version=version,
            **common,
        )

    def inputs(self, definition: EndpointDef[Any], cadence: Cadence) -> tuple[Input, ...]:
        """The inputs in the order of the function's parameters."""
        fn = definition.fn
        parameters = inspect.signature(fn).parameters
        for name, parameter in parameters.items():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) or parameter.default is not parameter.empty:
                self.problem(fn, name, "every parameter is an input, by name and without a default", "Remove *, ** and defaults")
        if not isinstance(definition.inputs, Mapping):
            self.problem(fn, "inputs", "it does not say which parameter is which", 'Write inputs={"parameter": "domain/name"}')
            return ()
        for name in definition.inputs:
            if name not in parameters:
                near = get_close_matches(name, parameters, 1)
                write = f"Write {near[0]!r}" if near else f"Its parameters are {', '.join(parameters) or 'none'}; add {name}, or remove the input"
                self.problem(fn, f"inputs[{name!r}]", "the function has no parameter of that name", write)
        if not parameters:
            self.problem(fn, None, "it has no input", "Give it a parameter for each dataset it reads; data from outside comes through @source")
        found = [self.input(definition, name, definition.inputs.get(name, name), cadence) for name in parameters]
        return tuple(one for one in found if one is not None)

    def input(self, definition: EndpointDef[Any], param: str, spec: Any, cadence: Cadence) -> Input | None:
        fn, where = definition.fn, f"inputs[{param!r}]"
        if not isinstance(spec, str | WindowOf | AsOf) or not isinstance(target := spec if isinstance(spec, str) else spec.endpoint, str):
            self.problem(fn, where, "it is no input", "Write 'domain/name', window('domain/name', hours=(0, 1)) or as_of('domain/name', within='3d')")
            return None
        own = f"{self.name}/{fn.__name__}"
        key = own if target == SELF else target if "/" in target else f"{self.name}/{target}"
        if not _KEY.fullmatch(key):
            self.problem(fn, where, f"{target!r} is no endpoint's key", "Write domain/name in lower case, or the name alone for one of this domain")
            return None
        if isinstance(spec, AsOf) and key == own:
            self.problem(fn, where, "its newest snapshot is the partition it is building", "Read earlier partitions: window('self', days=(-1, -1))")
            return None
        if isinstance(spec, AsOf):
            within = self.seconds(fn, where, spec.within)
            return None if within is None else AsOfInput(param=param, endpoint=key, within_seconds=within)
        plain = WindowOf(key, hours=(0, 0)) if cadence == "hourly" else WindowOf(key, days=(0, 0))
        offsets = self.offsets(fn, where, plain if isinstance(spec, str) else spec)
        if offsets is None:
            return None
        unit, first, last = offsets
        if key == own and last >= 0:
            write = f"Read earlier partitions only: window('self', {unit}=(-1, -1))"
            self.problem(fn, where, "it reads the partition it is building", write)
            return None
        return WindowInput(param=param, endpoint=key, unit=unit, first=first, last=last)

    def offsets(self, fn: Any, where: str, spec: WindowOf) -> tuple[Any, int, int] | None:
        """Unit, first and last of a window, or None with the problem noted."""
        pairs = [(unit, pair) for unit, pair in (("hours", spec.hours), ("days", spec.days)) if pair is not None]
        if len(pairs) != 1:
            self.problem(fn, where, "a window is of hours or of days", "Write hours=(first, last) or days=(first, last)")
            return None
        unit, pair = pairs[0]
        if not isinstance(pair, tuple) or len(pair) != 2 or not all(type(end) is int for end in pair):
            self.problem(fn, where, f"{unit}={pair!r} is no pair of whole numbers", f"Write {unit}=(first, last), ends included")
            return None
        if pair[0] > pair[1]:
            self.problem(fn, where, f"{unit}={pair!r} ends before it begins", f"Write {unit}=({pair[1]}, {pair[0]})")
            return None
        return unit, *pair

    def code(self, fn: Any, cls: type, columns: tuple[Column, ...], unique: tuple[str, ...], inputs: tuple[Input, ...]) -> str | None:
        """The code version of a function and its schema or row, or None with the problem noted."""
        try:
            return of_function(fn, [cls], columns, unique, inputs)
        except OSError:
            why = "it is not written at the top of its file, so a change of its code could not be seen"
            self.problem(fn, None, why, f'Write def {fn.__name__}(...) there, or say version="1" and count it up with each change')
            return None

    def common(self, declared: Any, name: str, policy: Policy, cadence: Cadence, doc: str | None) -> dict[str, Any] | None:
        """The part of a contract that every kind has, the domain's defaults filled in."""
        before = len(self.problems)
        if not NAME.fullmatch(name):
            self.problem(declared, None, f"{name!r} cannot be an endpoint's name", "Use lower case letters, digits and _, beginning with a letter")
        description = inspect.cleandoc(doc or "")
        if not description:
            self.problem(declared, None, "it has no description", "Write a docstring that says what it is")
        owner = self.owner(declared, policy.owner or self.domain.owner)
        purpose = self.purpose(declared, policy.purpose or self.domain.purpose)
        tier = self.tier(declared, policy.tier or self.domain.tier)
        start = self.start(declared, policy.start or self.domain.start, cadence)
        retention = self.seconds(declared, "retention", policy.retention or self.domain.retention)
        if not (policy.retention or self.domain.retention):
            self.problem(declared, "retention", "nobody says how long it is kept", 'Write retention="400d" here or in domain.py')
        readers = self.readers(declared, policy.readers if policy.readers is not None else self.domain.readers)
        ready = self.seconds(declared, "ready_within", policy.ready_within)
        if policy.on_erase not in (None, "keep", "rebuild"):
            self.problem(declared, "on_erase", f"{policy.on_erase!r} is none of the two", 'Write "keep" or "rebuild"')
        if len(self.problems) > before:
            return None
        return {
            "key": f"{self.name}/{name}",
            "description": description,
            "owner": owner,
            "purpose": purpose,
            "tier": tier,
            "start": start,
            "retention_seconds": retention,
            "readers": readers,
            "ready_within_seconds": ready,
            "shared": policy.shared,
            "on_erase": policy.on_erase,
        }

    def check_domain(self, place: str) -> None:
        """The domain's own words, so that a wrong one is named once and there, not in every declaration."""
        before = len(self.problems)
        domain = self.domain
        if not NAME.fullmatch(self.name):
            self.problem(place, None, f"{self.name!r} cannot be a domain's name", "Name the folder with lower case letters, digits and _")
        if domain.owner is not None:
            self.owner(place, domain.owner)
        if domain.purpose is not None:
            self.purpose(place, domain.purpose)
        self.tier(place, domain.tier)
        if domain.start is not None:
            self.start(place, domain.start, "daily")
        self.seconds(place, "retention", domain.retention)
        self.readers(place, domain.readers)
        self.lateness(place, domain.lateness)
        self.sound = len(self.problems) == before

    def owner(self, declared: Any, owner: str | None) -> str | None:
        if owner is None:
            self.problem(declared, "owner", "nobody answers for it", 'Write owner="team:..." here or in domain.py')
        elif not isinstance(owner, str) or not _OWNER.fullmatch(owner):
            self.problem(declared, "owner", f"{owner!r} is no owner", 'Write "team:name" or an e-mail address')
        return owner

    def purpose(self, declared: Any, purpose: str | None) -> str | None:
        if purpose is None:
            self.problem(declared, "purpose", "its purpose is not said", 'Write purpose="product" (what its data is used for) here or in domain.py')
        elif not isinstance(purpose, str) or not NAME.fullmatch(purpose):
            self.problem(declared, "purpose", f"{purpose!r} is no purpose", 'Write one lower case word, as in "product"')
        return purpose

    def tier(self, declared: Any, tier: Any) -> Any:
        if tier not in get_args(Tier):
            self.problem(declared, "tier", f"{tier!r} is no tier", f"Write one of {', '.join(get_args(Tier))}")
        return tier

    def start(self, declared: Any, start: str | None, cadence: Cadence) -> str | None:
        if start is None:
            if self.domain.start is None:
                self.problem(declared, "start", "its first day is not said", 'Write start="2026-01-01" here or in domain.py')
            return None
        try:
            first = window_of(start).start
        except (PartitionKeyError, TypeError):
            self.problem(declared, "start", f"{start!r} is no day", 'Write start="2026-01-01" (UTC), or an hour as in "2026-01-01T06"')
            return None
        if cadence == "daily" and first.hour:
            self.problem(declared, "start", f"{start} is an hour, and days are whole", f'Write start="{start[:10]}"')
            return None
        if not isinstance(declared, str) and self.domain.start is not None and first < window_of(self.domain.start).start:
            self.problem(
                declared, "start", f"{start} is before its domain's start, {self.domain.start}", "Begin later, or move the domain's start in domain.py"
            )
            return None
        return start

    def readers(self, declared: Any, readers: Any) -> tuple[str, ...]:
        if isinstance(readers, str) or not all(isinstance(reader, str) and _READER.fullmatch(reader) for reader in readers):
            self.problem(declared, "readers", "it is no list of readers", 'Write readers=["group:analysts"], of group:, team:, user: and e-mail addresses')
            return ()
        return tuple(readers)

    def cadence(self, declared: Any, cadence: Any) -> Cadence:
        if cadence not in get_args(Cadence):
            self.problem(declared, "partitions", f"{cadence!r} is no cadence", 'Write partitions="hourly" or "daily"')
            return "daily"
        return cadence  # type: ignore[no-any-return]

    def seconds(self, declared: Any, word: str, text: str | None) -> int | None:
        """Seconds of a duration, or None if it is not given or wrong."""
        try:
            return None if text is None else seconds_of(text)
        except DurationError as error:
            self.problem(declared, word, "it is no length of time", str(error).partition(": ")[2].capitalize())
            return None

    def lateness(self, declared: Any, lateness: Any) -> LatenessPolicy | None:
        if not isinstance(lateness, Lateness):
            self.problem(declared, "lateness", "it is no Lateness", 'Write lateness=Lateness(settle=["1h", "24h"])')
            return None
        before = len(self.problems)
        settle = [self.seconds(declared, "lateness.settle", age) for age in lateness.settle]
        landing = self.seconds(declared, "lateness.landing", lateness.landing)
        hold = None if lateness.hold == "forever" else self.seconds(declared, "lateness.hold", lateness.hold)
        ages = [age for age in settle if age is not None]
        if not ages or isinstance(lateness.settle, str) or ages != sorted(set(ages)):
            self.problem(declared, "lateness.settle", "it is no growing list of ages", 'Write settle=["1h", "6h", "24h"]')
        if isinstance(lateness.share, bool) or not isinstance(lateness.share, int | float) or not 0 <= lateness.share <= 1:
            self.problem(declared, "lateness.share", "it is no fraction", "Write e.g. share=0.01, between 0 and 1")
        if len(self.problems) > before or landing is None:
            return None
        return LatenessPolicy(settle_seconds=tuple(ages), hold_seconds=hold, share=float(lateness.share), landing_seconds=landing)

    def problem(self, declared: Any, word: str | None, why: str, write: str) -> None:
        """Notes what is wrong; `declared` is a class, a function, or a place in words."""
        where = f"{declared}{f'.{word}' if word else ''}" if isinstance(declared, str) else place_of(declared, word)
        self.problems.append(ContractError(where, why, write))


def hours_read(one: WindowInput, reader: Cadence) -> int:
    """How many hours of event time one partition of a reader of that cadence reads through a window."""
    own = 24 if reader == "daily" else 1
    width = one.last - one.first
    return width + own if one.unit == "hours" else (width + 1) * 24


def snake_case(name: str) -> str:
    """`TrackPlayed` -> `track_played`, `HTTPError` -> `http_error`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _column(field: WireField) -> Column:
    """A wire field's column: a person's id holds a pseudonym, other personal values are encrypted, and null once the key is gone."""
    if field.personal is None:
        return Column(name=field.name, type=spark_type(field.type), nullable=field.nullable, description=field.description)
    if field.personal.of is None:
        return Column(name=field.name, type="BINARY", nullable=field.nullable, description=field.description, mark="person")
    return Column(name=field.name, type="BINARY", nullable=True, description=field.description, mark="personal")
