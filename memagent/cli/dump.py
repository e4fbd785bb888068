"""`/dump`: the newest messages of a conversation as a person reads them, with what was thought and done in between.

Knows nothing of how they were stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from memagent.messages import Message

LONGEST = 160
"""How many characters of a call or a result are shown."""


@dataclass(frozen=True)
class Line:
    """One line of a conversation. `aside`: nobody said it."""

    text: str
    aside: bool = False


def lines(messages: Sequence[Message], agent: str) -> Iterator[Line]:
    """Messages, oldest first, as lines; a line may hold line breaks that were written in it."""
    day = ""
    for message in messages:
        if message.kind != "boot" and day != (day := f"{message.created:%A, %d %B %Y}"):
            yield Line(day, aside=True)
        yield from _shown(message, agent)


def _shown(message: Message, agent: str) -> Iterator[Line]:
    if message.kind == "answer":
        yield from _answered(message, agent)
    elif message.kind == "result":
        if message.said:
            yield Line(f"{agent}: {message.said}")
        else:
            told = _told(message)
            ok = told.get("status") == "OK"
            if not (ok and message.name == "send_message"):
                yield Line(f"  {'←' if ok else '✗'} {message.name}: {_short(told.get('message', ''))}", aside=True)
    elif message.kind == "user":
        yield Line(f"you: {message.said}")
    elif message.kind == "login":
        yield Line(f"  – you opened the chat at {message.created:%H:%M}", aside=True)
    elif message.kind != "boot":
        told = _told(message)
        mark = {"heartbeat": "♥", "alert": "!", "summary": "⇣ summary:"}[message.kind]
        yield Line(f"  {mark} {told.get('reason') or told.get('message', '')}", aside=True)


def _answered(message: Message, agent: str) -> Iterator[Line]:
    if reasoning := message.reasoning.strip():
        yield Line(f"  ({reasoning})", aside=True)
    if message.said:
        yield Line(f"{agent}: {message.said}")
    elif message.content.strip():
        yield Line(f"  ({message.content.strip()})", aside=True)
    for call in message.calls:
        if call.name != "send_message":
            given = {k: v for k, v in json.loads(call.arguments).items() if k != "request_heartbeat"}
            shown = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items())
            yield Line(f"  → {call.name}({_short(shown)})", aside=True)


def _told(message: Message) -> dict[str, Any]:
    try:
        told = json.loads(message.content)
    except ValueError:
        return {"message": message.content}
    return told if isinstance(told, dict) else {"message": message.content}


def _short(text: Any) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
