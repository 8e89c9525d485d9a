"""`@endpoint`, `window` and `as_of`: how authors declare a dataset computed from others. Nothing is judged here; `compiling` does when it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, ParamSpec

from platform_defs.contracts.contract import Tier
from platform_defs.contracts.partitions import Cadence
from platform_defs.contracts.policies import Policy

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from platform_defs.contracts.schema import Schema

P = ParamSpec("P")
SELF = "self"


@dataclass(frozen=True, slots=True)
class WindowOf:
    """An input and which of its partitions, as offsets, ends included."""

    endpoint: str
    hours: tuple[int, int] | None = None
    days: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class AsOf:
    """A daily snapshot: the newest that ended by this partition's end, at most `within` old."""

    endpoint: str
    within: str


def window(endpoint: str, *, hours: tuple[int, int] | None = None, days: tuple[int, int] | None = None) -> WindowOf:
    """Reads an input over a window around the partition being built; the partition waits until all of it is there.

    Args:
        endpoint: `domain/name`, or `self` for this endpoint's own earlier partitions (running totals).
        hours: from the partition's first hour + a to its last hour + b: (0, 1) is the same hour and the next, for a day 25 hours.
        days: of a daily input: (-6, 0) is the seven days that end with this one.
    """
    return WindowOf(endpoint, hours, days)


def as_of(endpoint: str, *, within: str) -> AsOf:
    """Reads the newest daily snapshot that ended by this partition's end, at most `within` (`3d`) old; with none it waits."""
    return AsOf(endpoint, within)


InputSpec = str | WindowOf | AsOf


@dataclass(frozen=True, kw_only=True)
class EndpointDef(Generic[P]):
    """An endpoint as declared. Calling it calls the author's function, so tests and helpers may."""

    fn: Callable[P, DataFrame]
    schema: type[Schema]
    partitions: Cadence
    inputs: Mapping[str, InputSpec] = field(default_factory=dict)
    corrections: str | None = None
    ranged: bool = False
    policy: Policy = field(default_factory=Policy)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> DataFrame:
        """The author's function itself: frames in, frame out; nothing is checked."""
        return self.fn(*args, **kwargs)

    @property
    def key(self) -> str:
        """`domain/name`, from the module and the function's name."""
        return f"{domain_of(self.fn.__module__)}/{self.fn.__name__}"


def domain_of(module: str) -> str:
    """The domain a module belongs to: `assets.charts.listening` -> `charts`; the module's own name outside of such a folder."""
    parts = module.split(".")
    return parts[1] if len(parts) > 2 else parts[-1]


def endpoint(
    *,
    schema: type[Schema],
    partitions: Cadence,
    inputs: Mapping[str, InputSpec] | None = None,
    ready_within: str | None = None,
    corrections: str | None = None,
    ranged: bool = False,
    version: str | None = None,
    start: str | None = None,
    retention: str | None = None,
    owner: str | None = None,
    purpose: str | None = None,
    tier: Tier | None = None,
    readers: Sequence[str] | None = None,
    shared: bool = False,
    on_erase: Literal["keep", "rebuild"] | None = None,
) -> Callable[[Callable[P, DataFrame]], EndpointDef[P]]:
    """Declares the function below as a dataset under contract; its name is the endpoint's, its docstring the description.

    Args:
        schema: what a partition must look like.
        partitions: `hourly` or `daily`.
        inputs: by parameter: an endpoint (same hour or day), a `window` or `as_of`. A parameter left out means the endpoint of that name
            in the same domain.
        ready_within: how long after the partition's end it should be there; past it, it is overdue.
        corrections: how long corrections of inputs are followed by themselves; needed if an input's window is longer than a day.
        ranged: the function may get several partitions at once and keeps the partition column in its grouping.
        version: replaces the hash of the code as what makes partitions outdated.
        start, retention, owner, purpose, tier, readers: instead of the domain's.
        shared: readers of this endpoint's results need no right to its inputs.
        on_erase: what an aggregate does when a person is erased: `keep` or `rebuild`.
    """
    policy = Policy(
        owner=owner,
        purpose=purpose,
        tier=tier,
        start=start,
        retention=retention,
        readers=readers,
        shared=shared,
        on_erase=on_erase,
        version=version,
        ready_within=ready_within,
    )

    def declare(fn: Callable[P, DataFrame]) -> EndpointDef[P]:
        return EndpointDef(
            fn=fn, schema=schema, partitions=partitions, inputs={} if inputs is None else inputs, corrections=corrections, ranged=ranged, policy=policy
        )

    return declare
