"""Models that go on with a text: a server's way of being asked and a wrapper's way of writing make a model that is
asked like any other.

What goes over the wire is the server's business (servers/), what stands in the prompt the wrapper's (wrappers/).
Knows nothing of agents, and nothing of where its settings come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from memagent.llm import Answer, Piece, Request, Usage
from memagent.llm.failures import Setback
from memagent.llm.line import line_to
from memagent.llm.served import LEAST_ROOM, MOST_WORDS, Hearing, ServedLLM
from memagent.llm.servers import Completion, TextServer
from memagent.llm.wrappers import Wrapper
from memagent.llm.wrappers.reader import Reader
from memagent.messages import estimate


class CompletionLLM(ServedLLM):
    """A model behind a text server. With `constrain`, its answers are held to the form of calls, where the server can.

    `sampling` goes into every request as it is, `stop` ends an answer beside the wrapper's own marks. What else can be
    set is what `Asking` takes.
    """

    def __init__(
        self, server: TextServer, wrapper: Wrapper, model: str, *, base_url: str = "", window: int = 0,
        api_key: str | None = None, temperature: float | None = None, max_tokens: int | None = None,
        timeout: float = 180.0, constrain: bool = True, sampling: Mapping[str, Any] | None = None,
        stop: tuple[str, ...] = (), key_name: str = "MEMAGENT_API_KEY", **patience: Any,
    ) -> None:  # fmt: skip
        line = line_to(server, model, base_url=base_url, api_key=api_key, timeout=timeout, key_name=key_name)
        super().__init__(server, line, window, **patience)
        self.wrapper = wrapper
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._constrain = constrain
        self._sampling = sampling or {}
        self._stop = stop

    def _question(self, request: Request) -> tuple[str, Mapping[str, Any], Hearing]:
        completion = self._completion(request)

        def counted(text: str, usage: Usage | None) -> Usage | None:
            return self._counted(completion.prompt, text, usage)

        return *self.server.asked(completion), Text(self.server.heard, self.wrapper.reader(request), counted)

    def _completion(self, request: Request) -> Completion:
        prompt = self.wrapper.prompt(request)
        wanted = request.max_tokens or self._max_tokens or MOST_WORDS
        most = min(wanted, self._room(prompt, wanted))
        constraint = self.server.constraint if self._constrain and request.tools else ""
        return Completion(
            prompt, self.model, self.window, (*self.wrapper.stop, *self._stop), most, self._temperature,
            self.wrapper.grammar(request) if constraint == "gbnf" else "",
            self.wrapper.schema(request) if constraint == "schema" else None,
            self._sampling,
        )  # fmt: skip

    def _room(self, prompt: str, wanted: int) -> int:
        """How many tokens the window leaves for an answer. Where that may be fewer than wanted, the server itself
        counts: some cut off the beginning of a prompt to make room.
        """
        tokens = int(estimate(prompt) * self._factor)
        if self.window - 2 * tokens < max(wanted, LEAST_ROOM):
            tokens = self._count(prompt) or tokens
        room = self.window - tokens
        if room < LEAST_ROOM:
            raise self._overflow(tokens)
        return room

    def _count(self, text: str) -> int | None:
        with suppress(Setback):  # what is wrong is told by the question itself
            return self.server.count(self.line.get, self.model, text)
        return None

    def _counted(self, prompt: str, text: str, usage: Usage | None) -> Usage | None:
        """What the answer cost, counted where the server does not say so unasked."""
        if usage is None and (tokens := self._count(prompt)):
            usage = Usage(tokens, self._count(text) or 0)
        self._learn(estimate(prompt), usage)
        return usage


class Text:
    """An answer that is a text, while it is heard."""

    def __init__(
        self, heard: Callable[[Mapping[str, Any]], Any], reader: Reader,
        counted: Callable[[str, Usage | None], Usage | None],
    ) -> None:  # fmt: skip
        self.finish = ""
        self.full = False
        self.known = False
        self._heard = heard
        self._reader = reader
        self._counted = counted
        self._usage: Usage | None = None
        self._text: list[str] = []

    def hear(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        """The next event of the answer."""
        part = self._heard(event)
        if part is None:
            return
        self.known = True
        self.finish, self._usage = self.finish or part.finish, part.usage or self._usage
        if part.text:
            self._text.append(part.text)
            yield from self._reader.hear(part.text)
        self.full = self._reader.full

    def answer(self) -> Answer:
        """All that was heard."""
        finish = "length" if self.full else self.finish
        return self._reader.answer(finish, self._counted("".join(self._text), self._usage))
