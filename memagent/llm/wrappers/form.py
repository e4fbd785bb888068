"""In which form a model writes its calls as text: as JSON with names of its own for the parts, between marks of its
own.

What does not fit is read by `repair.split_calls`, which knows the forms of many models. Knows nothing of prompts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from memagent.errors import JSONParseError
from memagent.llm import Request, Schema
from memagent.llm.patient_json import read_first
from memagent.llm.repair import split_calls
from memagent.llm.wrappers.guard import Guard
from memagent.messages import SPEAK, Message, ToolCall, storable

_SPACE = re.compile(r"\s*+")


@dataclass(frozen=True)
class Form:
    """A call is `before` + `{name: …, arguments: …}` + `after`, the next one follows behind `between`; all of them
    stand between `opens` and `closes`. With `thoughts`, the first one begins with what the model thinks; or its
    arguments do, with `thoughts_inside`.
    """

    name: str = "function"
    arguments: str = "params"
    thoughts: str = ""
    thoughts_inside: bool = False
    before: str = ""
    after: str = ""
    between: str = "\n"
    opens: str = ""
    closes: str = ""

    def instruction(self, request: Request) -> str:
        """How to call functions, in words for the model."""
        if speaks_by_call(request.tools):
            return f"You act only by calling functions. Write each call like this, and nothing else:\n{self.example()}"
        return f"You can call functions. Write a call like this, and nothing else:\n{self.example()}"

    def example(self) -> str:
        """What a call looks like."""
        thinks = f'"{self.thoughts}": "what you think", ' if self.thoughts else ""
        before, inside = ("", thinks) if self.thoughts_inside else (thinks, "")
        call = f'{{{before}"{self.name}": "name", "{self.arguments}": {{{inside}…}}}}'
        return f"{self.opens}{self.before}{call}{self.after}{self.closes}"

    def grammar(self, tools: Sequence[Schema], force: str | None = None) -> str:
        """The grammar (GBNF) of an answer: some calls that leave the turn open, and one more."""
        raise NotImplementedError

    def schema(self, tools: Sequence[Schema], force: str | None = None) -> dict[str, Any]:
        """The JSON Schema of one call."""
        raise NotImplementedError

    def written(self, message: Message, guard: Guard | None = None) -> str:
        """An answer of the model's, just as it would write it."""
        guard = guard or Guard()
        content = guard.text(message.content)
        if not message.calls:
            return content
        calls: list[dict[str, Any]] = [
            {self.name: call.name, self.arguments: _loaded(call.arguments) or {}} for call in message.calls
        ]
        lead = ""
        if not self.thoughts:
            lead = f"{content}\n" if content else ""
        elif content and self.thoughts_inside:
            calls[0][self.arguments] = {self.thoughts: content, **calls[0][self.arguments]}
        elif content:
            calls[0] = {self.thoughts: content, **calls[0]}
        texts = [f"{self.before}{guard.json(call)}{self.after}" for call in calls]
        return f"{lead}{self.opens}{self.between.join(texts)}{self.closes}"

    def read(self, text: str, known: Sequence[str]) -> tuple[str, tuple[ToolCall, ...]]:
        """What the model says or thinks, and its calls."""
        if (found := self._call_begins.search(text)) and (exact := self._exact(text, found)):
            return exact
        said, calls = split_calls(text, known)
        if not calls:
            return said, calls
        thoughts = [said]
        plain = []
        for call in calls:
            arguments = _loaded(call.arguments)
            if self.thoughts and arguments and self.thoughts in arguments:
                thoughts.append(str(arguments.pop(self.thoughts)))
                call = _call(call.name, arguments)
            plain.append(call)
        return "\n".join(filter(None, thoughts)), tuple(plain)

    @cached_property
    def _call_begins(self) -> re.Pattern[str]:
        """Marks are not asked for: to many of them a token of its own belongs, which servers don't write out."""
        marks = "".join(rf"(?:{re.escape(mark)}\s*+)?" for mark in f"{self.opens} {self.before}".split())
        keys = "|".join(re.escape(json.dumps(key)) for key in (self.thoughts, self.name) if key)
        return re.compile(rf"{marks}(?=\{{\s*+(?:{keys})\s*+:)")

    def _exact(self, text: str, begin: re.Match[str]) -> tuple[str, tuple[ToolCall, ...]] | None:
        """The answer if from `begin` on it is in this very form, whatever functions it names; else None."""
        thoughts = [text[: begin.start()].strip()]
        calls: list[ToolCall] = []
        at = begin.end()
        while text.startswith("{", at):
            try:
                value, at = read_first(text, at)
            except (ValueError, JSONParseError):
                return None
            name, arguments = value.pop(self.name, None), value.pop(self.arguments, None)
            if not isinstance(name, str) or not isinstance(arguments, dict):
                return None
            thinking = arguments if self.thoughts_inside else value
            thought = thinking.pop(self.thoughts, "") if self.thoughts else ""
            if value or not isinstance(thought, str):
                return None
            thoughts.append(thought)
            calls.append(_call(name, arguments))
            for mark in (self.after, self.between, self.before):
                at = _behind(text, at, mark)
        whole = _behind(text, at, self.closes) == len(text)
        return ("\n".join(filter(None, thoughts)), tuple(calls)) if whole else None


def speaks_by_call(tools: Sequence[Schema]) -> bool:
    """Whether the agent speaks by calling a function, so that all else it writes is thought."""
    return any(tool["name"] == SPEAK for tool in tools)


def _behind(text: str, at: int, mark: str) -> int:
    """Where the text goes on behind a mark, if it stands there; blanks around it count for nothing."""
    for part in ("", mark.strip()):
        at += len(part) if text.startswith(part, at) else 0
        space = _SPACE.match(text, at)
        at = space.end() if space else at
    return at


def _call(name: str, arguments: dict[str, Any]) -> ToolCall:
    return ToolCall("", storable(name), storable(json.dumps(arguments, ensure_ascii=False)))


def _loaded(arguments: str) -> dict[str, Any] | None:
    try:
        loaded = json.loads(arguments)
    except (ValueError, RecursionError):
        return None
    return loaded if isinstance(loaded, dict) else None
