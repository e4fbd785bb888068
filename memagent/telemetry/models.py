"""A model whose questions and answers are watched: how long, how many tokens, how soon it began, and why it ended.

Knows nothing of why it is asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry import trace

from memagent.llm import LLM, Answer, Heard, Piece, Request, Weighing
from memagent.telemetry.spans import Spans, asking, kind_of, stepped

if TYPE_CHECKING:
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue


class WatchedModel:
    """Another model, asked just the same. `watched` is who runs it."""

    def __init__(self, spans: Spans, llm: LLM, provider: str, address: str) -> None:
        self.model, self.window = llm.model, llm.window
        self.watched = provider
        self._spans = spans
        self._llm = llm
        self._kind = kind_of(provider)
        self._place = _place(address)

    def __getattr__(self, name: str) -> Any:
        if name == "_llm":  # not there yet
            raise AttributeError(name)
        return getattr(self._llm, name)

    def ask(self, request: Request) -> Iterator[Heard]:
        """What the model says, as it says it."""
        question = _Question(self._spans, self, request)
        heard = self._llm.ask(request)
        try:
            while True:
                try:
                    each = stepped(heard, question.here)
                except StopIteration:
                    return
                question.hear(each)
                yield each
        except BaseException as error:
            question.failing(error)
            raise
        finally:
            if (close := getattr(heard, "close", None)) is not None:
                close()
            question.end()

    def about(self) -> dict[str, AttributeValue]:
        """What is told of every question."""
        return {**asking("chat", self.watched, self.model), **self._place}

    def begun(self, request: Request) -> Span:
        """The span of a question."""
        told: dict[str, AttributeValue] = {**self.about(), **self._spans.content.asked(request)}
        if request.max_tokens:
            told["gen_ai.request.max_tokens"] = request.max_tokens
        return self._spans.begun(f"chat {self.model}", told, self._kind)


class WeighedModel(WatchedModel):
    """One that can also weigh words."""

    def weigh(self, request: Request, words: Sequence[str]) -> Sequence[float]:
        """What the model says of them."""
        assert isinstance(self._llm, Weighing)
        return self._llm.weigh(request, words)


def watched_model(spans: Spans, llm: LLM, provider: str, address: str) -> WatchedModel:
    """A model, watched; it can do what it could before."""
    kind = WeighedModel if isinstance(llm, Weighing) else WatchedModel
    return kind(spans, llm, provider, address)


class _Question:
    """A question that is being answered."""

    def __init__(self, spans: Spans, model: WatchedModel, request: Request) -> None:
        self._spans = spans
        self._about = model.about()
        self._span = model.begun(request)
        self.here = trace.set_span_in_context(self._span)
        self._began = time.perf_counter()
        self._first: float | None = None
        self._answer: Answer | None = None
        self._over = False

    def hear(self, each: Heard) -> None:
        """The next thing that is heard. The answer is the last: nobody may ask for more."""
        if isinstance(each, Piece) and self._first is None:
            self._first = time.perf_counter() - self._began
        if isinstance(each, Answer):
            self._answer = each
            self.end()

    def failing(self, error: BaseException) -> None:
        """It ends with this error."""
        if not self._over:
            self._spans.failing(self._span, error)
            self._about["error.type"] = type(error).__name__ if isinstance(error, Exception) else "cancelled"

    def end(self) -> None:
        """It is over."""
        if self._over:
            return
        self._over = True
        span, answer = self._span, self._answer
        if self._first is not None:
            span.set_attributes({
                "gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": self._first,
            })  # fmt: skip
        if answer:
            self._tell(answer)
        span.end()
        usage = answer.usage if answer else None
        self._spans.numbers.operation(self._about, time.perf_counter() - self._began, first=self._first, usage=usage)

    def _tell(self, answer: Answer) -> None:
        told: dict[str, AttributeValue] = {**self._spans.content.answered(answer)}
        told["gen_ai.response.finish_reasons"] = [answer.finish]
        if isinstance(answer.raw.get("model"), str):
            self._about["gen_ai.response.model"] = told["gen_ai.response.model"] = answer.raw["model"]
        if isinstance(answer.raw.get("id"), str):
            told["gen_ai.response.id"] = answer.raw["id"]
        if usage := answer.usage:
            told |= {"gen_ai.usage.input_tokens": usage.prompt, "gen_ai.usage.output_tokens": usage.completion}
            if usage.cached:
                told["gen_ai.usage.cache_read.input_tokens"] = usage.cached
        self._span.set_attributes(told)


def _place(address: str) -> dict[str, AttributeValue]:
    """Where a model is, without a login that the address may have in it."""
    found = urlsplit(address)
    if not found.hostname:
        return {}
    return {"server.address": found.hostname, "server.port": found.port or (443 if found.scheme == "https" else 80)}
