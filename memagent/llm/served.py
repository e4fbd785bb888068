"""Models behind a text server: one question and its answer, whatever the server and however it is asked.

What is asked, and how the answer is read, is told by whoever builds on it: as text (completion.py), or as a chat of the
server's own (ollama_chat.py). Knows nothing of agents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from memagent.endpoints.failures import Setback
from memagent.endpoints.line import Line
from memagent.errors import ContextOverflow
from memagent.llm import Answer, Usage
from memagent.llm.asking import Asking, Growing, heard_out
from memagent.llm.reading import objects
from memagent.llm.servers import TextServer

LEAST_ROOM = 32
"""Tokens that must be left for an answer."""
MOST_WORDS = 1024
"""Tokens of an answer, where nobody set a limit: some models never stop."""
PARTING = 1.0
"""Seconds for telling a server that nobody listens any more."""


Heard = TypeVar("Heard", covariant=True)


class Hearing(Growing, Protocol[Heard]):
    """An answer while it is heard. `known` says that what was sent is of the server's kind."""

    known: bool

    def hear(self, event: Mapping[str, Any]) -> Iterator[Heard]:
        """The next event of the answer."""
        ...


class ServedLLM(Asking):
    """A model of a text server."""

    def __init__(self, server: TextServer, line: Line, window: int, **patience: Any) -> None:
        super().__init__(line.endpoint, line.endpoint.model, window, **patience)
        self.server = server
        self.line = line
        self._factor = 1.0

    def warm_up(self) -> None:
        """Load what the first question needs."""
        self.line.open()

    def close(self) -> None:
        """Let the connections go. It can still be asked afterwards."""
        self.line.close()

    def hang_up(self) -> None:
        """Break off what another thread is asking now."""
        self.line.hang_up()

    def list_models(self) -> list[str]:
        """The names of the models there, the one in use first."""
        try:
            return [offer.name for offer in self.server.offers(self.line.get)]
        except Setback as setback:
            raise setback.error from None

    def find_window(self) -> int:
        """The context window that the model has there; 0 when the server does not say."""
        try:
            return self.server.window(self.line.get, self.model)
        except Setback as setback:
            raise setback.error from None

    def _listen(self, path: str, body: Mapping[str, Any], hearing: Hearing[Heard]) -> Iterator[Heard]:
        """Ask, and hear the answer to its end."""
        response = self.line.send("POST", path, body, self.endpoint.timeout)
        try:
            yield from heard_out(response, objects(self._chunks(response), self.endpoint), hearing.hear, hearing)
        finally:
            if not hearing.finish:
                self._leave(body)
        if not (hearing.finish or hearing.full):
            raise self.endpoint.broke("it did not come to its end") if hearing.known else self._foreign()

    def _checked(self, answer: Answer) -> Answer:
        if answer.usage and answer.usage.prompt >= self.window and not (answer.text or answer.calls):
            raise self._overflow(answer.usage.prompt)  # some servers say no more than nothing
        return answer

    def _foreign(self) -> Setback:
        return self.endpoint.not_compatible("its answer has another form")

    def _overflow(self, tokens: int) -> ContextOverflow:
        return ContextOverflow(
            f"The prompt has {tokens} tokens, and the window of {self.model} {self.window}.",
            hint="Set the context window to what the model really has, or shorten its core memory.",
        )

    def _learn(self, estimated: int, usage: Usage | None) -> None:
        """How far estimates are from what this model counts."""
        if usage and usage.prompt:
            self._factor = min(3.0, max(0.4, usage.prompt / max(1, estimated)))

    def _leave(self, body: Mapping[str, Any]) -> None:
        parting = self.server.left(body)
        if parting is not None:
            with suppress(Setback):
                self.line.get(*parting, timeout=PARTING)
