"""A turn as a span, with one below it for each function that is called; made from the events that the turn yields.

Knows nothing of how a turn goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

from memagent import events
from memagent.events import Event, Happening
from memagent.telemetry.spans import Spans, asking, of_agent, stepped
from memagent.watching import Acting

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

TOOL_ERROR = "tool_error"
"""A function failed, and nothing more is known of how."""


def watched_turn(spans: Spans, agent: Acting, happening: Happening[None]) -> Happening[None]:
    """The same events as they happen."""
    turn = _Turn(spans, agent)
    try:
        while True:
            try:
                event = stepped(happening, turn.here)
            except StopIteration:
                return
            turn.hear(event)
            yield event
            if isinstance(event, events.Called):  # it begins when whoever looks on has seen that it will
                turn.call(event)
    except BaseException as error:
        turn.failing(error)
        raise
    finally:
        happening.close()
        turn.end()


class _Turn:
    """A turn that goes on, and the function that runs in it now."""

    def __init__(self, spans: Spans, agent: Acting) -> None:
        self._spans = spans
        self._state = agent.state
        entry = agent.state.entry
        about: dict[str, AttributeValue] = {
            **asking("invoke_agent", getattr(agent.llm, "watched", "") or "memagent", agent.llm.model),
            "gen_ai.agent.id": entry.id,
            "gen_ai.agent.name": entry.name,
        }
        mine = of_agent(entry.id)
        self.span = spans.begun(f"invoke_agent {entry.name}", about, parent=mine)
        self._mine = self.here = trace.set_span_in_context(self.span, mine)
        self._tool: Span | None = None
        self._over = False

    def hear(self, event: Event) -> None:
        """What an event tells."""
        span = self.span
        if isinstance(event, events.TurnStarted):
            span.set_attribute("memagent.turn", event.turn)
            if self._state.run:
                span.set_attribute("memagent.run", self._state.run.id)
            self._spans.last_turn(self._state.entry.id, span)
        elif isinstance(event, events.Returned):
            self._returned(event)
        elif isinstance(event, events.Compacted):
            numbers = {"hidden": event.hidden, "before": event.before, "after": event.after}
            span.add_event("memagent.compacted", numbers)
        elif isinstance(event, events.ApprovalAsked):
            span.add_event("memagent.approval_asked", {"gen_ai.tool.name": event.name})
        elif isinstance(event, events.Failed):
            span.set_attribute("error.type", event.kind)
            span.set_status(Status(StatusCode.ERROR))
        elif isinstance(event, events.TurnEnded):
            span.set_attributes({"memagent.ending": event.ending, "memagent.steps": event.steps})
            span.set_attribute("gen_ai.usage.input_tokens", event.usage.get("prompt_tokens", 0))
            span.set_attribute("gen_ai.usage.output_tokens", event.usage.get("completion_tokens", 0))
            self.end()

    def call(self, event: events.Called) -> None:
        """A function begins."""
        about = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": event.name,
            "gen_ai.tool.call.id": event.call_id,
            "gen_ai.tool.type": "function",
            **self._spans.content.called(event.arguments),
        }
        self._tool = self._spans.begun(f"execute_tool {event.name}", about, parent=self._mine)
        self.here = trace.set_span_in_context(self._tool, self._mine)

    def _returned(self, event: events.Returned) -> None:
        if self._tool is None:
            return
        if not event.ok:
            if "error.type" not in (getattr(self._tool, "attributes", None) or {}):
                self._tool.set_attribute("error.type", TOOL_ERROR)
            self._tool.set_status(Status(StatusCode.ERROR))
        self._tool.set_attributes(self._spans.content.returned(event.text))
        self._let_go()

    def _let_go(self) -> None:
        if self._tool is not None:
            self._tool.end()
        self._tool, self.here = None, self._mine

    def failing(self, error: BaseException) -> None:
        """It ends with an error that it does not tell of; once it is over, that is nothing to it."""
        if not self._over:
            self._spans.failing(self.span, error)

    def end(self) -> None:
        """The turn is over, or was left."""
        if not self._over:
            self._over = True
            self._let_go()
            self.span.end()
