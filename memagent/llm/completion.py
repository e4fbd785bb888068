"""Models that go on with a text: a server's way of being asked and a wrapper's way of writing make a model that is
asked like any other.

What goes over the wire is the server's business (servers/), what stands in the prompt the wrapper's (wrappers/).
Knows nothing of agents, and nothing of where its settings come from.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from typing import Any

from memagent.endpoints.failures import Setback
from memagent.llm import Answer, Piece, Request, Usage, Written
from memagent.llm.line import line_to
from memagent.llm.served import LEAST_ROOM, MOST_WORDS, ServedLLM
from memagent.llm.servers import Completion, Part, TextServer
from memagent.llm.wrappers import Question, Said, Wrapper
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

    def _heard(self, request: Request) -> Generator[Piece, None, Answer]:
        constraint = self.server.constraint if self._constrain and request.tools else ""
        return self._checked((yield from self.wrapper.asked(request, self._complete, constraint)))

    def _complete(self, question: Question) -> Generator[str, None, Said]:
        """One question, and what comes as an answer."""
        completion = self._completion(question)
        text = Text(self.server.heard)
        path, body = self.server.asked(completion)
        yield from self._listen(path, body, text)
        usage = self._counted(completion.prompt, "".join(text.parts), text.usage)
        return Said("length" if text.full else text.finish, usage, text.written)

    def _completion(self, question: Question) -> Completion:
        wanted = question.most or self._max_tokens or MOST_WORDS
        most = min(wanted, self._room(question.prompt, wanted))
        temperature = 0.0 if question.copied else self._temperature
        return Completion(
            question.prompt, self.model, self.window, (*question.stop, *self._stop), most, temperature,
            question.grammar, question.schema, {**self._sampling, **self._placed(question)}, question.weighed,
        )  # fmt: skip

    def _placed(self, _question: Question, /) -> Mapping[str, Any]:
        """What more is to be sent with a question."""
        return {}

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

    def __init__(self, heard: Callable[[Mapping[str, Any]], Part | None]) -> None:
        self.finish = ""
        self.full = False
        self.known = False
        self.usage: Usage | None = None
        self.parts: list[str] = []
        self.written: list[Written] = []
        self._heard = heard

    def hear(self, event: Mapping[str, Any]) -> Iterator[str]:
        """The next event of the answer."""
        part = self._heard(event)
        if part is None:
            return
        self.known = True
        self.finish, self.usage = self.finish or part.finish, part.usage or self.usage
        self.written += part.written
        if part.text:
            self.parts.append(part.text)
            yield part.text
