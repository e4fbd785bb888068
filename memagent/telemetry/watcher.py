"""Watches everything that is marked in watching.py, and tells of it in spans and numbers.

Knows nothing of where these go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import SpanKind, Status, StatusCode

from memagent.events import Happening
from memagent.telemetry.spans import Spans, asking, kind_of, of_agent, stepped
from memagent.telemetry.turns import watched_turn
from memagent.watching import METHODS, Acting, Answered, Count, Operation

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

R = TypeVar("R")
Y = TypeVar("Y")


class Telemetry:
    """Who watches."""

    def __init__(self, spans: Spans) -> None:
        self.spans = spans

    def turn(self, agent: Acting, happening: Happening[None]) -> Happening[None]:
        """A turn, and the functions that are called in it."""
        return watched_turn(self.spans, agent, happening)

    def embedded(self, embedder: Any, count: int, work: Callable[[], R]) -> R:
        """Texts become vectors."""
        provider = type(embedder).__module__.rpartition(".")[2]
        about = asking("embeddings", provider, embedder.model)
        began = time.perf_counter()
        with self.spans.within(f"embeddings {embedder.model}", about, kind_of(provider)) as span:
            span.set_attribute("memagent.embeddings.texts", count)
            vectors = work()
            span.set_attribute("gen_ai.embeddings.dimension.count", embedder.dimension)
        self.spans.numbers.operation(about, time.perf_counter() - began)
        return vectors

    def memory(self, operation: Operation, store: str, work: Callable[[], R], query: str) -> R:
        """A piece of work on memory."""
        with self.spans.within(operation, _memory(operation, store)) as span:
            result = work()
            records = _records(result)
            span.set_attribute("gen_ai.memory.record.count", len(records))
            if len(records) == 1 and operation != "search_memory" and (name := _name(records[0])):
                span.set_attribute("gen_ai.memory.record.id", name)
            span.set_attributes(self.spans.content.remembered(query, map(_text, records)))
        return result

    def behind(
        self, operation: Operation, store: str, agent: str, steps: Generator[Y, None, R], count: Count
    ) -> Generator[Y, None, R]:
        """Work on memory while nobody waits: a trace of its own, linked to the turn that it came after."""
        apart = of_agent(agent, Context())
        about = {**_memory(operation, store), "gen_ai.agent.id": agent}
        span = self.spans.begun(operation, about, parent=apart, links=self.spans.after_turn(agent))
        here = trace.set_span_in_context(span, apart)
        changed = 0
        try:
            while True:
                try:
                    step = stepped(steps, here)
                except StopIteration as end:
                    changed += bool(end.value)
                    return end.value  # type: ignore[no-any-return]
                changed += count(step)
                yield step
        except BaseException as error:
            self.spans.failing(span, error)
            raise
        finally:
            steps.close()
            span.set_attribute("gen_ai.memory.record.count", changed)
            span.end()

    def failed(self, kind: str) -> None:
        """What is current has failed in this way."""
        trace.get_current_span().set_attribute("error.type", kind)

    @contextmanager
    def request(self, scope: Mapping[str, Any]) -> Iterator[Answered]:
        """A request over HTTP. Who asks may have begun the trace. Of the address, only its form is told."""
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        about: dict[str, AttributeValue] = {"http.request.method": method, "url.scheme": scope["scheme"]}
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        began = time.perf_counter()
        span = self.spans.begun(method, about, SpanKind.SERVER, propagate.extract(headers))
        token = attach(trace.set_span_in_context(span))

        def answered(route: str, status: int) -> None:
            about.update({"http.route": route, "http.response.status_code": status})
            span.update_name(f"{method} {route}")
            if status >= 500:
                about["error.type"] = str(status)
                span.set_status(Status(StatusCode.ERROR))

        try:
            yield answered
        except BaseException as error:
            self.spans.failing(span, error)
            about["error.type"] = type(error).__name__
            raise
        finally:
            detach(token)
            span.set_attributes(about)
            span.end()
            self.spans.numbers.request(about, time.perf_counter() - began)


def _memory(operation: Operation, store: str) -> dict[str, AttributeValue]:
    return {"gen_ai.operation.name": operation, "gen_ai.memory.store.id": store}


def _records(result: Any) -> Sequence[Any]:
    """What was found or changed: a page, some, one, or nothing."""
    for name in ("results", "matches"):
        result = getattr(result, name, result)
    if result is None:
        return ()
    return result if isinstance(result, Sequence) and not isinstance(result, str) else (result,)


def _name(record: Any) -> str:
    return str(getattr(record, "label", "") or getattr(record, "id", "") or "")


def _text(record: Any) -> str:
    """The words of a record: what a block, a fact, a passage is now."""
    record = getattr(record, "fact", record)
    found = next((getattr(record, name) for name in ("after", "text") if hasattr(record, name)), record)
    return str(found)
