"""Makes spans with the names that OpenTelemetry's conventions for generative AI give them.

A span is current only while what it tells of goes on, not while a generator rests. Content stays out of all of them
unless the settings ask for it. Knows nothing of where spans go.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_value, set_value
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode

from memagent import __version__
from memagent.telemetry.content import Content
from memagent.telemetry.numbers import Numbers

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider
    from opentelemetry.util.types import AttributeValue

    from memagent.settings import Settings

T = TypeVar("T")

PROVIDERS = {"azure": "azure.ai.openai"}
"""Who runs a model, where the conventions have another name for it than ours."""
HERE = ("embedded", "scripted", "local", "minilm", "inside")
"""Who runs a model in this process."""
MOST_TURNS = 4096
"""Of so many agents it is known which turn was the last, so that what is done behind it is linked to it."""
_AGENT = "memagent.agent"


class Spans:
    """Makes spans, and knows which of them belong to whom."""

    def __init__(self, traces: TracerProvider, meters: MeterProvider, settings: Settings) -> None:
        self._tracer = traces.get_tracer("memagent", __version__)
        self._turns: OrderedDict[str, SpanContext] = OrderedDict()
        self.numbers = Numbers(meters)
        self.content = Content(settings)

    def begun(
        self, name: str, about: Mapping[str, AttributeValue], kind: SpanKind = SpanKind.INTERNAL,
        parent: Context | None = None, links: Sequence[Link] = (),
    ) -> Span:  # fmt: skip
        """A span that begins now; within a turn, it tells whose."""
        agent = get_value(_AGENT, parent)
        own = {"gen_ai.conversation.id": str(agent), **about} if agent else about
        return self._tracer.start_span(name, parent, kind, own, links)

    def failing(self, span: Span, error: BaseException) -> None:
        """What a span tells of ends with this error. That somebody has left is none."""
        if not isinstance(error, Exception) or not getattr(error, "is_error", True):
            span.set_attribute("memagent.left", True)
            return
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(Status(StatusCode.ERROR, self.content.why(error) or None))

    @contextmanager
    def within(
        self, name: str, about: Mapping[str, AttributeValue], kind: SpanKind = SpanKind.INTERNAL
    ) -> Iterator[Span]:
        """A span that is current in this block."""
        span = self.begun(name, about, kind)
        token = attach(trace.set_span_in_context(span))
        try:
            yield span
        except BaseException as error:
            self.failing(span, error)
            raise
        finally:
            detach(token)
            span.end()

    def last_turn(self, agent: str, span: Span) -> None:
        """This is the newest turn of an agent."""
        self._turns[agent] = span.get_span_context()
        self._turns.move_to_end(agent)
        if len(self._turns) > MOST_TURNS:
            self._turns.popitem(last=False)

    def after_turn(self, agent: str) -> list[Link]:
        """The link to that turn, if there was one in this process."""
        turn = self._turns.get(agent)
        return [Link(turn)] if turn else []


def stepped(steps: Iterator[T], here: Context) -> T:
    """The next thing that a generator yields, while this context is current. Raises `StopIteration` as it does."""
    token = attach(here)
    try:
        return next(steps)
    finally:
        detach(token)


def of_agent(agent: str, context: Context | None = None) -> Context:
    """A context, this one if none is given, whose spans belong to an agent."""
    return set_value(_AGENT, agent, context)


def kind_of(provider: str) -> SpanKind:
    """Whether a model is asked elsewhere."""
    return SpanKind.INTERNAL if provider in HERE else SpanKind.CLIENT


def asking(operation: str, provider: str, model: str) -> dict[str, AttributeValue]:
    """What is told of every question to a model, in spans and numbers."""
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": PROVIDERS.get(provider, provider),
        "gen_ai.request.model": model,
    }
