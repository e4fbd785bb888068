"""What reaches a model, told in a text: the events as JSON as they are stored, or tersely for models that read slowly.

Knows nothing of how messages are marked off from each other.
"""

from __future__ import annotations

import json

from memagent.messages import SPEAK, Message, unmarked

SILENCE = 3600.0
"""Seconds after which the time is told again."""


def told(message: Message, before: Message | None, *, terse: bool) -> str:
    """An event, a message of the user's, or a function's result. `before` is the message that came before it."""
    if not terse:
        return message.content
    try:
        fields = json.loads(message.content)
    except ValueError:
        return message.content
    if not isinstance(fields, dict):
        return message.content
    return unmarked(_tersely(message, before, {key: str(value) for key, value in fields.items()}))


def tells_nothing(message: Message) -> bool:
    """Whether a message, told tersely, is nothing that the model does not know: that its words were said."""
    return message.role == "tool" and message.name == SPEAK and '"status": "OK"' in message.content[:20]


def _tersely(message: Message, before: Message | None, fields: dict[str, str]) -> str:
    words = fields.get("message", fields.get("reason", ""))
    if message.role == "tool":
        return words if fields.get("status") == "OK" else f"Failed: {words}"
    when = f"({message.created:%a %Y-%m-%d %H:%M}) " if _late(message, before) else ""
    if message.kind == "user":
        return when + words
    if message.kind == "login":
        return (
            f"{when}[The user is here{' for the first time' if 'never' in fields.get('last_login', '') else ' again'}.]"
        )
    if message.kind == "summary":
        return f"[What happened before, as you noted it: {words}]"
    return f"[{words}]"


def _late(message: Message, before: Message | None) -> bool:
    if before is None:
        return True
    return abs((message.created - before.created).total_seconds()) > SILENCE
