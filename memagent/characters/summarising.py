"""Memories in a few words: by the model, or plainly where it fails or there is none.

Knows nothing of when that is called for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from memagent.characters.memories import Memory
from memagent.context import WORD_TOKENS, within_words
from memagent.errors import BackendError, ModelError
from memagent.llm import LLM, Answer, Request
from memagent.messages import Message, estimate, storable, unmarked

log = logging.getLogger(__name__)

PROMPT = (
    "You are {name}. These are memories of yours, the oldest first. Put what is worth keeping of them into at most "
    "{words} words, in the first person: who said and did what, names, numbers and promises. Answer with the summary "
    "alone."
)


MOST = 200
"""More memories than this at once, such as those of a long log that is read for the first time, are not worth a model's
time.
"""


def summary_of(memories: Sequence[Memory], name: str, words: int, llm: LLM | None) -> str:
    """What these memories come to."""
    lines = [f"{memory.when:%Y-%m-%d} {memory.type}: {' '.join(memory.text.split())}" for memory in memories]
    found = _asked(llm, lines, name, words, memories[-1].when) if llm and len(lines) <= MOST else ""
    return found or _plain(lines, words)


def _asked(llm: LLM, lines: Sequence[str], name: str, words: int, now: datetime) -> str:
    """What the model makes of them; empty when it fails, or makes nothing shorter of them."""
    room = max(200, llm.window - 2 * words * WORD_TOKENS - 400)
    share = max(12, room // len(lines))
    text = "\n".join(line if estimate(line) <= share else f"{line[: 2 * share]} …" for line in lines)
    prompt = PROMPT.format(name=name, words=words)
    messages = [Message("system", "boot", prompt, now), Message("user", "summary", unmarked(text), now)]
    try:
        answers = [
            heard for heard in llm.ask(Request(messages, max_tokens=words * WORD_TOKENS)) if isinstance(heard, Answer)
        ]
    except (BackendError, ModelError) as error:
        log.warning("memories of %s are summarised without the model: %s", name, error)
        return ""
    found = storable(answers[-1].text).strip() if answers else ""
    return within_words(found, words) if len(found) < len("\n".join(lines)) else ""


def _plain(lines: Sequence[str], words: int) -> str:
    """The beginning of each, all alike."""
    share = max(4, words // len(lines))
    return within_words("\n".join(within_words(line, share) for line in lines), min(2000, (share + 2) * len(lines)))
