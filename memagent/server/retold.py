"""A turn told from what is stored, as the events that it was: for whoever comes back too late to see them happen.

Knows nothing of who is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from memagent import events
from memagent.errors import StorageError
from memagent.events import Ending, Event
from memagent.memory.core import CoreMemory, Edit
from memagent.memory.log import MessageLog
from memagent.messages import SPEAK, Message
from memagent.server.ledger import Stored
from memagent.storage import Database

ENDINGS: tuple[Ending, ...] = ("done", "waiting", "interrupted", "failed")
CUT = "This was cut off."


def retold(database: Database, run: Stored) -> list[Event]:
    """What happened in a run that is over."""
    happened: list[Event] = []
    if run.turn is not None:
        messages = MessageLog(database, run.agent).of_turn(run.turn)
        happened += events_of(messages, CoreMemory(database, run.agent).of_turns(run.turn, run.turn))
    if run.state in ("failed", "interrupted"):
        happened.append(events.Failed(run.why or CUT))
    ending: Ending = next((each for each in ENDINGS if each == run.state), "interrupted")
    usage = {"prompt_tokens": run.prompt_tokens, "completion_tokens": run.completion_tokens}
    return [*happened, events.TurnEnded(ending, run.steps, usage)]


def events_of(messages: Sequence[Message], edits: Sequence[Edit]) -> Iterator[Event]:
    """What happened, by the messages of a turn and the edits of core memory in it."""
    for at, message in enumerate(messages):
        if at == 0:
            yield events.TurnStarted(message.turn, message.seq)
        if message.kind == "answer":
            if message.reasoning:
                yield events.Thought(message.reasoning)
            if message.content and not message.said:
                yield events.Thought(message.content)
            for call in message.calls:
                yield events.Called(call.id, call.name, json.loads(call.arguments))
            if message.said:
                yield events.Reply(message.said)
        elif message.kind == "result":
            yield from _returned(message, edits)
        elif message.kind == "heartbeat" and at:
            yield events.Heartbeat(_field(message, "reason"))
        elif message.kind == "summary":
            yield events.Compacted(int(_field(message, "hidden_messages") or 0), 0, 0, _field(message, "message"))


def _returned(message: Message, edits: Sequence[Edit]) -> Iterator[Event]:
    ok = _field(message, "status") == "OK"
    yield events.Returned(message.call_id or "", message.name or SPEAK, ok, _field(message, "message"))
    for edit in reversed(edits):
        if edit.call_id == message.call_id:
            yield events.MemoryEdited(edit.label, edit.before, edit.after, edit.version, edit.cause)
    if message.said:
        yield events.Reply(message.said)


def _field(message: Message, name: str) -> str:
    """A part of what the model was told in a message."""
    try:
        return str(json.loads(message.content).get(name, ""))
    except (ValueError, AttributeError) as error:
        raise StorageError(f"Message {message.seq} is damaged in the database.") from error
