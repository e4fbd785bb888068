"""What is said and done in a conversation, and how the world is packaged into JSON that the model can read.

A `Message` is one row of the append-only log. `content` is what the model sees; `said` is what a person said or read,
and is what recall memory searches. Knows nothing of storage, of models or of how tokens are counted exactly.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
Kind = Literal["boot", "user", "login", "heartbeat", "alert", "answer", "result", "summary", "reminder"]

SPEAK = "send_message"
"""The function by which an agent speaks, if it does not speak plainly."""

LONGEST_SPEAKER = 64
"""Characters of the name of somebody else in a chat."""

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
_TEMPLATE_MARKS = re.compile(r"<(?=\||/?s>|(?:start|end)_of_turn>|<SYS>)|\[(?=/?INST\])")


@dataclass(frozen=True)
class ToolCall:
    """A function that the model asks for. `arguments` is a JSON object as text, valid by the time it is stored."""

    id: str
    name: str
    arguments: str


def digest(call: ToolCall) -> str:
    """A name for exactly this call with exactly these arguments."""
    return hashlib.sha256(f"{call.name}\0{call.arguments}".encode()).hexdigest()[:16]


def name_of(number: int) -> str:
    """A number in nine characters, the digits and small letters, as the name of a call."""
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits.rjust(9, "0")


@dataclass(frozen=True)
class Message:
    """One entry of the log. `seq` counts from 1 per agent and is the only order there is; 0 until it is stored. `name`
    is the function that a result is of, or who said it, where that was neither the agent nor its user. `reasoning` is
    what a model thought by itself before an answer: for people to read, no model sees it again.
    """

    role: Role
    kind: Kind
    content: str
    created: datetime
    said: str = ""
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    name: str | None = None
    seq: int = 0
    turn: int = 0
    reasoning: str = ""

    @cached_property
    def tokens(self) -> int:
        """About how many tokens this message fills, by a local estimate."""
        return 4 + estimate(self.content) + sum(8 + estimate(c.name) + estimate(c.arguments) for c in self.calls)


def estimate(text: str) -> int:
    """About how many tokens a text is: a quarter of its ASCII characters, four fifths of the others."""
    if text.isascii():
        return (len(text) + 3) // 4
    wide = len(text) - len(text.encode("ascii", "ignore"))
    return (len(text) - wide + 3) // 4 + (wide * 4 + 4) // 5


def storable(text: str) -> str:
    """The same text without what databases refuse or treat differently: NUL and lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return _LONE_SURROGATES.sub("\ufffd", text.replace("\0", "\ufffd"))


def stamp(moment: datetime) -> str:
    """A time as the model reads it: local, with weekday and offset."""
    return moment.strftime("%a %Y-%m-%d %H:%M:%S %z")


def as_json(data: Any) -> str:
    """Data as the model reads it. Models' templates find none of their own marks in it, such as <|im_end|>: else a
    text could end the message that it stands in, and begin another in somebody else's name.
    """
    return _TEMPLATE_MARKS.sub(lambda mark: f"\\u{ord(mark[0]):04x}", json.dumps(data, ensure_ascii=False))


def unmarked(text: str) -> str:
    """The same text to the eye, without marks of models' templates: for what is not sent as JSON."""
    return _TEMPLATE_MARKS.sub(lambda mark: f"{mark[0]}\u200b", text)


def _packed(**fields: Any) -> str:
    return as_json({k: v for k, v in fields.items() if v is not None})


def user_message(text: str, now: datetime, location: str = "") -> Message:
    """What the user wrote, with local time and, when set, the place."""
    text = storable(text)
    content = _packed(type="user_message", message=text, time=stamp(now), location=location or None)
    return Message("user", "user", content, now, said=text)


def told_by(who: str, text: str, now: datetime) -> Message:
    """What another one in the same chat said. What is below its first line is moved in, so that it can't pass for what
    a third one said.
    """
    who = " ".join(storable(who).split())[:LONGEST_SPEAKER]
    lines = storable(text.strip()).splitlines() or [""]
    below = [f"  {line}" if line else "" for line in lines]
    words = "\n".join([f"{who}:", *below]) if len(lines) > 1 else f"{who}: {lines[0]}"
    content = _packed(**{"type": "user_message", "from": who, "message": words, "time": stamp(now)})
    return Message("user", "user", content, now, said=words, name=who)


def login(now: datetime, last_login: datetime | None, location: str = "") -> Message:
    """The user has opened the chat."""
    last = stamp(last_login) if last_login else "never (first login)"
    content = _packed(type="login", last_login=last, time=stamp(now), location=location or None)
    return Message("user", "login", content, now)


def heartbeat(reason: str, now: datetime) -> Message:
    """The agent may go on without the user, and why."""
    return Message("user", "heartbeat", _packed(type="heartbeat", reason=reason, time=stamp(now)), now)


def alert(text: str, now: datetime) -> Message:
    """Something the agent must know, such as a context window that fills up."""
    return Message("user", "alert", _packed(type="system_alert", message=text, time=stamp(now)), now)


def reminder(text: str, now: datetime) -> Message:
    """What the agent may need to know now. It is told for a turn, and never stored."""
    return Message("user", "reminder", _packed(type="reminder", message=storable(text)), now)


PAUSE = "no_heartbeats_until"


def result(
    call: ToolCall, ok: bool, text: str, now: datetime, said: str = "", quiet_until: datetime | None = None
) -> Message:
    """What a function returned, or why it failed; `said` is what the agent spoke to the user through it, `quiet_until`
    how long it asked for no heartbeats.
    """
    pause = {PAUSE: quiet_until.isoformat()} if quiet_until else {}
    content = _packed(status="OK" if ok else "Failed", message=storable(text), time=stamp(now), **pause)
    return Message("tool", "result", content, now, said=said, call_id=call.id, name=call.name)


def summary(text: str, hidden: int, start: int, now: datetime) -> Message:
    """The agent's own summary of what is no longer in its window. `start` is the first message still there."""
    content = _packed(
        type="summary", hidden_messages=hidden, message=storable(text), first_visible=start, time=stamp(now)
    )
    return Message("user", "summary", content, now)


def answer(thoughts: str, calls: tuple[ToolCall, ...], said: str, now: datetime, reasoning: str = "") -> Message:
    """What the model answered: its thoughts (or plain reply), and the functions that it calls."""
    content = unmarked(storable(thoughts))
    return Message(
        "assistant", "answer", content, now, said=storable(said), calls=calls, reasoning=storable(reasoning)
    )  # fmt: skip


def first_words(words: str, now: datetime, *, plain: bool) -> list[Message]:
    """What a new agent has already said to the user, as if it had found these words itself."""
    words = storable(words)
    if plain:
        return [_woken(now), answer(words, (), words, now)]
    call = ToolCall("000000001", SPEAK, _packed(message=words))
    return [_woken(now), answer("", (call,), "", now), result(call, True, "Sent.", now, said=words)]


def boot_messages(now: datetime, words: str, thought: str) -> list[Message]:
    """The beginning of a conversation with an agent that speaks by function: an example of how it speaks."""
    call = ToolCall("000000000", SPEAK, _packed(message=words))
    return [
        _woken(now),
        Message("assistant", "boot", thought, now, calls=(call,)),
        Message("tool", "boot", _packed(status="OK", message="Sent."), now, call_id=call.id, name=call.name),
    ]


def _woken(now: datetime) -> Message:
    content = _packed(type="boot", message="You are switched on. Say a word.", time=stamp(now))
    return Message("user", "boot", content, now)
