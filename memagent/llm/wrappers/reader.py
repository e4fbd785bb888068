"""Reads an answer while it is written: what can be shown comes out at once, the whole at the end.

Knows nothing of prompts, nor of how the text arrives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from memagent.llm import Answer, Piece, Schema, Usage
from memagent.llm.thinking import Thinking
from memagent.llm.wrappers.form import Form, speaks_by_call
from memagent.llm.wrappers.tap import Tap
from memagent.messages import ToolCall, storable

LONGEST = 2_000_000
_TAGS = ("<tool_call>", "<functioncall>", "<function=", "<|python_tag|>", "[TOOL_CALLS]", "```json", "```tool_call")
_OPENING = r'^[ \t]{0,8}\[?\s{0,8}\{|\{\s{0,8}"'
_UNDECIDED = re.compile(r"(?:^[ \t]{0,8}\[|\{)\s{0,8}\Z", re.MULTILINE)


class _Words:
    """Parts the words before the first call from the calls. What may be either is kept until that is known."""

    def __init__(self, marks: Sequence[str]) -> None:
        tags = [*_TAGS, *marks]
        self._call = re.compile("|".join([_OPENING, *(re.escape(tag) for tag in tags)]), re.MULTILINE)
        self._beginnings = {tag[:size] for tag in tags for size in range(1, len(tag))}
        self._held = ""
        self._line_begins = True
        self._longest = max(len(tag) for tag in tags)

    def part(self, text: str) -> tuple[str, str]:
        """The words in the next piece, and the calls, once they have begun."""
        text = self._held + text
        ahead = "" if self._line_begins else "."
        if call := self._call.search(ahead + text):
            at = call.start() - len(ahead)
            return text[:at], text[at:]
        sizes = range(min(self._longest, len(text)), 0, -1)
        kept = next((size for size in sizes if text[-size:] in self._beginnings), 0)
        if undecided := _UNDECIDED.search(ahead + text[-self._longest :]):
            kept = max(kept, len(undecided[0]))
        words, self._held = text[: len(text) - kept], text[len(text) - kept :]
        _, line, rest = words.rpartition("\n")
        self._line_begins = not rest.strip(" \t") and bool(line or self._line_begins)
        return words, ""


class Reader:
    """Reads one answer in this form; where there are no tools, all of it is text."""

    def __init__(self, form: Form, tools: Sequence[Schema]) -> None:
        self._form = form
        self._names = [str(tool["name"]) for tool in tools]
        self._private = speaks_by_call(tools)
        self._tap = Tap(form.name, form.arguments, form.thoughts, inside=form.thoughts_inside)
        self._words = _Words([mark.strip() for mark in (form.opens, form.before) if mark.strip()])
        self._thinking = Thinking()
        self._thoughts: list[str] = []
        self._text: list[str] = []
        self._room = LONGEST
        self._calling = False
        self.full = False

    def hear(self, text: str) -> Iterator[Piece]:
        """The next part of the answer."""
        text = text[: self._room + 1]
        self._room -= len(text)
        self.full = self._room < 0
        thought, text = self._thinking.part(text)
        if thought:
            self._thoughts.append(thought)
            yield Piece("thought", storable(thought))
        self._text.append(text)
        if self._names:
            yield from self._heard(text)
        elif text:
            yield Piece("text", storable(text))

    def _heard(self, text: str) -> Iterator[Piece]:
        """Words before the first call are shown as they are; behind it, what the calls say."""
        if not self._calling:
            words, text = self._words.part(text)
            self._calling = bool(text)
            if words:
                yield Piece("text", storable(words))
        for index, name, kind, part in self._tap.feed(text):
            if kind == "arguments":
                yield Piece("arguments", part, index, name)
            else:
                yield Piece("text" if self._private else "thought", part)

    def answer(self, finish: str, usage: Usage | None) -> Answer:
        """The whole answer."""
        thought, rest = self._thinking.rest()
        text = storable("".join([*self._text, rest]).strip())
        thoughts = storable("".join([*self._thoughts, thought]).strip())
        finish = "length" if self.full else finish
        calls: tuple[ToolCall, ...] = ()
        if self._names and text:
            said, calls = self._form.read(text, self._names)
            calls = self._unfinished(finish) or calls
            if calls and not self._private:
                thoughts, said = "\n".join(filter(None, (thoughts, said))), ""
            text = storable(said) if calls else text
        return Answer(text, thoughts, calls, finish, usage)

    def _unfinished(self, finish: str) -> tuple[ToolCall, ...]:
        """The call in the middle of which the answer was cut off: it must not pass for a whole one, mended."""
        name, arguments = self._tap.unfinished
        if finish != "length" or not (name and arguments):
            return ()
        return (ToolCall("", storable(name), storable(arguments)),)
