"""Hears JSON objects while they are written: the values of some keys come out as far as they are known.

It believes what it reads; what is broken is found by whoever reads the whole. Knows nothing of what the keys mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from memagent.llm.patient_json import ready, unescaped
from memagent.messages import storable

Kind = Literal["name", "arguments", "thoughts"]
Heard = tuple[int, str, Kind, str]
"""The number of the object, the name that it gave so far, and a part of the value of a key of this kind."""


class Tap:
    """What the keys are called: of a name, of arguments (told as JSON), and of thoughts (told as text), if any."""

    def __init__(self, name: str, arguments: str, thoughts: str = "") -> None:
        kinds: dict[str, Kind] = {name: "name", arguments: "arguments", thoughts: "thoughts"}
        self._kinds = {key: kind for key, kind in kinds.items() if key}
        self._index = -1
        self._depth = 0
        self._in_string = self._escaped = self._at_key = False
        self._key = self._name = self._held = ""
        self._arguments: list[str] = []

    @property
    def last(self) -> tuple[str, str]:
        """Name and arguments of the newest object, as far as they came."""
        return self._name, "".join(self._arguments)

    def feed(self, text: str) -> Iterator[Heard]:
        """The next part of the text."""
        raw: list[str] = []
        for char in text:
            inside = self._kind == "arguments" and self._depth > 1
            if self._in_string:
                self._string(char)
            else:
                self._mark(char)
            if inside or (self._kind == "arguments" and self._depth > 1):
                raw.append(char)
                if self._depth == 1:
                    yield from self._told(raw)
            elif self._kind == "thoughts" and self._depth == 1 and not self._in_string and self._held:
                yield from self._thought()
        yield from self._told(raw)
        if self._kind == "thoughts" and self._in_string and not self._at_key:
            yield from self._thought()

    @property
    def _kind(self) -> Kind | None:
        return self._kinds.get(self._key)

    def _told(self, raw: list[str]) -> Iterator[Heard]:
        if raw:
            part = "".join(raw)
            raw.clear()
            self._arguments.append(part)
            yield self._index, self._name, "arguments", storable(part)

    def _thought(self) -> Iterator[Heard]:
        end = ready(self._held)
        part, self._held = self._held[:end], self._held[end:]
        if part:
            yield self._index, self._name, "thoughts", storable(unescaped(part))

    def _string(self, char: str) -> None:
        if self._escaped:
            self._escaped = False
        elif char == "\\":
            self._escaped = True
        elif char == '"':
            self._in_string = False
            if self._depth == 1:
                self._string_ended()
            return
        if self._depth == 1:
            self._held += char

    def _string_ended(self) -> None:
        if self._at_key:
            self._key, self._held = unescaped(self._held), ""
        elif self._kind == "name":
            self._name, self._held = unescaped(self._held), ""
        elif self._kind != "thoughts":
            self._held = ""

    def _mark(self, char: str) -> None:
        if char == '"':
            self._in_string = self._depth > 0
            if self._depth == 1:
                self._held = ""
        elif char in "{[":
            self._depth += 1 if self._depth or char == "{" else 0
            if self._depth == 1:
                self._index += 1
                self._key, self._name, self._arguments, self._at_key = "", "", [], True
        elif char in "}]":
            self._depth = max(0, self._depth - 1)
        elif self._depth == 1 and char in ":,":
            self._at_key = char == ","
            if char == ",":
                self._key = ""
