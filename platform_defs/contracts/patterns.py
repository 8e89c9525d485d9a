"""Plain patterns: the named common subset of regular expressions that mean the same in Pydantic (Rust), Python's `re`, Spark (Java) and Arrow (RE2).

Grammar: `^` items `$`, where an item is a character, a class `[a-z0-9_]` or `[^...]`, or a group `( | )`, each with an optional `?`, `*`, `+`,
`{m}`, `{m,}`, `{m,n}`. Left out on purpose: `.`, `\\d`, `\\w`, `\\s`, `\\b` (they differ on Unicode and line ends), look-around, back references,
flags, lazy and possessive forms; and an open repetition of a group, which Java runs by recursion: a long text would exhaust its stack.
Parsing, translating and drawing example texts belong here; where patterns are asked for does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_ESCAPABLE = set(r"\.^$|?*+()[]{}-/")
_SPECIAL = set("\\^$.|?*+()[]{}")
_ROUNDS = 256  # of groups, all together: Java overflows its stack between 1,000 and 3,000
_MOST = 1000  # a counted repetition longer than that is a length, said by max_length


class PatternError(ValueError):
    """A pattern outside the subset; the message says which part and what to write."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of some: ranges of code points, ends included."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Repeat:
    """An item some times; `most` None is without end."""

    item: Chars | Choice
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several sequences."""

    options: tuple[tuple[Repeat, ...], ...]


def parse(pattern: str) -> tuple[Repeat, ...]:
    """The pattern as a tree; raises PatternError if it is not a plain pattern."""
    if not pattern.startswith("^") or not pattern.endswith("$") or len(pattern) < 2 or _escaped_end(pattern):
        raise PatternError("it is not anchored: write it as ^...$")
    parser = _Parser(pattern[1:-1])
    sequence = parser.sequence()
    if not parser.done():
        raise PatternError(
            "an alternative outside a group is anchored on one side only: write ^(a|b)$" if parser.peek() == "|" else "there is a ) without its ("
        )
    if (rounds := _rounds(sequence)) > _ROUNDS:
        raise PatternError(
            f"its groups repeat up to {rounds} times, and Java's stack holds {_ROUNDS} for sure: give lower limits, or repeat a class [...] instead"
        )
    return sequence


def _rounds(sequence: tuple[Repeat, ...]) -> int:
    """How many turns through groups one match may take."""
    groups = [(repeat.most or 0, repeat.item) for repeat in sequence if isinstance(repeat.item, Choice)]
    return sum(most * (1 + max(_rounds(option) for option in group.options)) for most, group in groups)


def java_pattern(pattern: str) -> str:
    """The same pattern for Spark's `rlike`, and for RE2: Java's `$` also matches before a last line end, `\\z` does not."""
    parse(pattern)
    return pattern[:-1] + r"\z"


def example_text(pattern: str, n: int, places: int = 4) -> str:
    """A text that matches; other texts for other `n`, as far as the pattern has room, always the same for the same `n`.

    Args:
        places: how often an item is repeated where the pattern leaves it open.
    """
    radixes: list[int] = []

    def first(radix: int) -> int:
        radixes.append(radix)
        return 0

    tree = parse(pattern)
    _draw(tree, first, places)
    digits: list[int] = []
    for radix in reversed(radixes):  # the last place counts fastest, as in a number
        digits.append(n % radix)
        n //= radix
    return _draw(tree, lambda radix: digits.pop(), places)


def _draw(sequence: tuple[Repeat, ...], pick: Callable[[int], int], places: int) -> str:
    text = ""
    for repeat in sequence:
        times = max(repeat.least, places if repeat.most is None else min(repeat.most, places))
        for _ in range(times):
            if isinstance(repeat.item, Chars):
                text += _char(repeat.item, pick)
            else:  # the option is fixed: choosing it by place would change how many places there are
                text += _draw(repeat.item.options[0], pick, places)
    return text


def _char(chars: Chars, pick: Callable[[int], int]) -> str:
    ranges = chars.ranges
    if chars.negated:
        free = [code for code in range(0x21, 0x7F) if not any(low <= code <= high for low, high in ranges)]
        if not free:
            raise PatternError("no example can be drawn from a class that leaves out all of ASCII")
        return chr(free[pick(len(free))])
    place = pick(sum(high - low + 1 for low, high in ranges))
    for low, high in ranges:
        if place <= high - low:
            return chr(low + place)
        place -= high - low + 1
    raise AssertionError("a place beyond its radix")


def _escaped_end(pattern: str) -> bool:
    body = pattern[:-1]
    return (len(body) - len(body.rstrip("\\"))) % 2 == 1


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def done(self) -> bool:
        return self.at >= len(self.text)

    def peek(self) -> str:
        return self.text[self.at] if not self.done() else ""

    def take(self) -> str:
        if self.done():
            raise PatternError("it ends in the middle: a [, ( or \\ is not finished")
        self.at += 1
        return self.text[self.at - 1]

    def sequence(self) -> tuple[Repeat, ...]:
        found: list[Repeat] = []
        while not self.done() and self.peek() not in "|)":
            item: Chars | Choice = self.group() if self.peek() == "(" else self.chars()
            least, most = self.times()
            if most is None and isinstance(item, Choice):
                raise PatternError("a group is repeated without end: give it a limit, as in (-[a-z]+){0,20}")
            found.append(Repeat(item, least, most))
        return tuple(found)

    def group(self) -> Choice:
        self.take()
        if self.peek() == "?":
            self.take()
            if self.take() != ":":
                raise PatternError("look-around, named groups and flags are not in the common subset: use ( ) or (?: )")
        options = [self.sequence()]
        while self.peek() == "|":
            self.take()
            options.append(self.sequence())
        if self.done():
            raise PatternError("a ( has no )")
        self.take()
        return Choice(tuple(options))

    def chars(self) -> Chars:
        char = self.take()
        if char == "[":
            return self.bracket()
        if char == "\\":
            return _one(self.escape())
        if char == ".":
            raise PatternError("a bare . means other things in Python and Java: write \\. for the dot, [^\\n] or the wanted characters for any")
        if char in _SPECIAL:
            raise PatternError(f"{char!r} is not expected here: write \\{char} for the character itself")
        return _one(char)

    def escape(self) -> str:
        char = self.take()
        if char == "n":
            return "\n"
        if char == "t":
            return "\t"
        if char not in _ESCAPABLE:
            wanted = {"d": "[0-9]", "w": "[A-Za-z0-9_]", "s": "[ \\t]"}.get(char)
            raise PatternError(f"\\{char} is not in the common subset" + (f": write {wanted}" if wanted else ""))
        return char

    def bracket(self) -> Chars:
        negated = self.peek() == "^"
        if negated:
            self.take()
        ranges: list[tuple[int, int]] = []
        while self.peek() != "]":
            low = self.member()
            if self.peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.take()
                if self.peek() == "-":  # Rust takes the set on its right away from the one on its left
                    raise PatternError(f"the range {low}-- must be written {low}-\\-")
                high = self.member()
                if high < low:
                    raise PatternError(f"the range {low}-{high} runs backwards")
                ranges.append((ord(low), ord(high)))
            else:
                ranges.append((ord(low), ord(low)))
        self.take()
        if not ranges:
            raise PatternError("a class [] is empty")
        return Chars(tuple(ranges), negated)

    def member(self) -> str:
        char = self.take()
        if char == "\\":
            return self.escape()
        if char in "[^" or (char in "&~-" and self.peek() == char):  # Java and Rust read class operators here
            raise PatternError(
                f"{char!r} inside [ ] must be written \\{char}" if char in "[^-" else f"{char}{char} inside [ ] is an operator in Java: write it once"
            )
        return char

    def times(self) -> tuple[int, int | None]:
        char = self.peek()
        bounds: tuple[int, int | None]
        if char not in ("?", "*", "+", "{"):
            return 1, 1
        self.take()
        if char == "{":
            end = self.text.find("}", self.at)
            parts = self.text[self.at : end].split(",") if end >= 0 else []
            if not 1 <= len(parts) <= 2 or not (parts[0].isascii() and parts[0].isdigit()) or not all(p == "" or (p.isascii() and p.isdigit()) for p in parts):
                raise PatternError("a repetition is written {m}, {m,} or {m,n}; write \\{ for the character itself")
            if any(p != str(int(p)) for p in parts if p):  # RE2 reads such braces as text
                raise PatternError("a repetition is written without leading zeros: {4}, not {04}")
            self.at = end + 1
            least = int(parts[0])
            bounds = (least, least if len(parts) == 1 else int(parts[1]) if parts[1] else None)
            if least > _MOST or (bounds[1] or 0) > _MOST or (bounds[1] is not None and bounds[1] < least):
                raise PatternError(f"a repetition {{m,n}} needs m <= n <= {_MOST}; say longer lengths with max_length")
        else:
            bounds = {"?": (0, 1), "*": (0, None), "+": (1, None)}[char]
        if self.peek() in ("?", "*", "+", "{"):
            raise PatternError("a repetition of a repetition (also the lazy and possessive forms) is not in the common subset")
        return bounds


def _one(char: str) -> Chars:
    return Chars(((ord(char), ord(char)),))
