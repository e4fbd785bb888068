"""Ollama's own chat, at /api/chat: its OpenAI-compatible one can't be told how large the window is.

A model that can call functions is given them as such. One that can't is told of them in its system message, and its
answers are held to the form of a call by a schema. Knows nothing of agents.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

from memagent.llm import Answer, Piece, Request, Usage
from memagent.llm.completion import Text
from memagent.llm.draft import Draft
from memagent.llm.line import line_to
from memagent.llm.served import LEAST_ROOM, ServedLLM
from memagent.llm.servers import Completion, Part, TextServer, inside
from memagent.llm.servers.ollama import ended, settings
from memagent.llm.wrappers import Wrapper
from memagent.llm.wrappers.reader import Reader
from memagent.messages import Message, estimate

FEWER = 0.75
"""Tokens in JSON for each that is estimated, until an answer has told: what fits must not be refused."""
MOST_SAID = 4096
"""Tokens of an answer, where nobody set a limit: with room for thoughts."""


class OllamaChat(ServedLLM):
    """A model in Ollama, by the template that it has there. `calls` says whether it can call functions; `told` is how
    it is told of them, and how its calls are read, if it can't.
    """

    def __init__(
        self, server: TextServer, model: str, *, base_url: str = "", window: int = 0, api_key: str | None = None,
        temperature: float | None = None, max_tokens: int | None = None, timeout: float = 180.0,
        sampling: Mapping[str, Any] | None = None, stop: tuple[str, ...] = (), calls: bool = True,
        constrain: bool = True, told: Wrapper | None = None, key_name: str = "MEMAGENT_API_KEY", **patience: Any,
    ) -> None:  # fmt: skip
        line = line_to(server, model, base_url=base_url, api_key=api_key, timeout=timeout, key_name=key_name)
        super().__init__(server, line, window, **patience)
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._sampling = sampling or {}
        self._stop = stop
        self._calls = calls
        self._constrain = constrain
        self._told = told or Wrapper()
        self._factor = FEWER

    def _heard(self, request: Request) -> Generator[Piece, None, Answer]:
        plainly = bool(request.tools) and not self._calls
        body: dict[str, Any] = {"model": self.model}
        if request.tools and not plainly:
            # No function can be demanded by name: the one that must be called is the only one offered.
            offered = [tool for tool in request.tools if request.force in (None, tool["name"])]
            body["tools"] = [{"type": "function", "function": dict(tool)} for tool in offered]
        body["messages"] = _retold(self._told, request) if plainly else [_sent(message) for message in request.messages]
        estimated = estimate(json.dumps(body, ensure_ascii=False))
        if (tokens := int(estimated * self._factor)) > self.window - LEAST_ROOM:
            raise self._overflow(tokens)

        def counted(_text: str, usage: Usage | None) -> Usage | None:
            self._learn(estimated, usage)
            return usage

        body |= settings(self._completion(request, plainly))
        hearing = Plainly(self._told.reader(request), counted) if plainly else Chat(counted)
        yield from self._listen("/api/chat", body, hearing)
        return self._checked(hearing.answer())

    def _completion(self, request: Request, plainly: bool) -> Completion:
        most = request.max_tokens or self._max_tokens or min(MOST_SAID, self.window)
        schema = self._told.schema(request) if plainly and self._constrain else None
        return Completion(
            "", self.model, self.window, self._stop, most, self._temperature, schema=schema, sampling=self._sampling
        )


class Chat:
    """An answer of the chat, while it is heard."""

    def __init__(self, counted: Callable[[str, Usage | None], Usage | None]) -> None:
        self.finish = ""
        self.full = False
        self.known = False
        self._draft = Draft()
        self._calls = 0
        self._usage: Usage | None = None
        self._counted = counted

    def hear(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        """The next event of the answer."""
        message = event.get("message")
        if not isinstance(message, dict):
            return
        self.known = True
        self.finish, usage = ended(event)
        self._usage = usage or self._usage
        calls = message.get("tool_calls")
        calls = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        # Each call comes whole; their own numbers are not always there, and not always right.
        numbered = [{**call, "index": self._calls + index} for index, call in enumerate(calls)]
        self._calls += len(calls)
        delta = {
            "content": message.get("content"),
            "reasoning_content": message.get("thinking"),
            "tool_calls": numbered,
        }
        yield from self._draft.take({"choices": [{"delta": delta, "finish_reason": self.finish or None}]})
        self.full = self._draft.full

    def answer(self) -> Answer:
        """All that was heard."""
        found = self._draft.answer()
        finish = "length" if self.full else self.finish
        return Answer(found.text, found.thoughts, found.calls, finish, self._counted("", self._usage))


class Plainly(Text):
    """An answer of the chat that is a text in the form of calls, while it is heard."""

    def __init__(self, reader: Reader, counted: Callable[[str, Usage | None], Usage | None]) -> None:
        super().__init__(_heard)
        self._reader = reader
        self._counted = counted

    def hear(self, event: Mapping[str, Any]) -> Iterator[Any]:
        """The next event of the answer."""
        for text in super().hear(event):
            yield from self._reader.hear(text)
        self.full = self._reader.full

    def answer(self) -> Answer:
        """All that was heard."""
        finish = "length" if self.full else self.finish
        return self._reader.answer(finish, self._counted("".join(self.parts), self.usage))


def _heard(event: Mapping[str, Any]) -> Part | None:
    text = inside(event, "message", "content")
    return Part(text, *ended(event)) if isinstance(text, str) else None


def _sent(message: Message) -> dict[str, Any]:
    """One message as Ollama reads it: arguments are objects, and a result names its function."""
    sent: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.calls:
        sent["tool_calls"] = [
            {"id": call.id, "function": {"name": call.name, "arguments": json.loads(call.arguments)}}
            for call in message.calls
        ]
    elif message.role == "tool":
        sent |= {"tool_name": message.name or "", "tool_call_id": message.call_id or ""}
    return sent


def _retold(told: Wrapper, request: Request) -> list[dict[str, Any]]:
    """The conversation for a template that knows nothing of functions."""
    first, *rest = request.messages
    boot, rest = (first.content, rest) if first.role == "system" else ("", [first, *rest])
    described = told.describe(request, told.functions(request.tools))
    sent = [{"role": "system", "content": f"{described}\n\n{boot}"}]
    for message in rest:
        answered = message.role == "assistant"
        text = told.form.written(message) if answered else message.content
        sent.append({"role": "assistant" if answered else "user", "content": text})
    return sent
