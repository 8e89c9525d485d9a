"""`@source`, and what its function may use: raw files, not-ready, secrets. How files become rows and segments is execution's matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from platform_defs.contracts.contract import Tier
from platform_defs.contracts.durations import seconds_of
from platform_defs.contracts.endpoints import domain_of
from platform_defs.contracts.event import Record
from platform_defs.contracts.partitions import Cadence, Window
from platform_defs.contracts.policies import Lateness, Policy


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int = ..., /) -> bytes:
        """At most `size` bytes; b"" at the end."""


@dataclass(frozen=True, slots=True)
class RawFile:
    """One file of a partition.

    Attributes:
        name: tells it from the partition's other files; ending in `.gz` it is unpacked.
        version: changes when the content does (an ETag, a hash): the same one is not read again.
        format: `csv` with a header line, `jsonl` (a JSON object a line), `parquet`.
        read: opens the bytes; called at most once a build.
    """

    name: str
    version: str
    format: Literal["csv", "jsonl", "parquet"]
    read: Callable[[], Readable]


class NotReady(Exception):
    """Raised by a source whose data is not there yet: the partition waits, nothing has failed.

    Attributes:
        why: said in `status`. retry_seconds: when to look again.
    """

    def __init__(self, why: str, retry: str = "10m") -> None:
        self.why, self.retry_seconds = why, seconds_of(retry)
        super().__init__(why)


class SecretMissing(NotReady):
    """A declared secret that nobody has set yet: the source waits until somebody does."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"secret {name!r} is not set: add {{{name!r}: {{...}}}} to secrets.json in the platform's home (BACKLINE_HOME, default ./.backline; mode 0600)",
            retry="10m",
        )


class SecretNotDeclared(Exception):
    """A source asked for a secret that its declaration does not name."""


class Secret(Mapping[str, Any]):
    """A secret's parts by name, to be handed on as `**current_secret("vendor_s3")`; shown as `***` everywhere."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._parts = dict(parts)

    def __getitem__(self, key: str) -> Any:
        return self._parts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not written anywhere: name it in secrets=[...] and ask for it where it is used")


SecretResolver = Callable[[str], Mapping[str, Any] | None]
_secrets: ContextVar[tuple[SecretResolver, frozenset[str]] | None] = ContextVar("backline_secrets", default=None)


@contextmanager
def secrets_of(resolver: SecretResolver, names: Iterable[str]) -> Iterator[None]:
    """Inside, `current_secret` answers for the given names, from the resolver (None: not set). The platform opens it around a source's function."""
    token = _secrets.set((resolver, frozenset(names)))
    try:
        yield
    finally:
        _secrets.reset(token)


def current_secret(name: str) -> Secret:
    """The secret of that name, inside a running source that declares it.

    Raises:
        SecretMissing: nobody has set it; the partition waits.
        SecretNotDeclared: `secrets=[...]` of the running source does not name it, or no source is running.
    """
    context = _secrets.get()
    if context is None:
        raise SecretNotDeclared(f"secret {name!r} was asked for outside a running source: call current_secret inside the function of @source")
    resolver, names = context
    if name not in names:
        raise SecretNotDeclared(f"secret {name!r} is not declared: write @source(..., secrets=[{', '.join(repr(n) for n in sorted({*names, name}))}])")
    parts = resolver(name)
    if parts is None:
        raise SecretMissing(name)
    return Secret(parts)


Pulled = Iterable[RawFile] | Iterable[Mapping[str, Any]] | Iterable[Record] | Iterable[RawFile | Mapping[str, Any] | Record]


@dataclass(frozen=True, kw_only=True)
class SourceDef:
    """A source as declared. Calling it calls the author's function."""

    fn: Callable[[Window], Pulled]
    row: type[Record]
    partitions: Cadence
    unique: tuple[str, ...]
    recheck: str | None = None
    secrets: tuple[str, ...] = ()
    lateness: Lateness | None = None
    policy: Policy = field(default_factory=Policy)

    def __call__(self, at: Window) -> Pulled:
        """The author's function itself."""
        return self.fn(at)

    @property
    def key(self) -> str:
        """`domain/name`, from the module and the function's name."""
        return f"{domain_of(self.fn.__module__)}/{self.fn.__name__}"


def source(
    *,
    row: type[Record],
    partitions: Cadence,
    key: Sequence[str],
    ready_within: str | None = None,
    recheck: str | None = None,
    secrets: Sequence[str] = (),
    lateness: Lateness | None = None,
    version: str | None = None,
    start: str | None = None,
    retention: str | None = None,
    owner: str | None = None,
    purpose: str | None = None,
    tier: Tier | None = None,
    readers: Sequence[str] | None = None,
    shared: bool = False,
) -> Callable[[Callable[[Window], Pulled]], SourceDef]:
    """Declares the function below as a source: for a partition it yields files, or rows as dicts or Records, or raises NotReady.

    Args:
        row: the Record every row must be.
        partitions: `hourly` or `daily`.
        key: the fields that are a row's key within a partition.
        ready_within: how long after the partition's end it should be there.
        recheck: how long after the first pull the source is asked again whether it changed.
        secrets: names that `current_secret` may be asked for.
        lateness: of it only `landing` counts: how long what was pulled is kept raw.
        version, start, retention, owner, purpose, tier, readers, shared: as in `endpoint`.
    """
    policy = Policy(
        owner=owner,
        purpose=purpose,
        tier=tier,
        start=start,
        retention=retention,
        readers=readers,
        shared=shared,
        version=version,
        ready_within=ready_within,
    )

    def declare(fn: Callable[[Window], Pulled]) -> SourceDef:
        unique = (key,) if isinstance(key, str) else tuple(key)
        names = (secrets,) if isinstance(secrets, str) else tuple(secrets)
        return SourceDef(fn=fn, row=row, partitions=partitions, unique=unique, recheck=recheck, secrets=names, lateness=lateness, policy=policy)

    return declare
