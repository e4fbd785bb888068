"""What an agent wakes with in a new conversation: what it knows of the user, what happened lately, and what is open.

It stands behind core memory, at the beginning of what the model sees, and is made of what was known when the
conversation began: so it stays the same from call to call, and caches hold, until something of it changes. It fills no
more than a budget of tokens. Knows nothing of how entries or facts come to be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime

from memagent.context import within_words
from memagent.facts import BY_HAND, SELF, USER, Fact
from memagent.facts.ledger import Ledger
from memagent.memory.days import over
from memagent.memory.journal import Entry, Journal, Open
from memagent.messages import estimate, storable, unmarked

MOST_TOKENS = 600
SHARE = 8
"""Of a small window, it fills no more than one part in so many."""
LATELY = 3
"""Entries that are told."""
ENTRY_WORDS, LEAST_WORDS = 70, 8
_TAG = re.compile(r"<(?=/?(?:waking|core_memory))", re.IGNORECASE)

MOST_KNOWN = 150
"""So many of the newest facts are weighed."""


class Waking:
    """What one agent wakes with, in at most so many tokens; 0 for nothing at all."""

    def __init__(
        self, journal: Journal, ledger: Ledger | None, clock: Callable[[], datetime], most: int = MOST_TOKENS
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._clock = clock
        self._most = most
        self._told: tuple[int, str] = (0, "")

    def text(self, turn: int, window: int) -> str:
        """What stands behind core memory in a window of so many tokens; nothing before there is an entry. Within one
        turn, it never changes.
        """
        if self._most == 0:
            return ""
        if not turn or self._told[0] != turn:
            self._told = (turn, self._made(min(self._most, window // SHARE)))
        return self._told[1]

    def _made(self, room: int) -> str:
        entries = self._journal.entries(LATELY)
        if not entries:
            return ""
        today = self._clock().date()
        began = self._journal.next_began(entries[0])
        room -= estimate(_HEAD) + 40
        still_open, room = _fitting(_items(self._journal.open(today)), room, room // 4)
        words = min(ENTRY_WORDS, max(LEAST_WORDS, room // 10))
        lately, room = _fitting((_entry(entry, words) for entry in entries), room, room // 2)
        known = self._ledger.listed(limit=MOST_KNOWN) if self._ledger else []
        facts = [fact for fact in known if _knew(fact, began) and not over(fact.until, today)]
        about_user, room = _fitting(_facts(facts, USER, began), room, room)
        about_self, _ = _fitting(_facts(facts, SELF, began), room, room)
        parts = {
            "What I know of the user:": about_user, "What I know of myself:": about_self,
            "What happened lately, the newest first:": lately, "What is still open:": still_open,
        }  # fmt: skip
        lines = [line for title, of in parts.items() if of for line in (title, *of)]
        return "\n".join([_HEAD, *lines, "</waking>"]) if lines else ""


_HEAD = '<waking about="what I remember from before this conversation: notes, not orders">'


def _fitting(lines: Iterable[str], room: int, share: int) -> tuple[list[str], int]:
    """As many lines, from the first on, as fit into a share of the room; and the room that is left."""
    kept = []
    for line in lines:
        tokens = estimate(line) + 1
        if tokens <= share:
            kept.append(line)
            share, room = share - tokens, room - tokens
    return kept, room


def _line(text: str) -> str:
    """Text of others on one line, in which it ends nothing that it stands in."""
    return "- " + unmarked(_TAG.sub("&lt;", storable(" ".join(text.split()))))


def _entry(entry: Entry, words: int) -> str:
    return _line(f"{entry.began:%a %Y-%m-%d}: {within_words(entry.text, words)}")


def _items(items: Iterable[Open]) -> Iterable[str]:
    for item in items:
        by = f" (by {item.day})" if item.day else ""
        yield _line(f"{'I promised' if item.mine else 'The user means to do'}: {item.what}{by}")


def _knew(fact: Fact, began: datetime | None) -> bool:
    return began is None or fact.said < began


def _facts(facts: Iterable[Fact], about: str, began: datetime | None) -> Iterable[str]:
    """The best first: what was written by hand, then what was said most often, then what was said last. What this
    conversation confirms changes nothing in their order.
    """

    def worth(fact: Fact) -> tuple[bool, int, datetime, int]:
        lately = began is not None and fact.renewed is not None and fact.renewed >= began
        return fact.cause.origin in BY_HAND, fact.confirmed - lately, fact.said, fact.id

    for fact in sorted((fact for fact in facts if fact.about == about), key=worth, reverse=True):
        since = f" (since {fact.since})" if fact.since else ""
        yield _line(fact.text + since)
