"""A conversation out of an agent file, told to the log as if it had been held here: in turns, each call with a result
and an id of ours.

Knows nothing of where the file is from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from memagent.context import plain_summary
from memagent.listen import UNREADABLE
from memagent.memory.archival import ArchivalMemory
from memagent.memory.log import MessageLog
from memagent.messages import (
    SPEAK,
    Kind,
    Message,
    ToolCall,
    answer,
    name_of,
    result,
    storable,
    summary,
    user_message,
)
from memagent.persistence import MOST_STEPS, NOT_DONE
from memagent.server.rest.ids import CALLS
from memagent.storage import Database, Transaction

SUMMARY_WORDS = 150
MOST_CALLS = 16
EVENTS: dict[str, Kind] = {"login": "login", "heartbeat": "heartbeat", "system_alert": "alert"}


class Spoken(BaseModel):
    """A message of a file."""

    model_config = ConfigDict(extra="ignore")

    id: str | None = None
    role: str
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    created_at: datetime | None = None

    @property
    def text(self) -> str:
        """Its words."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part["text"] for part in self.content or () if isinstance(part.get("text"), str))


class Note(Protocol):
    """A note of a file."""

    @property
    def text(self) -> str: ...
    @property
    def tags(self) -> list[str] | None: ...
    @property
    def created_at(self) -> datetime | None: ...


def retell(
    database: Database, spoken: Sequence[Spoken], in_view: Sequence[str], notes: Sequence[Note]
) -> Callable[[Transaction, str, datetime], None]:
    """What stores messages and notes of an agent in the transaction that makes it."""

    def store(tx: Transaction, agent: str, now: datetime) -> None:
        log, archival = MessageLog(database, agent), ArchivalMemory(database, agent, None)
        telling = Telling(now)
        for each in spoken:
            telling.take(each)
        telling.settle()
        if telling.turns:
            _store(tx, log, agent, telling, set(in_view))
        for note in notes:
            if note.text.strip():
                archival.bring_in(tx, note.text, note.tags or (), "", _aware(note.created_at, now))

    return store


@dataclass
class Telling:
    """The conversation so far, in turns; with the id that each message had in the file."""

    now: datetime
    turns: list[list[tuple[Message, str]]] = field(default_factory=list)
    _open: dict[str, ToolCall] = field(default_factory=dict)

    def take(self, spoken: Spoken) -> None:
        """A message comes in. What has no meaning here falls away: other roles, results of calls that nobody made."""
        when, id = _aware(spoken.created_at, self.now), spoken.id or ""
        if spoken.role == "user" and spoken.text.strip():
            self.settle()
            self._add(_user(spoken.text, when), id, begins=True)
        elif spoken.role == "assistant":
            self.settle()
            self._answer(spoken, when, id)
        elif spoken.role == "tool" and spoken.tool_call_id in self._open:
            self._result(self._open.pop(spoken.tool_call_id), spoken.text, when, id)

    def settle(self) -> None:
        """Calls that never returned get a result that says so."""
        for call in self._open.values():
            self._add(result(call, False, NOT_DONE, self.now), "")
        self._open.clear()

    def _add(self, message: Message, id: str, *, begins: bool = False) -> None:
        if not self.turns or (begins and message.kind in ("user", "login")):
            self.turns.append([])
        self.turns[-1].append((message, id))

    def _answer(self, spoken: Spoken, when: datetime, id: str) -> None:
        if not self.turns:
            self.turns.append([])
        step = len(self.turns) * MOST_STEPS + sum(message.kind == "answer" for message, _ in self.turns[-1])
        calls: dict[str, ToolCall] = {}
        for at, asked in enumerate((spoken.tool_calls or [])[:MOST_CALLS]):
            function = asked.get("function") if isinstance(asked.get("function"), dict) else asked
            assert isinstance(function, dict)
            name, arguments = str(function.get("name") or "unnamed"), _arguments(function.get("arguments"))
            calls[str(asked.get("id", at))] = ToolCall(name_of(step * CALLS + at), storable(name), arguments)
        text = spoken.text.strip()
        if calls or text:
            said = "" if calls else text
            self._add(answer(text, tuple(calls.values()), said, when), id)
            self._open = calls

    def _result(self, call: ToolCall, text: str, when: datetime, id: str) -> None:
        told = _object(text)
        ok = str(told.get("status", "OK")).lower() in ("ok", "success")
        said = str(json.loads(call.arguments).get("message", "")) if call.name == SPEAK and ok else ""
        message = told.get("message", text) if told else text
        shown = message if isinstance(message, str) else json.dumps(message)
        self._add(result(call, ok, shown, when, storable(said)), id)


def _store(tx: Transaction, log: MessageLog, agent: str, telling: Telling, in_view: set[str]) -> None:
    """Store the turns. What the model did not see any more is summed up."""
    stored: list[tuple[Message, str]] = []
    for number, turn in enumerate(telling.turns, start=1):
        messages = [message for message, _ in turn]
        steps = sum(message.kind == "answer" for message in messages)
        began, ended = messages[0].created.isoformat(), messages[-1].created.isoformat()
        tx.run(
            "INSERT INTO turns (agent, turn, state, steps, started, ended) VALUES (?, ?, 'done', ?, ?, ?)",
            agent, number, steps, began, ended,
        )  # fmt: skip
        stored += zip(log.append(tx, messages, number), [id for _, id in turn], strict=True)
    first = next((at for at, (_, id) in enumerate(stored) if id in in_view), 0)
    while first and stored[first][0].role == "tool":
        first -= 1  # a result is never parted from its call
    if first:
        hidden = [message for message, _ in stored[:first]]
        text = plain_summary(hidden, SUMMARY_WORDS)
        made = summary(text, len(hidden), stored[first][0].seq, telling.now)
        log.append(tx, [made], len(telling.turns))
    tx.run(  # nothing of it is read for facts unasked: that may be years, and a model is asked for each bit
        "INSERT INTO fact_readers (agent, seq, tries, changed) VALUES (?, ?, 0, ?)",
        agent, stored[-1][0].seq + (1 if first else 0), telling.now.isoformat(),
    )  # fmt: skip


def _user(text: str, when: datetime) -> Message:
    """What a user's message of a file is: words, or an event, which that world packs alike."""
    packed = _object(text)
    kind = EVENTS.get(str(packed.get("type")))
    if kind:
        return Message("user", kind, storable(text), when)
    words = packed.get("message") if packed.get("type") == "user_message" else None
    return user_message(words if isinstance(words, str) and words else text, when)


def _object(text: str) -> dict[str, Any]:
    """An object that stands in a text as JSON, even as JSON within JSON; empty if there is none."""
    for found in _unwrapped(text):
        if isinstance(found, dict):
            return found
    return {}


def _unwrapped(text: str) -> Iterator[Any]:
    found: Any = text
    for _ in range(3):
        if not isinstance(found, str) or not found.lstrip().startswith(("{", '"')):
            return
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            return
        yield found


def _arguments(given: Any) -> str:
    """Arguments of a call as an object in JSON."""
    found = given if isinstance(given, dict) else _object(str(given or "{}"))
    if not found and given not in (None, "", "{}", {}):
        found = {UNREADABLE: str(given)}
    return storable(json.dumps(found))


def _aware(moment: datetime | None, now: datetime) -> datetime:
    """A time with its zone; what is out of all range is now."""
    try:
        return moment.astimezone() if moment else now
    except (OverflowError, ValueError, OSError):
        return now
