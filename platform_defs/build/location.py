"""Code locations: `platform_defs.build.location.<domain>` is the definitions of that domain, built when it is asked for.

`workspace.yaml` names this module and the domain as its attribute, so authors write no Dagster and a new domain needs no file of its own.
"""

from __future__ import annotations

import functools
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg


@functools.cache
def definitions(domain: str) -> dg.Definitions:
    """The definitions of a domain's applied copy, once per process."""
    from platform_defs.build.definitions import build_defs

    found = build_defs(domain)
    gc.freeze()  # they live as long as the process: a collection would look through them for half a second, in vain
    return found


def __getattr__(name: str) -> dg.Definitions:
    if name.startswith("_"):
        raise AttributeError(name)
    return definitions(name)
