"""In which form a model writes its calls as text: as JSON with names of its own for the parts, between marks of its
own; and how an answer in that form is read while it is written.

What does not fit is read by `repair.split_calls`, which knows the forms of many models. Knows nothing of prompts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memagent.llm import Answer, Piece, Request, Schema, Usage
from memagent.llm.gbnf import Grammar, Part, chars, either, literal, sequence
from memagent.llm.grammars import calls_schema, value_of
from memagent.llm.repair import split_calls
from memagent.llm.thinking import Thinking
from memagent.llm.wrappers.describing import without_heartbeat
from memagent.llm.wrappers.tap import Tap
from memagent.messages import SPEAK, Message, ToolCall, storable

LONGEST = 2_000_000
LONGEST_THOUGHT = 200
"""Characters that a thought may have where a grammar holds it: some models never come to an end."""
MOST_MORE = 3
"""Calls before the last one that a grammar lets through."""
_OPENERS = "{<[`"

Choices = Mapping[tuple[str, str], Sequence[str]]


@dataclass(frozen=True)
class Form:
    """A call is `before` + `{name: …, arguments: …}` + `after`, the next one follows behind `between`; all of them
    stand between `opens` and `closes`. With `thoughts`, the first one begins with what the model thinks.
    """

    name: str = "function"
    arguments: str = "params"
    thoughts: str = ""
    before: str = ""
    after: str = ""
    between: str = "\n"
    opens: str = ""
    closes: str = ""

    def instruction(self, request: Request) -> str:
        """How to call functions, in words for the model."""
        thinks = f'"{self.thoughts}": "what you think", ' if self.thoughts else ""
        example = f'{self.before}{{{thinks}"{self.name}": "name", "{self.arguments}": {{…}}}}{self.after}'
        if speaks_by_call(request.tools):
            return f"You act only by calling functions. Write each call like this, and nothing else:\n{example}"
        return f"You can call functions. Write a call like this, and nothing else:\n{example}"

    def grammar(self, request: Request) -> str:
        """The grammar (GBNF) of an answer: some calls of quiet functions, and one whose result must be heard. An agent
        that speaks plainly may write text instead.
        """
        grammar = Grammar()
        bodies = {
            str(tool["name"]): self._body(grammar, tool, request.choices)
            for tool in request.tools if request.force in (None, tool["name"])
        }  # fmt: skip
        start = literal(f"{self.before}{{")
        parts = [literal(self.opens), start]
        if self.thoughts:
            thought = value_of(grammar, {"type": "string"}, self.thoughts, longest_string=LONGEST_THOUGHT)
            parts += [literal(f"{json.dumps(self.thoughts)}: "), thought, literal(", ")]
        quiet = [body for name, body in bodies.items() if name in request.quiet]
        others = [body for name, body in bodies.items() if name not in request.quiet]
        if quiet and others:
            one_more = sequence(grammar.add("quiet", either(*quiet)), literal(self.between), start)
            parts.append(grammar.repeated(one_more, 0, MOST_MORE, "more"))
        parts += [grammar.add("last", either(*(others or quiet))), literal(self.closes)]
        calls = grammar.add("calls", sequence(*parts))
        if speaks_by_call(request.tools) or request.force:
            return grammar.text(calls)
        words = sequence(chars("^\\x00-\\x20{<`\\["), grammar.repeated(chars("^\\x00"), name="words"))
        return grammar.text(either(calls, words))

    def _body(self, grammar: Grammar, tool: Schema, choices: Choices) -> Part:
        """A call from its name on."""
        name = str(tool["name"])
        parameters = without_heartbeat(tool)["parameters"]
        of = {key: {"enum": list(choices[name, key])} for key in parameters["properties"] if choices.get((name, key))}
        arguments = value_of(grammar, {**parameters, "properties": {**parameters["properties"], **of}}, name)
        head = literal(f"{json.dumps(self.name)}: {json.dumps(name)}, {json.dumps(self.arguments)}: ")
        return grammar.add(f"call-{name}", sequence(head, arguments, literal(f"}}{self.after}")))

    def schema(self, request: Request) -> dict[str, Any]:
        """The JSON Schema of one call."""
        thoughts = {"type": "string", "maxLength": LONGEST_THOUGHT}
        named = [without_heartbeat(tool) for tool in request.tools if request.force in (None, tool["name"])]
        first = {self.thoughts: thoughts} if self.thoughts else None
        return calls_schema(named, self.name, self.arguments, first=first)

    def written(self, message: Message) -> str:
        """An answer of the model's, just as it would write it."""
        if not message.calls:
            return message.content
        calls = [{self.name: call.name, self.arguments: _loaded(call.arguments)} for call in message.calls]
        lead = ""
        if self.thoughts:
            calls[0] = {self.thoughts: message.content, **calls[0]}
        elif message.content:
            lead = message.content + "\n"
        texts = [f"{self.before}{json.dumps(call, ensure_ascii=False)}{self.after}" for call in calls]
        return f"{lead}{self.opens}{self.between.join(texts)}{self.closes}"

    def read(self, text: str, known: Sequence[str]) -> tuple[str, tuple[ToolCall, ...]]:
        """What the model says or thinks, and its calls."""
        exact = self._exact(text)
        if exact is not None:
            return exact
        said, calls = split_calls(text, known)
        if not calls or not self.thoughts:
            return said, calls
        thoughts = [said] if said else []
        plain = []
        for call in calls:
            arguments = _loaded(call.arguments)
            if isinstance(thought := arguments.pop(self.thoughts, None), str):
                thoughts.append(thought)
            plain.append(ToolCall(call.id, call.name, json.dumps(arguments, ensure_ascii=False)))
        return "\n".join(thoughts), tuple(plain)

    def _exact(self, text: str) -> tuple[str, tuple[ToolCall, ...]] | None:
        """The answer if it is in this very form, whatever functions it names; else None."""
        begin = text.find(self.opens + self.before + "{")
        if begin < 0:
            return None
        decoder = json.JSONDecoder()
        thoughts = [text[:begin].strip()]
        calls: list[ToolCall] = []
        at = begin + len(self.opens)
        while text.startswith(self.before + "{", at):
            try:
                value, at = decoder.raw_decode(text, at + len(self.before))
            except (ValueError, RecursionError):
                return None
            thoughts.append(str(value.pop(self.thoughts, "")) if self.thoughts else "")
            name, arguments = value.get(self.name), value.get(self.arguments)
            if len(value) != 2 or not isinstance(name, str) or not isinstance(arguments, dict):
                return None
            calls.append(ToolCall("", name, json.dumps(arguments, ensure_ascii=False)))
            at = _behind(text, at, self.after)
            at = _behind(text, at, self.between)
        if text[_behind(text, at, self.closes) :].strip():
            return None
        return "\n".join(filter(None, thoughts)), tuple(calls)


def speaks_by_call(tools: Sequence[Schema]) -> bool:
    """Whether the agent speaks by calling a function, so that all else it writes is thought."""
    return any(tool["name"] == SPEAK for tool in tools)


def _behind(text: str, at: int, mark: str) -> int:
    """Where the text goes on behind a mark, if it stands there; blanks around it count for nothing."""
    mark = mark.strip()
    start = at + len(text[at:]) - len(text[at:].lstrip())
    return start + len(mark) if text.startswith(mark, start) else at


def _loaded(arguments: str) -> dict[str, Any]:
    try:
        loaded = json.loads(arguments)
    except (ValueError, RecursionError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


class Reader:
    """Reads one answer: its text goes in piece by piece, what can be shown comes out at once, the whole at the end."""

    def __init__(self, form: Form, tools: Sequence[Schema]) -> None:
        self._form = form
        self._names = [str(tool["name"]) for tool in tools]
        self._private = speaks_by_call(tools)
        self._tap = Tap(form.name, form.arguments, form.thoughts)
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
        if not self._names:
            if text:
                yield Piece("text", storable(text))
            return
        yield from self._heard(text)

    def _heard(self, text: str) -> Iterator[Piece]:
        """Words before the first mark of a call are shown as they are; behind it, what the calls say."""
        if not self._calling:
            opener = next((i for i, char in enumerate(text) if char in _OPENERS), len(text))
            if opener:
                yield Piece("text", storable(text[:opener]))
            self._calling, text = opener < len(text), text[opener:]
        for index, name, kind, part in self._tap.feed(text):
            if kind == "arguments":
                yield Piece("arguments", part, index, name)
            elif self._private:
                yield Piece("text", part)
            else:
                yield Piece("thought", part)

    def answer(self, finish: str, usage: Usage | None) -> Answer:
        """The whole answer."""
        thought, rest = self._thinking.rest()
        text = storable("".join([*self._text, rest]).strip())
        thoughts = storable("".join([*self._thoughts, thought]).strip())
        finish = "length" if self.full else finish
        calls: tuple[ToolCall, ...] = ()
        if self._names and text:
            said, calls = self._form.read(text, self._names)
            calls = calls or self._unfinished(finish)
            if calls and not self._private:
                thoughts, said = "\n".join(filter(None, (thoughts, said))), ""
            text = said if calls else text
        return Answer(text, thoughts, calls, finish, usage)

    def _unfinished(self, finish: str) -> tuple[ToolCall, ...]:
        """The call in the middle of which the answer was cut off."""
        name, arguments = self._tap.last
        return (ToolCall("", name, arguments),) if finish == "length" and name and arguments else ()
