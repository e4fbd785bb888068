"""Regular expressions from strangers, matched in time that grows with the text alone: none brings an agent to a halt.

What JavaScript and Python have in common is known, without looking around and back; a pattern is carried along the
text as a set of states. Knows nothing of what patterns are for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

LONGEST = 500
MOST_STATES = 1_000
MOST_STEPS = 300_000
DEEPEST = 50

_WRITTEN = re.compile(r"/(.+)/([a-z]*)", re.DOTALL)
_ATOM = re.compile(
    r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^xu1-9kpPcZAG])|[^\\|()?*+{\[]", re.DOTALL
)
_TIMES = re.compile(r"(?:([?*+])|\{(\d{1,4})(?:(,)(\d{0,4}))?\})[?]?")
_GROUP = re.compile(r"\((?:\?:|\?P?<[A-Za-z_]\w*>|(?!\?))")
_ASSERTIONS = {"^", "$", r"\b", r"\B"}


class Unfit(ValueError):
    """A pattern that can't be matched: it is broken, too large, or looks around or back."""


@dataclass(frozen=True)
class _State:
    """One state: it takes a character, asserts where it is, forks, or ends the match; then it goes on elsewhere."""

    takes: re.Pattern[str] | None = None
    asserts: str = ""
    to: tuple[int, ...] = ()


class Pattern:
    """A pattern that is ready to be looked for."""

    def __init__(self, states: Sequence[_State], flags: re.RegexFlag) -> None:
        self._states = states
        self._starts = self._first(flags)

    def found(self, text: str) -> bool:
        """Whether it is somewhere in the text; False as well when that would take too long to say."""
        steps = at = 0
        here: set[int] = set()
        while at <= len(text):
            if not here and self._starts is not None:
                start = self._starts.search(text, at)
                if start is None:
                    return False
                at = start.start()
            reached = self._closed({0, *here}, text, at)
            steps += len(reached)
            if any(not self._states[i].to for i in reached):
                return True
            if steps > MOST_STEPS:
                return False
            letter = text[at : at + 1]
            here = {
                goal
                for i in reached
                if (takes := self._states[i].takes) is not None and takes.match(letter)
                for goal in self._states[i].to
            }
            at += 1
        return False

    def _closed(self, begun: set[int], text: str, at: int) -> set[int]:
        """All states that are reached without taking a character."""
        reached, waiting = set(begun), list(begun)
        while waiting:
            state = self._states[waiting.pop()]
            if state.takes is None and (not state.asserts or _holds(state.asserts, text, at)):
                new = [goal for goal in state.to if goal not in reached]
                reached.update(new)
                waiting += new
        return reached

    def _first(self, flags: re.RegexFlag) -> re.Pattern[str] | None:
        """What a match begins with, so that other places can be passed over; None when a match can be empty."""
        reached, waiting = {0}, [0]
        letters: set[str] = set()
        while waiting:
            state = self._states[waiting.pop()]
            if not state.to:
                return None
            if state.takes is not None:
                letters.add(state.takes.pattern)
                continue
            new = [goal for goal in state.to if goal not in reached]
            reached.update(new)
            waiting += new
        return re.compile("|".join(sorted(letters)), flags)


def _holds(assertion: str, text: str, at: int) -> bool:
    if assertion in "^$":
        return at == (0 if assertion == "^" else len(text))
    edge = _is_word(text[at - 1 : at]) != _is_word(text[at : at + 1])
    return edge == (assertion == r"\b")


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


def is_written_as_one(key: str) -> bool:
    """Whether a text is written as a pattern: between slashes."""
    return key.startswith("/") and len(key) <= LONGEST + 10 and _WRITTEN.fullmatch(key) is not None


@lru_cache(maxsize=2_000)
def pattern(key: str, *, case_sensitive: bool = False) -> Pattern:
    """The pattern in a key, written between slashes or not; raises `Unfit`."""
    if len(key) > LONGEST + 10:
        raise Unfit(f"it has more than {LONGEST} characters")
    written = _WRITTEN.fullmatch(key)
    body, flags = (written[1], written[2]) if written else (key, "" if case_sensitive else "i")
    how = re.DOTALL | (re.IGNORECASE if "i" in flags else re.NOFLAG)
    return Pattern(_Parser(body, how).states(), how)


class _Parser:
    """Reads a pattern into states. A node is a function of the state to go on to; it returns the one to begin with."""

    def __init__(self, body: str, flags: re.RegexFlag) -> None:
        self._body = body
        self._flags = flags
        self._at = 0
        self._states: list[_State] = []

    def states(self) -> list[_State]:
        self._states = [_State()]  # its place is taken by the first
        end = self._add(_State())
        first = self._built(self._either(0), end)
        if self._at < len(self._body):
            raise Unfit(f"{self._body[self._at]!r} stands where it can't")
        self._states[0] = _State(to=(first,))
        return self._states

    def _either(self, depth: int) -> list[object]:
        """Alternatives up to the end of the group: ["|", sequence, …]."""
        if depth > DEEPEST:
            raise Unfit("it is nested too deeply")
        found: list[object] = ["|", [*self._sequence(depth)]]
        while self._next("|"):
            found.append([*self._sequence(depth)])
        return found

    def _sequence(self, depth: int) -> Iterator[object]:
        while self._at < len(self._body) and self._body[self._at] not in "|)":
            part = self._part(depth)
            times = _TIMES.match(self._body, self._at)
            if times:
                self._at = times.end()
                least, most = _bounds(times)
                yield ["*", part, least, most]
            else:
                yield part

    def _part(self, depth: int) -> object:
        if group := _GROUP.match(self._body, self._at):
            self._at = group.end()
            inner = self._either(depth + 1)
            if not self._next(")"):
                raise Unfit("a group does not end")
            return inner
        atom = _ATOM.match(self._body, self._at)
        if atom is None:
            raise Unfit(f"{self._body[self._at : self._at + 4]!r} is not known here")
        self._at = atom.end()
        if atom[0] in _ASSERTIONS:
            return atom[0]
        return self._letter(atom[0])

    def _letter(self, written: str) -> re.Pattern[str]:
        """One character, or one of a class, which a pattern of Python's finds by itself."""
        if written == "/" or written == r"\/":
            written = "/"
        elif written.startswith("["):
            written = written[:1] + re.sub(r"(?<!\\)\[", r"\\[", written[1:])
        elif not written.startswith("\\") and written != ".":
            written = re.escape(written)
        try:
            return re.compile(written, self._flags)
        except re.error as error:
            raise Unfit(str(error)) from error

    def _next(self, mark: str) -> bool:
        there = self._body.startswith(mark, self._at)
        self._at += there
        return there

    def _add(self, state: _State) -> int:
        if len(self._states) >= MOST_STATES:
            raise Unfit("it is too large")
        self._states.append(state)
        return len(self._states) - 1

    def _built(self, node: object, then: int) -> int:
        """The state with which a node begins, when `then` comes after it."""
        if isinstance(node, re.Pattern):
            return self._add(_State(takes=node, to=(then,)))
        if isinstance(node, str):
            return self._add(_State(asserts=node, to=(then,)))
        assert isinstance(node, list)
        if node[0] == "|":
            return self._add(_State(to=tuple(self._chained(each, then) for each in node[1:])))
        _, part, least, most = node
        if most is None:
            fork = self._add(_State())
            again = self._built(part, fork)
            self._states[fork] = _State(to=(again, then))
            then = fork
        else:
            for _ in range(most - least):
                then = self._add(_State(to=(self._built(part, then), then)))
        for _ in range(least):
            then = self._built(part, then)
        return then

    def _chained(self, sequence: Sequence[object], then: int) -> int:
        for node in reversed(sequence):
            then = self._built(node, then)
        return then


def _bounds(times: re.Match[str]) -> tuple[int, int | None]:
    """How often something may be repeated, at least and at most."""
    if times[1]:
        return {"?": (0, 1), "*": (0, None), "+": (1, None)}[times[1]]
    least = int(times[2])
    most = (int(times[4]) if times[4] else None) if times[3] else least
    if most is not None and most < least:
        raise Unfit("a repetition ends before it begins")
    return least, most
