"""Reads grammars in GBNF as llama.cpp does, says which texts they let through, and draws such texts."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

REFUSED_TIMES = 2000
"""Some versions of llama.cpp refuse so many repetitions, all of them refuse more."""

LAST = 0x10FFFF
SIMPLE = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}


@dataclass(frozen=True, eq=False)
class Node:
    """`chars` of ranges, `ref` to a rule, `seq` or `alt` of parts, or `rep` of one part."""

    kind: str
    parts: tuple[Node, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()
    name: str = ""
    least: int = 0
    most: int | None = None


class GrammarError(Exception):
    """llama.cpp would not take this grammar."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def peek(self, wanted: str) -> bool:
        return self.text.startswith(wanted, self.at)

    def take(self, pattern: str) -> str:
        match = re.compile(pattern).match(self.text, self.at)
        if not match:
            raise GrammarError(f"{pattern} expected at {self.text[self.at : self.at + 30]!r}")
        self.at = match.end()
        return match[0]

    def space(self, lines: bool) -> None:
        self.take(r"(?:[ \t\r\n]|#[^\r\n]*)*" if lines else r"(?:[ \t]|#[^\r\n]*)*")

    def rules(self) -> Iterator[tuple[str, Node]]:
        self.space(True)
        while self.at < len(self.text):
            name = self.take("[a-zA-Z0-9-]+")
            self.space(False)
            self.take("::=")
            self.space(True)
            yield name, self.alternatives(False)
            self.take(r"\r\n|\r|\n|\Z")
            self.space(True)

    def alternatives(self, nested: bool) -> Node:
        options = [self.sequence(nested)]
        while self.peek("|"):
            self.at += 1
            self.space(True)
            options.append(self.sequence(nested))
        return options[0] if len(options) == 1 else Node("alt", tuple(options))

    def sequence(self, nested: bool) -> Node:
        parts: list[Node] = []
        last: list[Node] = []
        while self.at < len(self.text):
            if self.peek('"'):
                last = [Node("chars", ranges=((ord(c), ord(c)),)) for c in self.quoted()]
                parts += [Node("seq", tuple(last))]
            elif self.peek("["):
                parts.append(self.ranges())
            elif self.peek("("):
                self.at += 1
                self.space(True)
                parts.append(self.alternatives(True))
                self.take(r"\)")
            elif re.match("[a-zA-Z0-9-]", self.text[self.at]):
                parts.append(Node("ref", name=self.take("[a-zA-Z0-9-]+")))
            elif self.text[self.at] in "*+?{":
                if not parts:
                    raise GrammarError("nothing to repeat")
                parts[-1] = Node("rep", (parts[-1],), **self.times())
            else:
                break
            self.space(nested)
        return parts[0] if len(parts) == 1 else Node("seq", tuple(parts))

    def times(self) -> dict[str, int | None]:
        sign = self.take(r"[*+?]|\{\d+(?:,\d*)?\}")
        if sign in "*+?":
            return {"least": int(sign == "+"), "most": 1 if sign == "?" else None}
        least, comma, most = sign[1:-1].partition(",")
        found = {"least": int(least), "most": int(most) if most else None if comma else int(least)}
        if max(found["least"] or 0, found["most"] or 0) >= REFUSED_TIMES:
            raise GrammarError(f"too many repetitions: {sign}")
        return found

    def char(self) -> str:
        if not self.peek("\\"):
            self.at += 1
            return self.text[self.at - 1]
        self.at += 1
        letter = self.take(r"[xuUtrn\\\"\[\]-]")
        if letter in "xuU":
            digits = {"x": 2, "u": 4, "U": 8}[letter]
            return chr(int(self.take(f"[0-9a-fA-F]{{{digits}}}"), 16))
        return SIMPLE[letter]

    def quoted(self) -> str:
        self.at += 1
        found = ""
        while not self.peek('"'):
            found += self.char()
        self.at += 1
        return found

    def ranges(self) -> Node:
        self.at += 1
        negated = self.peek("^")
        self.at += negated
        found: list[tuple[int, int]] = []
        while not self.peek("]"):
            low = high = ord(self.char())
            if self.peek("-") and not self.peek("-]"):
                self.at += 1
                high = ord(self.char())
            found.append((low, high))
        self.at += 1
        return Node("chars", ranges=tuple(_complement(found) if negated else found))


def _complement(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    free = 0
    for low, high in sorted(ranges):
        if free < low:
            yield free, low - 1
        free = max(free, high + 1)
    if free <= LAST:
        yield free, LAST


@contextmanager
def deep() -> Iterator[None]:
    """Python's own limit is not that of grammars."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@dataclass
class _Match:
    """One text against a grammar: where a node that begins at a place may end; each is asked once."""

    rules: dict[str, Node]
    text: str
    known: dict[tuple[Node, int], frozenset[int]] = field(default_factory=dict)
    cut: bool = False

    def ends(self, node: Node, at: int) -> frozenset[int]:
        if (node, at) not in self.known:
            self.known[node, at] = frozenset(self._ends(node, at))
        return self.known[node, at]

    def _ends(self, node: Node, at: int) -> set[int]:
        if node.kind == "chars":
            if at == len(self.text):
                self.cut = True  # a longer text could go on here
                return set()
            code = ord(self.text[at])
            return {at + 1} if any(low <= code <= high for low, high in node.ranges) else set()
        if node.kind == "ref":
            return set(self.ends(self.rules[node.name], at))
        if node.kind == "alt":
            return {end for part in node.parts for end in self.ends(part, at)}
        if node.kind == "seq":
            here = {at}
            for part in node.parts:
                here = {end for place in here for end in self.ends(part, place)}
            return here
        return self._repeated(node, at)

    def _repeated(self, node: Node, at: int) -> set[int]:
        found = {at} if node.least == 0 else set()
        here, times, met = {at}, 0, {at}
        while here and (node.most is None or times < node.most):
            times += 1
            here = {end for place in here for end in self.ends(node.parts[0], place)}
            if times >= node.least:
                found |= here
                if node.most is None:  # a place that was met is of no more use
                    here -= met
                    met |= here
        return found


class Gbnf:
    """A grammar that llama.cpp would take."""

    def __init__(self, text: str) -> None:
        self.rules: dict[str, Node] = {}
        with deep():
            for name, node in _Reader(text).rules():
                if name in self.rules:
                    raise GrammarError(f"two rules {name}")
                self.rules[name] = node
            self._check()
        self._heights = self._measured()

    def matches(self, text: str) -> bool:
        """Whether the text, whole, is let through."""
        with deep():
            return len(text) in _Match(self.rules, text).ends(self.rules["root"], 0)

    def begins(self, text: str) -> bool:
        """Whether the text is let through, or could be, with more after it."""
        match = _Match(self.rules, text)
        with deep():
            return len(text) in match.ends(self.rules["root"], 0) or match.cut

    def draw(self, random: random.Random, size: int = 40) -> str:
        """Some text that is let through; beyond about `size` rules it comes to an end."""
        out: list[str] = []
        left = [size]
        with deep():
            self._draw(self.rules["root"], random, left, out)
        return "".join(out)

    def _check(self) -> None:
        if "root" not in self.rules:
            raise GrammarError("no rule root")

        def refs(node: Node) -> Iterator[str]:
            if node.kind == "ref":
                yield node.name
            for part in node.parts:
                yield from refs(part)

        def firsts(node: Node) -> Iterator[str]:
            if node.kind == "ref":
                yield node.name
            for part in node.parts:
                yield from firsts(part)
                if node.kind == "seq" and not _nullable(part, empty):
                    return

        for name, node in self.rules.items():
            if missing := set(refs(node)) - self.rules.keys():
                raise GrammarError(f"no rule {missing}")
        empty: set[str] = set()
        known = -1
        while known < len(empty):
            known = len(empty)
            for name, node in self.rules.items():
                if _nullable(node, empty):
                    empty.add(name)
        begins = {name: set(firsts(node)) for name, node in self.rules.items()}
        try:
            TopologicalSorter(begins).prepare()
        except CycleError as error:
            raise GrammarError(f"begins with itself: {error.args[1]}") from error

    def _measured(self) -> dict[str, int]:
        """How many rules deep the shallowest text of a rule is."""
        heights: dict[str, int] = {}
        changed = True
        while changed:
            changed = False
            for name, node in self.rules.items():
                height = _height(node, heights)
                if height is not None and height != heights.get(name):
                    heights[name], changed = height, True
        if endless := self.rules.keys() - heights.keys():
            raise GrammarError(f"no text ever ends {endless}")
        return heights

    def _draw(self, node: Node, random: random.Random, left: list[int], out: list[str]) -> None:
        if node.kind == "chars":
            low, high = random.choice(node.ranges)
            high = min(high, low + 95) if random.random() < 0.8 else high
            out.append(chr(random.randint(low, high)))
        elif node.kind == "ref":
            left[0] -= 1
            self._draw(self.rules[node.name], random, left, out)
        elif node.kind == "alt":
            options = list(node.parts)
            if left[0] <= 0:
                options = [min(options, key=lambda part: _height(part, self._heights) or 0)]
            self._draw(random.choice(options), random, left, out)
        elif node.kind == "seq":
            for part in node.parts:
                self._draw(part, random, left, out)
        else:
            more = 0
            while left[0] > 0 and (node.most is None or node.least + more < node.most) and random.random() < 0.6:
                more += 1
            for _ in range(node.least + more):
                self._draw(node.parts[0], random, left, out)


def _nullable(node: Node, empty: set[str]) -> bool:
    """Whether it lets through the empty text, as these rules do."""
    if node.kind == "ref":
        return node.name in empty
    if node.kind in ("seq", "alt"):
        return (all if node.kind == "seq" else any)([_nullable(part, empty) for part in node.parts])
    return node.kind == "rep" and (node.least == 0 or _nullable(node.parts[0], empty))


def _height(node: Node, heights: dict[str, int]) -> int | None:
    if node.kind == "chars" or (node.kind == "rep" and node.least == 0):
        return 0
    if node.kind == "ref":
        return heights[node.name] + 1 if node.name in heights else None
    found = [_height(part, heights) for part in node.parts]
    if node.kind == "alt":
        return min((height for height in found if height is not None), default=None)
    return None if None in found else max((height or 0 for height in found), default=0)
