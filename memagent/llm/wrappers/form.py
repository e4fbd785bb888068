"""In which form a model writes its calls as text: as JSON with names of its own for the parts, between marks of its
own.

What does not fit is read by `repair.split_calls`, which knows the forms of many models. Knows nothing of prompts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from memagent.errors import JSONParseError
from memagent.llm import Request, Schema
from memagent.llm.gbnf import Grammar, Part, chars, either, literal, sequence
from memagent.llm.grammars import calls_schema, value_of
from memagent.llm.patient_json import read_first
from memagent.llm.repair import split_calls
from memagent.llm.wrappers.describing import without_heartbeat
from memagent.llm.wrappers.guard import Guard
from memagent.messages import SPEAK, Message, ToolCall, storable

LONGEST_THOUGHT = 200
"""Characters that a thought may have where a grammar holds it: some models never come to an end."""
MOST_QUIET = 3
"""Calls before the last one that a grammar lets through."""
_SPACE = re.compile(r"\s*+")

Choices = Mapping[tuple[str, str], Sequence[str]]


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

    def grammar(self, request: Request) -> str:
        """The grammar (GBNF) of an answer: some calls of quiet functions, and one whose result must be heard. An agent
        that speaks plainly may write text instead.
        """
        grammar = Grammar()
        start = literal(f"{self.before}{{")
        lead = [literal(self.opens), start]
        if self.thoughts and not self.thoughts_inside:
            lead += [literal(f"{json.dumps(self.thoughts)}: "), self._thought(grammar), literal(", ")]
        quiet, last = self._bodies(grammar, request, first=False)
        first_quiet, first_last = self._bodies(grammar, request, first=True)
        options = [sequence(*lead, first_last, literal(self.closes))]
        if quiet is not None and first_quiet is not None:
            more = sequence(literal(self.between), start)
            again = grammar.repeated(sequence(quiet, more), 0, MOST_QUIET - 1, "more")
            options.append(sequence(*lead, first_quiet, more, again, last, literal(self.closes)))
        calls = grammar.add("calls", either(*options))
        if speaks_by_call(request.tools) or request.force:
            return grammar.text(calls)
        words = sequence(chars("^\\x00-\\x20{<`\\["), grammar.repeated(chars("^\\x00"), name="words"))
        return grammar.text(either(calls, words))

    def call(self, grammar: Grammar, tools: Sequence[Schema], choices: Choices) -> Part:
        """One call of one of these."""
        bodies = [self._body(grammar, tool, choices, thinks=False) for tool in tools]
        return sequence(literal(f"{self.before}{{"), either(*bodies))

    def _bodies(self, grammar: Grammar, request: Request, *, first: bool) -> tuple[Part | None, Part]:
        """Calls of quiet functions and of all others, from their names on; where there are no others, of these."""
        inside = first and self.thoughts_inside
        bodies = {
            str(tool["name"]): self._body(grammar, tool, request.choices, thinks=inside)
            for tool in request.tools if request.force in (None, tool["name"])
        }  # fmt: skip
        quiet = [body for name, body in bodies.items() if name in request.quiet]
        others = [body for name, body in bodies.items() if name not in request.quiet]
        if not quiet or not others:
            return None, grammar.add("last", either(*bodies.values()))
        return grammar.add("quiet", either(*quiet)), grammar.add("last", either(*others))

    def _body(self, grammar: Grammar, tool: Schema, choices: Choices, *, thinks: bool) -> Part:
        name = str(tool["name"])
        parameters = without_heartbeat(tool)["parameters"]
        of = {key: {"enum": list(choices[name, key])} for key in parameters["properties"] if choices.get((name, key))}
        properties, required = {**parameters["properties"], **of}, list(parameters.get("required", ()))
        if thinks:
            properties = {self.thoughts: {"type": "string", "maxLength": LONGEST_THOUGHT}, **properties}
            required = [self.thoughts, *required]
        arguments = value_of(grammar, {**parameters, "properties": properties, "required": required}, name)
        head = literal(f"{json.dumps(self.name)}: {json.dumps(name)}, {json.dumps(self.arguments)}: ")
        return grammar.add(f"call-{name}", sequence(head, arguments, literal(f"}}{self.after}")))

    def _thought(self, grammar: Grammar) -> Part:
        return value_of(grammar, {"type": "string", "maxLength": LONGEST_THOUGHT}, "thought")

    def schema(self, request: Request) -> dict[str, Any]:
        """The JSON Schema of one call."""
        thoughts = {"type": "string", "maxLength": LONGEST_THOUGHT}
        named = [without_heartbeat(tool) for tool in request.tools if request.force in (None, tool["name"])]
        first = {self.thoughts: thoughts} if self.thoughts and not self.thoughts_inside else None
        return calls_schema(named, self.name, self.arguments, first=first)

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
