"""The words of the WebSocket: what a client may say, and how events are told.

It is the protocol that clients of this kind have long spoken, with more than it had: deltas, numbers by which a client
goes on where it left, calls to approve. Knows nothing of connections.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from memagent import events
from memagent.events import Event
from memagent.server.channel import Item

NAME = "memagent"
"""Of the protocol, as a WebSocket is asked for it."""
MONOLOGUE, ASSISTANT, FUNCTION = "internal_monologue", "assistant_message", "function_message"


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Config(_Form):
    """What a new agent is made of."""

    name: str = Field(min_length=1, max_length=200)
    preset: str | None = None
    persona: str | None = None
    human: str | None = None
    model: str | None = None


class Create(_Form):
    """Make an agent, and look at it."""

    type: Literal["command"]
    command: Literal["create_agent"]
    config: Config


class Load(_Form):
    """Look at an agent: from now on, or from behind the number of the last event that was seen."""

    type: Literal["command"]
    command: Literal["load_agent"]
    name: str
    after: int | None = Field(default=None, ge=0)


class Leave(_Form):
    """Look at an agent no more."""

    type: Literal["command"]
    command: Literal["leave_agent"]
    name: str


class Decide(_Form):
    """Let an agent call a function that it asked for, or not."""

    type: Literal["command"]
    command: Literal["approve"]
    name: str
    call_id: str
    digest: str
    approve: bool


class Cancel(_Form):
    """End what an agent is doing."""

    type: Literal["command"]
    command: Literal["cancel"]
    name: str


class UserMessage(_Form):
    """Say something to an agent: the one that was loaded last, if none is named."""

    type: Literal["user_message"]
    message: str = Field(min_length=1)
    agent_name: str | None = None
    otid: str | None = Field(default=None, max_length=200)


Command = Annotated[Create | Load | Leave | Decide | Cancel, Field(discriminator="command")]
_SAID: TypeAdapter[Command | UserMessage] = TypeAdapter(Annotated[Command | UserMessage, Field(union_mode="smart")])


def understood(text: str) -> Create | Load | Leave | Decide | Cancel | UserMessage:
    """What a client said. Raises `ValueError` that says why it can't be understood."""
    try:
        return _SAID.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(each) for each in first["loc"] if each not in ("command", "user_message"))
        raise ValueError(f"{place}: {first['msg']}" if place else str(first["msg"])) from error


def written(message: Mapping[str, Any]) -> str:
    """A message of the server as text."""
    return json.dumps(message, ensure_ascii=False, default=str)


def server_error(message: str) -> str:
    """Something that a client said could not be done."""
    return written({"type": "server_error", "message": message})


def told(item: Item) -> str:
    """An event as it is sent to all who look."""
    head = {"agent": item.agent, "run": item.run, "number": item.number}
    return written(TELLING.get(type(item.event), _other)(item.event) | head)


def _response(kind: str, message: str, **more: Any) -> dict[str, Any]:
    return {"type": "agent_response", "message_type": kind, "message": message, **more}


def _delta(event: Event) -> dict[str, Any]:
    assert isinstance(event, events.Delta)
    kind = ASSISTANT if event.kind == "reply" else MONOLOGUE
    return {"type": "agent_response_delta", "message_type": kind, "message": event.text}


def _called(event: Event) -> dict[str, Any]:
    assert isinstance(event, events.Called)
    return _response(
        FUNCTION, f"Running {event.name}", status="running", call_id=event.call_id, name=event.name,
        arguments=event.arguments,
    )  # fmt: skip


def _returned(event: Event) -> dict[str, Any]:
    assert isinstance(event, events.Returned)
    status = "success" if event.ok else "error"
    return _response(FUNCTION, event.text, status=status, call_id=event.call_id, name=event.name)


def _words(kind: str) -> Callable[[Event], dict[str, Any]]:
    return lambda event: _response(kind, event.text)  # type: ignore[attr-defined]


def _named(kind: str) -> Callable[[Event], dict[str, Any]]:
    return lambda event: {"type": kind, **vars(event)}


_other = _named("agent_event")
TELLING: Mapping[type[Event], Callable[[Event], dict[str, Any]]] = {
    events.TurnStarted: _named("agent_response_start"),
    events.Delta: _delta,
    events.Discarded: _named("agent_response_discarded"),
    events.Waiting: _named("agent_response_waiting"),
    events.Thought: _words(MONOLOGUE),
    events.Reply: _words(ASSISTANT),
    events.Called: _called,
    events.Returned: _returned,
    events.ApprovalAsked: _named("approval_request"),
    events.MemoryEdited: _named("memory_edited"),
    events.Heartbeat: _named("heartbeat"),
    events.Compacted: _named("compacted"),
    events.Notice: _named("notice"),
    events.Failed: _named("agent_response_error"),
    events.TurnEnded: _named("agent_response_end"),
}
"""How each kind of event is told; the suite finds one that is missing."""
