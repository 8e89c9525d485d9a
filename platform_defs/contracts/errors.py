"""What goes wrong when a declaration is loaded, said so that its author can mend it without asking."""

from __future__ import annotations


class ContractError(Exception):
    """A wrong declaration.

    Attributes:
        where: file and line if known, then class or function, then field: `assets/charts/listening.py:12 SkipRate.plays`.
        why: what is wrong, in one sentence.
        write: what to write instead.
    """

    def __init__(self, where: str, why: str, write: str) -> None:
        self.where, self.why, self.write = where, why, write
        super().__init__(f"{where}: {why}. {write}")


class ContractErrors(Exception):
    """All wrong declarations of one load, so that they can be mended in one go."""

    def __init__(self, errors: list[ContractError]) -> None:
        self.errors = errors
        super().__init__("\n".join(str(error) for error in errors))
