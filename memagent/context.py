"""What the model sees: one system message, then the window; how full that is; and what leaves it when it is too full.

All of it is computed from messages that are handed in; nothing is stored here, and no model is asked. Knows nothing of
storage, tools' code or the loop.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any

from memagent.messages import Message, estimate

REPLY_ROOM = 512
"""Tokens kept free for the answer, at the least."""
WORD_TOKENS = 3
"""Tokens that a word may have, at the most; so words are counted in scripts that put no spaces between them."""
_BEGINNINGS = ("user", "login", "heartbeat", "alert")


@dataclass(frozen=True)
class Limits:
    """How full the window may be: at `warn_at` the agent is warned, at `compact_at` the old leaves it, down to
    `compact_to`.
    """

    window: int = 8192
    warn_at: float = 0.75
    compact_at: float = 0.9
    compact_to: float = 0.3
    summary_words: int = 150


@dataclass
class Gauge:
    """Counts tokens: a local estimate, corrected by what the provider counted for the last request."""

    factor: float = 1.0

    def learn(self, estimated: int, counted: int) -> None:
        """Compare an estimate with the provider's count of the same prompt."""
        if estimated > 0 and counted > 0:
            self.factor = min(3.0, max(0.4, counted / estimated))

    def of(self, messages: Sequence[Message], more: int = 0) -> int:
        """About how many tokens these messages fill, and what was estimated beside them."""
        return int(self.factor * (sum(m.tokens for m in messages) + more))


def tool_tokens(tools: Sequence[Mapping[str, Any]]) -> int:
    """About how many tokens the schemas of tools fill."""
    return sum(8 + estimate(json.dumps(tool)) for tool in tools)


def system_message(prompt: str, core: str, now: datetime, waking: str = "") -> Message:
    """The beginning of the window; it changes only when core memory does, or what the agent wakes with."""
    return Message("system", "boot", "\n\n".join([prompt.strip(), core, *([waking] if waking else [])]), now)


def parts(
    system: str, core: str, window: Sequence[Message], tools: Sequence[Mapping[str, Any]], gauge: Gauge,
    waking: str = "",
) -> list[tuple[str, int]]:  # fmt: skip
    """What fills the window, in tokens, by part."""
    counts: dict[str, int] = {
        "system prompt": estimate(system) + 4,
        "core memory": estimate(core),
        **({"waking": estimate(waking)} if waking else {}),
        "functions": tool_tokens(tools),
    }
    names = {"user": "user", "answer": "agent", "result": "results", "summary": "summary", "reminder": "reminders"}
    for message in window:
        name = names.get(message.kind, "events")
        counts[name] = counts.get(name, 0) + message.tokens
    return [(name, int(gauge.factor * count)) for name, count in counts.items()]


def cut(window: Sequence[Message], budget: int, most: int, gauge: Gauge) -> int:
    """Where to cut: the index of the first message to keep, so that what is kept fits into `budget` tokens; 0 when
    there is nothing to cut.

    A call is never parted from its result. What the user said last stays if it fits into `most` tokens, and with it
    what came after, if that is not too much; else its older steps go, and the summary tells what the user asked (see
    `pending_question`).
    """
    first = 1 if window and window[0].kind == "summary" else 0
    places = [i for i in range(first + 1, len(window)) if window[i].role != "tool"]
    if not places:
        return 0
    sizes = [int(gauge.factor * tokens) for tokens in accumulate(m.tokens for m in reversed(window))][::-1]
    newest = next((i for i in reversed(places) if window[i].kind in ("user", "login")), first)
    for i in places:
        if i <= newest and window[i].kind in _BEGINNINGS and sizes[i] <= budget:
            return i
    begun = any(m.role == "assistant" for m in window[newest:])
    room = min(most, 2 * budget) if begun else most
    if newest > first and sizes[newest] <= room:
        return newest
    last_step = max((i for i in places if window[i].role == "assistant"), default=0)
    later = [i for i in places if newest < i <= last_step]
    return next((i for most in (budget, room) for i in later if sizes[i] <= most), places[-1])


def pending_question(turn: Sequence[Message], first_kept: int) -> str:
    """What the user is waiting for an answer to in this turn, if that message is not in the window from `first_kept`
    on.
    """
    asked = next((m for m in reversed(turn) if m.kind == "user"), None)
    if asked is None or asked.seq >= first_kept or any(m.said for m in turn if m.role != "user"):
        return ""
    return asked.said


def transcript(messages: Sequence[Message], most: int = 1500) -> str:
    """Messages as lines for a reader; each message no longer than `most` characters."""
    return "\n".join(_clip("\n".join(_lines(message)), most) for message in messages)


def _lines(message: Message) -> Iterator[str]:
    if message.kind == "user":
        yield message.said if message.name else f"User: {message.said}"  # others' words begin with their names
    elif message.kind == "summary":
        yield f"Earlier summary: {_told(message)}"
    elif message.kind == "result":
        yield f"[{message.name} returned: {message.content}]"
    elif message.role == "assistant":
        if message.said:
            yield f"I said: {message.said}"
        elif message.content:
            yield f"I thought: {message.content}"
        for call in message.calls:
            yield f"I called {call.name}({call.arguments})"
    else:
        yield f"[{message.content}]"


def _clip(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    head = (most - 3) * 2 // 3
    return f"{text[:head]} … {text[len(text) - (most - 3 - head) :]}"


def portions(messages: Sequence[Message], budget: int) -> Iterator[list[Message]]:
    """The messages in portions whose transcripts each fit into `budget` tokens, to be summarised one after the other;
    a message that does not fit is a portion of its own.
    """
    portion: list[Message] = []
    size = 0
    for message in messages:
        tokens = estimate(transcript([message])) + 1
        if portion and size + tokens > budget:
            yield portion
            portion, size = [], 0
        portion.append(message)
        size += tokens
    if portion:
        yield portion


def within_words(text: str, words: int) -> str:
    """The text, cut after so many words, and after three times as many tokens."""
    kept = text.split()
    shortened = " ".join(kept[:words]) if len(kept) > words else text.strip()
    while (tokens := estimate(shortened)) > words * WORD_TOKENS:
        shortened = shortened[: len(shortened) * words * WORD_TOKENS // tokens].rstrip()
    return shortened if len(kept) <= words and shortened == text.strip() else f"{shortened} …"


def plain_summary(messages: Sequence[Message], words: int) -> str:
    """A summary made without a model, for when the model fails at it: half of it for the summary before, then the
    beginning of each thing that was said, the newest kept longest.
    """
    earlier = [_told(message) for message in messages if message.kind == "summary"]
    start = [within_words(earlier[-1], words // 2)] if earlier else []
    lines = [_clip(line, 160) for message in messages if message.kind in ("user", "answer") for line in _lines(message)]
    kept: list[str] = []
    room = words - sum(map(_words, start))
    for line in reversed(lines):
        room -= _words(line)
        if room < 0 and (kept or start):
            break
        kept.insert(0, line)
    return within_words("\n".join(start + kept), words)


def _words(text: str) -> int:
    return max(len(text.split()), estimate(text) // WORD_TOKENS + 1)


def _told(summary: Message) -> str:
    return str(json.loads(summary.content)["message"])
