"""A grammar in GBNF, the notation of llama.cpp and koboldcpp: put together from parts, printed as text.

Parts are made by `literal`, `chars`, `sequence`, `either`, `optional`, and by a `Grammar`, which names and repeats
them. The same steps print the same text, byte for byte. Knows nothing of JSON or of functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass

LONGEST_NAME = 40
CHUNK = 100
MOST_TIMES = 1000 * CHUNK

ALTERNATIVES, SEQUENCE, ONE = range(3)
_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_TO_ESCAPE = re.compile('["\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


@dataclass(frozen=True)
class Part:
    """Something to be written, as GBNF. `binds` tells where it needs parentheses; `named` that it is a rule's name."""

    text: str
    binds: int = ONE
    named: bool = False

    def within(self, binds: int) -> str:
        """Its text at a place that holds together so tightly."""
        return self.text if self.binds >= binds else f"({self.text})"


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    return _ESCAPED.get(char) or (f"\\x{ord(char):02X}" if ord(char) < 256 else f"\\u{ord(char):04X}")


def literal(text: str) -> Part:
    """Exactly this text."""
    return Part(f'"{_TO_ESCAPE.sub(_escape, text)}"')


def chars(ranges: str) -> Part:
    """One character of these, written as between the brackets of a regular expression: `a-z`, `^\\n`."""
    return Part(f"[{ranges}]")


NOTHING = literal("")
"""The empty text."""


def sequence(*parts: Part) -> Part:
    """One after the other."""
    some: list[Part] = []
    for part in parts:
        if some and _is_literal(part) and _is_literal(some[-1]):
            some[-1] = Part(some[-1].text[:-1] + part.text[1:])
        elif part != NOTHING:
            some.append(part)
    if len(some) < 2:
        return some[0] if some else NOTHING
    return Part(" ".join(part.within(SEQUENCE) for part in some), SEQUENCE)


def _is_literal(part: Part) -> bool:
    return part.binds == ONE and part.text.startswith('"')


def either(*parts: Part) -> Part:
    """One of these."""
    some = list(dict.fromkeys(parts))
    return some[0] if len(some) == 1 else Part(" | ".join(part.text for part in some), ALTERNATIVES)


def optional(part: Part) -> Part:
    """This, or nothing."""
    return part if part == NOTHING else Part(f"{part.within(ONE)}?", SEQUENCE)


class Grammar:
    """Rules by name. What is added twice is one rule; a name that is taken gets a number."""

    def __init__(self) -> None:
        self._rules: dict[str, Part | None] = {"root": None}
        self._names: dict[Part, Part] = {}
        self._known: dict[Hashable, Part] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, part: Part) -> Part:
        """A rule that is this part, under that name or one like it; returns what refers to it."""
        if part.named:
            return part
        if part not in self._names:
            self._names[part] = self._reserved(name)
            self._rules[self._names[part].text] = part
        return self._names[part]

    def once(self, key: Hashable, name: str, build: Callable[[], Part]) -> Part:
        """The rule of this key, built when first asked for; what builds it may ask for it, as a part of itself."""
        if key not in self._known:
            self._known[key] = reserved = self._reserved(name)
            self._rules[reserved.text] = build()
        return self._known[key]

    def _reserved(self, name: str) -> Part:
        plain = re.sub("[^a-z0-9]+", "-", name.lower())[:LONGEST_NAME].strip("-") or "rule"
        free = plain
        while free in self._rules:
            self._counts[plain] = self._counts.get(plain, 1) + 1
            free = f"{plain}-{self._counts[plain]}"
        self._rules[free] = None
        return Part(free, named=True)

    def repeated(self, part: Part, least: int = 0, most: int | None = None, name: str = "part") -> Part:
        """So many times; without `most`, any number of times.

        llama.cpp makes as many rules as the number says, and refuses more than 2000. So large numbers are counted in
        hundreds; over 100,000 there is no `most`.
        """
        part = part if part.text.startswith("[") and part.binds == ONE else self.add(name, part)
        least = min(least, MOST_TIMES)
        must = self._exactly(part, least, name)
        if most is None or most > MOST_TIMES:
            return Part(f"{part.text}+", SEQUENCE) if least == 1 else sequence(must, Part(f"{part.text}*", SEQUENCE))
        most = max(least, most)
        hundreds, rest = divmod(most - least, CHUNK)
        if most <= 2 * CHUNK:
            return _between(part, least, most)
        if hundreds < 2:
            return sequence(must, _between(part, 0, most - least))
        many = _between(self._hundred(part, name), 0, hundreds - 1)
        return sequence(must, many, _between(part, 0, CHUNK + rest))

    def _exactly(self, part: Part, times: int, name: str) -> Part:
        if times <= 2 * CHUNK:
            return _between(part, times, times)
        hundreds, rest = divmod(times, CHUNK)
        return sequence(_between(self._hundred(part, name), hundreds, hundreds), _between(part, rest, rest))

    def _hundred(self, part: Part, name: str) -> Part:
        return self.add(f"{name}-{CHUNK}", _between(part, CHUNK, CHUNK))

    def text(self, root: Part) -> str:
        """The whole grammar; `root` is what the model's output must be."""
        rules = {**self._rules, "root": root}
        return "".join(f"{name} ::= {part.text}\n" for name, part in rules.items() if part)


def _between(part: Part, least: int, most: int) -> Part:
    if most == 0:
        return NOTHING
    if least == most:
        return part if most == 1 else Part(f"{part.text}{{{most}}}", SEQUENCE)
    return Part(f"{part.text}?" if most == 1 else f"{part.text}{{{least},{most}}}", SEQUENCE)
