"""The words in which a server tells of events over a WebSocket, both ways: an event as a message, and back.

It is the protocol that clients of this kind have long spoken, with more than it had: deltas, calls to approve, numbers
by which a client goes on where it left. Knows nothing of connections.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from memagent import events
from memagent.events import Event

NAME = "memagent"
"""Of the protocol, as a WebSocket is asked for it."""
KEY = "memagent.key."
"""How a key stands among the protocols that are asked for: browsers can send it nowhere else."""
MONOLOGUE, ASSISTANT, FUNCTION = "internal_monologue", "assistant_message", "function_message"
_NAMED: Mapping[str, type[Event]] = {
    "agent_response_start": events.TurnStarted,
    "agent_response_discarded": events.Discarded,
    "agent_response_waiting": events.Waiting,
    "agent_response_error": events.Failed,
    "agent_response_end": events.TurnEnded,
    "approval_request": events.ApprovalAsked,
    "memory_edited": events.MemoryEdited,
    "heartbeat": events.Heartbeat,
    "compacted": events.Compacted,
    "notice": events.Notice,
}
"""Events that are told with their own fields."""
_TYPES = {kind: name for name, kind in _NAMED.items()}
_SPOKEN: Mapping[str, Callable[[str], Event]] = {MONOLOGUE: events.Thought, ASSISTANT: events.Reply}


def told(event: Event) -> dict[str, Any]:
    """An event as a message."""
    match event:
        case events.Delta(kind, text):
            spoken = ASSISTANT if kind == "reply" else MONOLOGUE
            return {"type": "agent_response_delta", "message_type": spoken, "message": text}
        case events.Thought(text):
            return {"type": "agent_response", "message_type": MONOLOGUE, "message": text}
        case events.Reply(text):
            return {"type": "agent_response", "message_type": ASSISTANT, "message": text}
        case events.Called():
            return _function(f"Running {event.name}", "running", event) | {"arguments": event.arguments}
        case events.Returned():
            return _function(event.text, "success" if event.ok else "error", event)
    return {"type": _TYPES[type(event)], **vars(event)}


def heard(message: Mapping[str, Any]) -> Event | None:
    """The event that a message tells of; none, if it tells of something else, or is not understood."""
    try:
        return _heard(message)
    except (KeyError, TypeError):
        return None


def _function(words: str, status: str, event: events.Called | events.Returned) -> dict[str, Any]:
    return {
        "type": "agent_response", "message_type": FUNCTION, "message": words, "status": status,
        "call_id": event.call_id, "name": event.name,
    }  # fmt: skip


def _heard(message: Mapping[str, Any]) -> Event | None:
    kind, text = message["type"], message.get("message", "")
    if named := _NAMED.get(kind):
        return named(**{field.name: message[field.name] for field in fields(named) if field.name in message})
    if kind == "agent_response_delta":
        return events.Delta("reply" if message["message_type"] == ASSISTANT else "thought", text)
    if kind != "agent_response":
        return None
    if message["message_type"] != FUNCTION:
        return _SPOKEN[message["message_type"]](text)
    if message["status"] == "running":
        return events.Called(message["call_id"], message["name"], message["arguments"])
    return events.Returned(message["call_id"], message["name"], message["status"] == "success", text)
