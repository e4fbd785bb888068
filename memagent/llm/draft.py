"""A model's answer while it is being heard: pieces go in as they arrive, the whole answer comes out.

What arrives is untrusted: any field can be missing, null or of another type, and it need not end.
Knows nothing of connections.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from memagent.llm import Answer, Piece, Usage
from memagent.llm.thinking import Thinking
from memagent.messages import ToolCall, storable

LONGEST = 2_000_000
MOST_CALLS = 64


@dataclass
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class Draft:
    """`finish` says why the model stopped, as soon as it did; `full` that more was said than is taken in."""

    def __init__(self, longest: int = LONGEST, most_calls: int = MOST_CALLS) -> None:
        self.finish = ""
        self.full = False
        self._room = longest
        self._most_calls = most_calls
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[_Call] = []
        self._at: dict[int, int] = {}
        self._halves: dict[object, str] = {}
        self._thinking = Thinking()
        self._usage: Usage | None = None
        self._raw: dict[str, Any] = {}
        self._whole = False

    def hear(self, part: Mapping[str, Any] | None) -> Iterator[Piece]:
        """The next part, or None where the endpoint says that this was all."""
        if part is None:
            self.done()
        else:
            yield from self.take(part)

    def take(self, chunk: Mapping[str, Any]) -> Iterator[Piece]:
        """The next part of the answer, or all of it at once, as the endpoint sent it."""
        self._usage = counted(chunk.get("usage")) or self._usage
        for key in ("id", "model"):
            if isinstance(chunk.get(key), str):
                self._raw.setdefault(key, chunk[key])
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or self.full:
            return
        self._whole = self._whole or "message" in choice
        part = choice.get("delta") or choice.get("message")
        if isinstance(part, dict):
            yield from self._words(part)
            calls = part.get("tool_calls")
            for call in calls if isinstance(calls, list) else ():
                if isinstance(call, dict) and not self.full:
                    yield from self._call(call)
        if isinstance(choice.get("finish_reason"), str):
            self.finish = choice["finish_reason"]

    def done(self) -> None:
        """The endpoint says that this was all. Of a stream that is believed only if there was nothing in it."""
        if self._whole or not (self._text or self._thoughts or self._calls):
            self.finish = self.finish or "stop"

    def answer(self) -> Answer:
        """All that was heard."""
        thought, speech = self._thinking.rest()
        text = "".join([*self._text, speech])
        calls = [ToolCall(call.id, call.name, "".join(call.arguments)) for call in self._calls]
        finish = "length" if self.full else self.finish or "stop"
        return Answer(text, "".join([*self._thoughts, thought]), tuple(calls), finish, self._usage, self._raw)

    def _words(self, part: Mapping[str, Any]) -> Iterator[Piece]:
        thought, speech = _spoken(part.get("content"))
        for key in ("reasoning_content", "reasoning"):
            if isinstance(part.get(key), str):
                thought += part[key]
                break
        if isinstance(part.get("refusal"), str):
            speech += part["refusal"]
        aside, speech = self._thinking.part(self._clean("text", speech))
        thought = self._clean("thought", thought) + aside
        if thought := self._fitting(thought):
            self._thoughts.append(thought)
            yield Piece("thought", thought)
        if speech := self._fitting(speech):
            self._text.append(speech)
            yield Piece("text", speech)

    def _call(self, sent: Mapping[str, Any]) -> Iterator[Piece]:
        place = self._place(sent)
        if place is None:
            return
        call = self._calls[place]
        function = sent.get("function")
        function = function if isinstance(function, dict) else {}
        name, arguments = function.get("name"), function.get("arguments")
        if isinstance(name, str) and not call.name:
            call.name = self._fitting(self._clean((place, "name"), name)[:256])
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments, ensure_ascii=False)
        if isinstance(arguments, str) and (arguments := self._fitting(self._clean(place, arguments))):
            call.arguments.append(arguments)
            yield Piece("arguments", arguments, place, call.name)

    def _place(self, sent: Mapping[str, Any]) -> int | None:
        """Which call this is a part of. Some endpoints leave out the index, some say 0 for each."""
        index, id_, function = sent.get("index"), sent.get("id"), sent.get("function")
        id_ = id_ if isinstance(id_, str) else ""
        function = function if isinstance(function, dict) else {}
        named = bool(function.get("name"))
        if not isinstance(index, int):
            another = not self._calls or (named and self._calls[-1].name)
            index = len(self._calls) if another else len(self._calls) - 1
        place = self._at.get(index)
        if place is None or (named and _another(self._calls[place], id_, function.get("arguments"))):
            if len(self._calls) >= self._most_calls:
                self.full = True
                return None
            place = self._at[index] = len(self._calls)
            self._calls.append(_Call(self._unused(id_)))
        return place

    def _unused(self, id_: str) -> str:
        """An id for a call: the endpoint's own if it is new here. Nine letters and digits suit all of them."""
        if id_ and len(id_) <= 256 and all(call.id != id_ for call in self._calls):
            return storable(id_)
        return secrets.token_hex(5)[:9]

    def _fitting(self, text: str) -> str:
        if len(text) > self._room:
            self.full = True
            text = text[: self._room]
        self._room -= len(text)
        return text

    def _clean(self, channel: object, text: str) -> str:
        """Characters that were cut into surrogates, whole again, also when the halves come in two pieces."""
        text = self._halves.pop(channel, "") + text
        if text.isascii():
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            self._halves[channel] = text[-1]
            text = text[:-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _another(call: _Call, id_: str, arguments: object) -> bool:
    """Whether a part with a name begins another call than this one at the same index. The name may come last."""
    if not call.name:
        return False
    begins = isinstance(arguments, dict) or (isinstance(arguments, str) and arguments.lstrip().startswith("{"))
    return (bool(id_) and id_ != call.id) or (begins and _whole("".join(call.arguments)))


def _whole(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


def _spoken(content: object) -> tuple[str, str]:
    """Thoughts and text of a content, which is a text or (with some endpoints) a list of parts."""
    if isinstance(content, str):
        return "", content
    thoughts, text = "", ""
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        if isinstance(part.get("text"), str):
            text += part["text"]
        thinking = part.get("thinking")
        thoughts += thinking if isinstance(thinking, str) else _spoken(thinking)[1]
    return thoughts, text


def counted(sent: object) -> Usage | None:
    """Tokens as OpenAI's `usage` tells them; None where nothing was counted."""
    if not isinstance(sent, dict):
        return None
    details = sent.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else sent.get("prompt_cache_hit_tokens")
    prompt, completion = _count(sent.get("prompt_tokens")), _count(sent.get("completion_tokens"))
    return Usage(prompt, completion, _count(cached)) if prompt or completion else None


def _count(number: object) -> int:
    return number if isinstance(number, int) and 0 < number < 2**53 else 0
