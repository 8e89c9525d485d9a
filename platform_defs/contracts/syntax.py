"""Authors' files as syntax trees. What they say is read elsewhere: what a file may touch in authoring, what its code stands on in codeversion."""

from __future__ import annotations

import ast
from functools import lru_cache


@lru_cache(maxsize=128)  # read twice by every load; a file of fifty endpoints takes 3 ms
def tree_of(text: str) -> ast.Module:
    """The tree of a file by its very text, so that a saved file is another. Nobody changes it. Raises SyntaxError or ValueError."""
    return ast.parse(text)
