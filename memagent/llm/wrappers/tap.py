"""Hears JSON objects while they are written: the values of some keys come out as far as they are known.

It believes what it reads; what is broken is found by whoever reads the whole. Each character is looked at once. Knows
nothing of what the keys mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from memagent.llm.patient_json import ready, unescaped
from memagent.messages import storable

Kind = Literal["name", "arguments", "thoughts"]
Heard = tuple[int, str, Kind, str]
"""The number of the object, the name that it gave so far, and a part of the value of a key of this kind."""

_IN_STRING = re.compile(r'(?:[^"\\]|\\.)*+', re.DOTALL)
_BETWEEN_MARKS = re.compile(r'[^"{}\[\]:,]*+')
_LONGEST_KEY = 256
_LONGEST_ESCAPE = len(r"\ud83d\ude00")


class Tap:
    """What the keys are called: of a name, of arguments (told as JSON), and of thoughts (told as text), if any.

    With `inside`, thoughts are the first of the arguments, and not told with them.
    """

    def __init__(self, name: str, arguments: str, thoughts: str = "", *, inside: bool = False) -> None:
        kinds: dict[str, Kind] = {name: "name", arguments: "arguments"}
        if thoughts and not inside:
            kinds[thoughts] = "thoughts"
        self._kinds = kinds
        self._inner = thoughts if inside else ""
        self._index = -1
        self._depth = 0
        self._in_string = self._at_key = False
        self._key = self._name = self._held = self._backslash = ""
        self._arguments: list[str] = []
        self._raw: list[str] = []
        self._first: Literal["key", "thought", "comma", "space", ""] = ""
        """Where it is in the thought that begins the arguments; nothing when it is past that."""
        self._kept: list[str] = []

    @property
    def unfinished(self) -> tuple[str, str]:
        """Name and arguments, as far as they came, of an object that has no end yet."""
        return (self._name, "".join(self._arguments)) if self._depth else ("", "")

    def feed(self, text: str) -> Iterator[Heard]:
        """The next part of the text."""
        text, self._backslash, at = self._backslash + text, "", 0
        while at < len(text):
            run = (_IN_STRING if self._in_string else _BETWEEN_MARKS).match(text, at)
            end = run.end() if run else at
            if text.startswith("\\", end) and self._in_string:
                self._backslash, text = "\\", text[:end]  # what it escapes comes with the next part
            self._characters(text[at:end])
            if end < len(text):
                yield from self._mark(text[end])
            at = end + 1
        yield from self._thought()
        yield from self._told()

    @property
    def _kind(self) -> Kind | None:
        return self._kinds.get(self._key)

    @property
    def _in_thought(self) -> bool:
        if self._first == "thought":
            return self._depth == 2
        return self._depth == 1 and self._kind == "thoughts" and not self._at_key

    def _characters(self, run: str) -> None:
        """A part of a string, or what stands between marks."""
        if self._kind == "arguments" and self._depth > 1:
            self._pass(run)
        if self._in_string and (self._in_thought or len(self._held) < _LONGEST_KEY):
            self._held += run

    def _pass(self, run: str) -> None:
        """A part of the arguments, to be told unless it belongs to the thought that begins them."""
        if self._first == "key":
            self._kept.append(run)
        elif self._first == "space":
            run = run.lstrip()
            if run:
                self._first = ""
        if not self._first and run:
            self._raw.append(run)

    def _mark(self, mark: str) -> Iterator[Heard]:
        if self._in_string:  # it is the quote that ends it
            yield from self._thought()
            self._in_string = False
            self._string_ended()
            self._argued(mark)
        elif mark == '"':
            self._held, self._in_string = "", self._depth > 0
            self._argued(mark)
        elif mark in "{[":
            self._opened(mark)
        elif mark in "}]":
            yield from self._closed(mark)
        else:
            self._separated(mark)

    def _argued(self, mark: str) -> None:
        if self._kind == "arguments" and self._depth > 1:
            if self._first == "space":
                self._first = ""
            self._pass(mark)

    def _opened(self, mark: str) -> None:
        if self._first == "key":
            self._release()
        self._depth += 1 if self._depth or mark == "{" else 0
        if self._depth == 1:
            self._index += 1
            self._key, self._name, self._arguments, self._at_key, self._first = "", "", [], True, ""
        self._argued(mark)
        if self._inner and self._depth == 2 and self._kind == "arguments" and mark == "{":
            self._first = "key"

    def _closed(self, mark: str) -> Iterator[Heard]:
        if self._depth == 2:
            self._release()
        self._argued(mark)
        self._depth = max(0, self._depth - 1)
        if self._depth == 1:
            yield from self._told()

    def _separated(self, mark: str) -> None:
        if self._depth == 1:
            self._at_key = mark == ","
            if mark == ",":
                self._key = ""
        elif self._depth == 2 and self._first in ("thought", "comma"):
            self._first = "space" if mark == "," else self._first
        else:
            self._argued(mark)

    def _release(self) -> None:
        """The arguments begin with no thought, or it is over: what was kept is told."""
        if self._first == "key":
            self._raw += self._kept
        self._kept, self._first = [], ""

    def _string_ended(self) -> None:
        held, self._held = self._held, ""
        if self._first == "key" and self._depth == 2:
            if unescaped(held) != self._inner:
                self._release()
            else:
                self._kept, self._first = [], "thought"
        elif self._first == "thought" and self._depth == 2:
            self._first = "comma"
        elif self._depth == 1 and self._at_key:
            self._key = unescaped(held)
        elif self._depth == 1 and self._kind == "name":
            self._name = unescaped(held)

    def _told(self) -> Iterator[Heard]:
        if self._raw:
            part = "".join(self._raw)
            self._raw.clear()
            self._arguments.append(part)
            yield self._index, self._name, "arguments", storable(part)

    def _thought(self) -> Iterator[Heard]:
        if not (self._in_string and self._in_thought and self._held):
            return
        end = ready(self._held)
        part, self._held = self._held[:end], self._held[end:]
        if len(self._held) >= _LONGEST_ESCAPE:  # it is no escape: whoever reads the whole sees what it is
            self._held = "\\u"
        if part:
            yield self._index, self._name, "thoughts", storable(unescaped(part))
