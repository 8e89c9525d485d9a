"""Making many objects that stay: without the garbage collector looking through all of them again and again, in vain."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is collected within, also as a decorator of a function. Counted references are freed as ever; what holds on to itself waits for the end.

    A location of 2,000 endpoints loads in two thirds of the time so, 40,000 contracts are read in three quarters.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:  # within another one, that one ends it
            gc.enable()
