"""Lore: notes that come to mind when somebody speaks of them, by the keys that call them.

Each piece is a note in archival memory as well, to be found, read and deleted there; with its note it is gone. What
comes to mind is told within a budget (see reminders.py). Knows nothing of where lore comes from.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Literal, get_args

from memagent.memory.archival import ArchivalMemory
from memagent.memory.patterns import Unfit, is_written_as_one, pattern
from memagent.messages import Message, estimate, storable
from memagent.storage import Database, Transaction, reading

HEADING = "From the book of this world:"
DEPTH = 4
"""Of how many messages, the newest, it is looked for keys."""
LONGEST_TALK = 20_000
MOST_ROUNDS = 5

THERE = "EXISTS (SELECT 1 FROM passages p WHERE p.shelf = lore.agent AND p.note = lore.note AND p.undone IS NULL)"
"""That the note of a piece is still there, in SQL."""

Logic = Literal["any", "all", "not any", "not all"]

_SPECIAL = re.compile(r"[\\\[\](){}^$*+?|]")
_UNSPACED = (  # scripts that put no spaces between words, or hang syllables on them
    "[\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class Trigger:
    """When a piece of lore comes to mind: when one of its keys is said, and what else must hold.

    `logic` says how many of the `secondary` keys must be said too; of each group in `also`, one must be, and none of
    `never`. `regex`: keys are patterns (None: those between slashes). `whole`: keys are whole words. `hidden` is what
    this piece brings to mind beside its text, if it is `recursive`. Of the budget, what has the highest `priority` is
    told; and it stands where its `order` puts it.
    """

    keys: tuple[str, ...] = ()
    secondary: tuple[str, ...] = ()
    logic: Logic = "any"
    also: tuple[tuple[str, ...], ...] = ()
    never: tuple[str, ...] = ()
    constant: bool = False
    case_sensitive: bool = False
    regex: bool | None = None
    whole: bool = True
    depth: int = DEPTH
    after: int = 0
    every: int = 0
    chance: float = 100
    recursive: bool = False
    hidden: str = ""
    priority: float = 0
    order: float = 0
    budget: int | None = None


@dataclass(frozen=True)
class Lore:
    """A text, and when it comes to mind."""

    text: str
    trigger: Trigger
    number: int = 0
    tags: tuple[str, ...] = ("lore",)


def keep(
    tx: Transaction, database: Database, agent: str, pieces: Sequence[Lore], place: str, now: datetime
) -> list[int]:
    """Store lore for an agent, each piece with a note; `place` says where it is from. Returns the notes' numbers."""
    notes = ArchivalMemory(database, agent, None)
    number = tx.rows("SELECT max(number) FROM lore WHERE agent = ?", agent)[0][0] or 0
    kept = []
    for piece in pieces:
        number += 1
        note = notes.bring_in(tx, piece.text, [*piece.tags, *piece.trigger.keys], place, now)
        tx.run(
            "INSERT INTO lore (agent, number, note, called_by, text) VALUES (?, ?, ?, ?, ?)",
            agent, number, note, json.dumps(asdict(piece.trigger)), storable(piece.text),
        )  # fmt: skip
        kept.append(note)
    return kept


class LoreBook:
    """The lore of one agent."""

    def __init__(self, database: Database, agent: str) -> None:
        self._database = database
        self._agent = agent
        self._told: tuple[tuple[int, ...], list[str]] = ((), [])

    def remind(self, talk: Sequence[Message], room: int) -> Sequence[str]:
        """The texts that what was said last calls to mind, in the order of the book; looked for once in a turn."""
        turn = (talk[-1].seq, len(talk), room)
        if turn != self._told[0]:
            self._told = (turn, self._reminded(talk, room))
        return self._told[1]

    def _reminded(self, talk: Sequence[Message], room: int) -> list[str]:
        pieces = self.all()
        if not pieces:
            return []
        called = _Hearing([m.said for m in talk if m.said], talk[-1].seq, self._answers).called(pieces)
        told = _within(called, room - estimate(HEADING) - 1)
        return [HEADING, *(piece.text for piece in told)] if told else []

    def all(self) -> list[Lore]:
        """Every piece whose note is still there."""
        rows = self._database.rows(
            f"SELECT number, called_by, text FROM lore WHERE agent = ? AND {THERE} ORDER BY number", self._agent
        )
        with reading("Lore"):
            return [Lore(str(text), trigger_of(str(called_by)), int(number)) for number, called_by, text in rows]

    def _answers(self) -> int:
        """How often the agent has spoken."""
        return int(
            self._database.rows(
                "SELECT count(*) FROM messages WHERE agent = ? AND said <> '' AND role <> 'user' AND place = '' "
                "AND undone IS NULL",
                self._agent,
            )[0][0]
        )


@lru_cache(maxsize=20_000)
def trigger_of(stored: str) -> Trigger:
    """A trigger as it was stored; ValueError or TypeError when it is none."""
    given = json.loads(stored)
    lists = {key: tuple(given.get(key, ())) for key in ("keys", "secondary", "never")}
    trigger = Trigger(**{**given, **lists, "also": tuple(map(tuple, given.get("also", ())))})
    texts = (*trigger.keys, *trigger.secondary, *trigger.never, *chain(*trigger.also), trigger.hidden)
    numbers = (trigger.depth, trigger.after, trigger.every, trigger.chance, trigger.priority, trigger.order)
    whole = (trigger.depth, trigger.after, trigger.every, trigger.budget or 0)
    if not (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
        and all(isinstance(number, int) for number in whole)
        and trigger.logic in get_args(Logic)
        and (trigger.regex is None or isinstance(trigger.regex, bool))
    ):
        raise TypeError("a trigger has other fields")
    return trigger


def _within(pieces: Sequence[Lore], room: int) -> list[Lore]:
    """What fits: what is always told first, then by priority; in the order of the book."""
    chosen: list[Lore] = []
    used = 0
    for piece in sorted(pieces, key=lambda p: (not p.trigger.constant, -p.trigger.priority, p.number)):
        tokens = estimate(piece.text) + 1
        budget = room if piece.trigger.budget is None else min(room, piece.trigger.budget)
        if used + tokens <= budget:
            chosen.append(piece)
            used += tokens
    return sorted(chosen, key=lambda p: (p.trigger.order, p.number))


class _Hearing:
    """What was said, oldest first, and what it calls to mind. `answers` counts what the agent said, when needed."""

    def __init__(self, said: Sequence[str], moment: int, answers: Callable[[], int]) -> None:
        self._said = said
        self._moment = moment
        self._answers = answers
        self._folded: dict[str, str] = {}

    def called(self, pieces: Sequence[Lore]) -> list[Lore]:
        """The pieces that come to mind; those that are `recursive` bring others with them."""
        called = [piece for piece in pieces if self._calls(piece, self._talk(piece.trigger.depth))]
        newest = called
        for _ in range(MOST_ROUNDS):
            texts = [f"{p.text}\n{p.trigger.hidden}" for p in newest if p.trigger.recursive]
            if not texts:
                break
            known = {piece.number for piece in called}
            text = "\n".join(texts)[:LONGEST_TALK]
            newest = [piece for piece in pieces if piece.number not in known and self._calls(piece, text)]
            called += newest
        return called

    def _talk(self, depth: int) -> str:
        return "\n".join(self._said[-depth:])[-LONGEST_TALK:] if depth > 0 else ""

    def _calls(self, piece: Lore, text: str) -> bool:
        trigger = piece.trigger
        return self._is_time(piece) and (
            trigger.constant
            or (
                self._any(trigger.keys, trigger, text)
                and self._seconded(trigger, text)
                and all(self._any(group, trigger, text) for group in trigger.also)
                and not self._any(trigger.never, trigger, text)
            )
        )

    def _seconded(self, trigger: Trigger, text: str) -> bool:
        if not trigger.secondary:
            return True
        if trigger.logic in ("any", "not any"):
            return self._any(trigger.secondary, trigger, text) == (trigger.logic == "any")
        return all(self._says(key, trigger, text) for key in trigger.secondary) == (trigger.logic == "all")

    def _is_time(self, piece: Lore) -> bool:
        trigger = piece.trigger
        if trigger.after or trigger.every:
            answers = self._answers()
            if answers < trigger.after or (trigger.every and answers % trigger.every):
                return False
        return trigger.chance >= 100 or zlib.crc32(f"{piece.number} {self._moment}".encode()) % 100 < trigger.chance

    def _any(self, keys: Sequence[str], trigger: Trigger, text: str) -> bool:
        return any(self._says(key, trigger, text) for key in keys)

    def _says(self, key: str, trigger: Trigger, text: str) -> bool:
        if not key.strip():
            return False
        if _is_pattern(key, trigger):
            try:
                return pattern(key, case_sensitive=trigger.case_sensitive).found(text)
            except Unfit:
                return False
        key = key.strip()
        if not trigger.case_sensitive:
            key = key.casefold()
            text = self._folded.setdefault(text, text.casefold())
        return key in text and (not trigger.whole or _as_word(key).search(text) is not None)


def _is_pattern(key: str, trigger: Trigger) -> bool:
    """Whether a key is a pattern. Some books call all their keys patterns, and mean those between slashes."""
    if trigger.regex is False:
        return False
    return is_written_as_one(key) or (trigger.regex is True and _SPECIAL.search(key) is not None)


@lru_cache(maxsize=20_000)
def _as_word(key: str) -> re.Pattern[str]:
    """A key as a whole word, or as one with an s behind it, where its script parts words at all."""
    begins = r"(?<!\w)" if _parted(key[0]) else ""
    ends = r"(?:['’]?s|es)?(?!\w)" if _parted(key[-1]) else ""
    return re.compile(begins + re.escape(key) + ends, re.IGNORECASE)


def _parted(letter: str) -> bool:
    return letter.isalnum() and not re.match(_UNSPACED, letter)


def keys_that_cannot_match(pieces: Sequence[Lore]) -> Iterator[str]:
    """Keys that are patterns of a kind that is not matched here."""
    for piece in pieces:
        trigger = piece.trigger
        for key in chain(trigger.keys, trigger.secondary, trigger.never, *trigger.also):
            if _is_pattern(key, trigger):
                try:
                    pattern(key, case_sensitive=trigger.case_sensitive)
                except Unfit:
                    yield key
