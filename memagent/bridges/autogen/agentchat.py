"""An agent of memagent as a chat agent of autogen-agentchat: alone, or in its teams.

All steps of a turn are one message. What it thinks and calls is told in the stream, as that world's own events, where
that was chosen. A turn that fails ends in a StopMessage that says why. Knows nothing of how an agent is opened.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from autogen_agentchat.agents import BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.messages import (
    BaseAgentEvent,
    BaseChatMessage,
    ModelClientStreamingChunkEvent,
    StopMessage,
    TextMessage,
    ThoughtEvent,
    ToolCallExecutionEvent,
    ToolCallRequestEvent,
)
from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import FunctionExecutionResult, RequestUsage

from memagent.bridges.autogen.joined import Joined, Show
from memagent.bridges.autogen.participant import AsyncPolicy, Participant, Policy, ReadsSources, deny
from memagent.bridges.autogen.running import Running
from memagent.events import Called, Delta, Event, Reply, Returned, Thought
from memagent.messages import SPEAK

ABOUT = "An agent that remembers, across conversations, what it was told."


class MemagentChatAgent(ReadsSources, BaseChatAgent):  # type: ignore[misc]
    """An agent that remembers. Its memory is its own: `on_reset` begins another conversation, and forgets nothing."""

    def __init__(
        self, participant: Participant, description: str = "", *, show: Show, inner: Show,
        approve: Policy | AsyncPolicy | None = None, stream: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(participant.name, description or ABOUT)
        self.participant = participant
        self._show, self._inner, self._stream = show, inner, stream
        self._approve = approve or deny

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage, StopMessage)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        """One turn, and its one message."""
        async with aclosing(self.on_messages_stream(messages, cancellation_token)) as happening:
            told = [each async for each in happening]
        return told[-1]

    async def on_messages_stream(
        self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken
    ) -> AsyncGenerator[BaseAgentEvent | BaseChatMessage | Response]:
        """One turn as it happens; its one message comes last."""
        heard = [(message.source, message.to_model_text()) for message in messages if message.source != self.name]
        joined = Joined(self.name, self._show, heard)
        running = Running(
            lambda approve: self.participant.turn(heard, approve), self._approve, self.participant.hang_up
        )
        cancellation_token.add_callback(running.cancel)
        inner: list[BaseAgentEvent] = []
        words = _Words(self.name)
        async with aclosing(running.events()) as happening:
            async for event in happening:
                joined.take(event)
                for chunk in words.of(event) if self._stream else ():
                    yield chunk
                for told in self._told(event):
                    inner.append(told)
                    yield told
        yield Response(chat_message=self._message(joined), inner_messages=inner)

    def _told(self, event: Event) -> Iterator[BaseAgentEvent]:
        """What the stream tells of an event, in that world's terms."""
        if isinstance(event, Thought) and self._inner.thoughts:
            yield ThoughtEvent(content=event.text, source=self.name)
        elif isinstance(event, Called) and self._inner.calls and event.name != SPEAK:
            given = json.dumps(event.arguments, ensure_ascii=False)
            call = FunctionCall(id=event.call_id, name=event.name, arguments=given)
            yield ToolCallRequestEvent(content=[call], source=self.name)
        elif isinstance(event, Returned) and self._inner.results and not (event.name == SPEAK and event.ok):
            result = FunctionExecutionResult(
                content=event.text, name=event.name, call_id=event.call_id, is_error=not event.ok
            )
            yield ToolCallExecutionEvent(content=[result], source=self.name)

    def _message(self, joined: Joined) -> BaseChatMessage:
        usage = joined.ended.usage if joined.ended else {}
        spent = RequestUsage(
            prompt_tokens=usage.get("prompt_tokens", 0), completion_tokens=usage.get("completion_tokens", 0)
        )
        kind = StopMessage if joined.failed else TextMessage
        about = {"failed": joined.failed.kind} if joined.failed else {}
        return kind(content=joined.text, source=self.name, models_usage=spent, metadata=about)

    # State ------------------------------------------------------------------------------------------------------------

    async def on_reset(self, cancellation_token: CancellationToken) -> None:  # noqa: ARG002
        """Begin another conversation. What the agent remembers stays."""
        self.participant.begin_anew()

    async def save_state(self) -> Mapping[str, Any]:
        """Which agent this is. What it remembers is stored already, and not in here."""
        return self.participant.state()

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """Check that the state is of this agent, which is as it was anyway."""
        self.participant.check_state(state)

    async def close(self) -> None:
        """Let the agent go; it is kept."""
        await asyncio.to_thread(self.participant.close)


class _Words:
    """The agent's words as the model writes them, with room between two replies."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._between = ""
        self._begun = False

    def of(self, event: Event) -> Iterator[BaseAgentEvent]:
        if isinstance(event, Delta) and event.kind == "reply":
            text = event.text if self._begun else f"{self._between}{event.text}"
            self._begun, self._between = True, ""
            yield ModelClientStreamingChunkEvent(content=text, source=self._name)
        elif isinstance(event, Reply):
            self._begun, self._between = False, "\n\n"
