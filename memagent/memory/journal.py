"""The journal of one agent: an entry for each conversation that is over, with the messages that it is of.

An entry covers messages from a number to a number; those are its transcript. No message is covered twice. An entry may
be plain at first, made without a model, and is then written anew. When messages are taken back, so is what was written
of them. Knows nothing of how entries come to be worded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from memagent.errors import NotFound
from memagent.memory.days import over
from memagent.memory.log import COLUMNS, message_of
from memagent.messages import Message, as_json, storable
from memagent.storage import Database, Row, Transaction, reading
from memagent.storage import text as stored_text

LITTLE = 8
"""Fewer words than so many, said by the user, are no conversation to be written of: they wait for more."""
_ENDLESS = "~"  # sorts after everything that can follow in a time


@dataclass(frozen=True)
class Quote:
    """Words that stand in the transcript; `who` said them ("user" or "I"), in message `seq`."""

    who: str
    text: str
    seq: int = 0


@dataclass(frozen=True)
class Item:
    """Something to be done, or a day that matters. `day` is an ISO date, as exact as it is known."""

    what: str
    day: str | None = None


@dataclass(frozen=True)
class Entry:
    """An entry. `commitments` are what the agent promised, `action_items` what the user means to do, `done` those of
    earlier entries that are settled, each as "LAST:NUMBER". `plain` ones were made without a model, which has failed
    `tries` times at it.
    """

    first: int
    last: int
    text: str
    created: datetime
    began: datetime
    highlights: Sequence[str] = ()
    quotes: Sequence[Quote] = ()
    commitments: Sequence[Item] = ()
    action_items: Sequence[Item] = ()
    dates: Sequence[Item] = ()
    done: Sequence[str] = ()
    plain: bool = False
    tries: int = 0
    id: int = 0
    undone: datetime | None = None


@dataclass(frozen=True)
class Open:
    """A commitment or an action item that is not done yet: `key` names it, `mine` says whether the agent promised it,
    `since` when.
    """

    key: str
    what: str
    day: str | None
    mine: bool
    since: datetime


class Journal:
    """The entries of one agent."""

    def __init__(self, database: Database, agent: str) -> None:
        self.database = database
        self.agent = agent

    # Writing ----------------------------------------------------------------------------------------------------------

    def close(
        self, worded: Callable[[Sequence[Message]], str], now: datetime, silence: timedelta, *, over: bool
    ) -> list[Entry]:
        """Give each conversation that is over a plain entry, in the words of `worded`; returns these entries. Silence
        parts conversations; the newest is over only after it too, or when the caller says so.
        """
        if not self._ended(self.database, now, silence, over):
            return []  # without taking the database from those who write
        with self.database.write(self.agent) as tx:
            entries = []
            for talk in self._ended(tx, now, silence, over):
                entry = Entry(talk[0].seq, talk[-1].seq, worded(talk), now, talk[0].created, plain=True)
                number = tx.add(
                    "INSERT INTO journal (agent, first, last, entry, details, created) VALUES (?, ?, ?, ?, ?, ?)",
                    self.agent, entry.first, entry.last, storable(entry.text), _details(entry), now.isoformat(),
                )  # fmt: skip
                entries.append(replace(entry, id=number))
        return entries

    def put(self, before: Entry, after: Entry) -> bool:
        """Store an entry in the place of the plain one that it was made from; False when somebody else was first, or
        it has been taken back meanwhile.
        """
        with self.database.write(self.agent) as tx:
            done = tx.run(
                "UPDATE journal SET entry = ?, details = ?, created = ? "
                "WHERE id = ? AND agent = ? AND details = ? AND undone IS NULL",
                storable(after.text), _details(after), after.created.isoformat(), before.id, self.agent,
                _details(before),
            )  # fmt: skip
        return bool(done)

    def _ended(
        self, reader: Database | Transaction, now: datetime, silence: timedelta, over: bool
    ) -> list[list[Message]]:
        """The conversations that are over and stand in no entry; one in which little was said joins the next."""
        talks: list[list[Message]] = [[]]
        ends: list[datetime] = []
        for message in self._unwritten(reader):
            if ends and message.created - ends[-1] > silence and not _little(talks[-1]):
                talks.append([])
            talks[-1].append(message)
            ends.append(message.created)
        if talks[-1] and (_little(talks[-1]) or not (over or now - ends[-1] > silence)):
            talks.pop()
        return [talk for talk in talks if talk]

    def _unwritten(self, reader: Database | Transaction) -> list[Message]:
        """What no entry covers, but for a turn that is not at its end."""
        rows = reader.rows(
            f"SELECT {COLUMNS} FROM messages m WHERE agent = ? AND seq > "
            "(SELECT coalesce(max(last), 0) FROM journal WHERE agent = ? AND undone IS NULL) "
            "AND undone IS NULL AND place = '' AND turn > 0 AND NOT EXISTS "
            "(SELECT 1 FROM turns WHERE agent = m.agent AND turn = m.turn AND state IN ('running', 'waiting')) "
            "ORDER BY seq",
            self.agent, self.agent,
        )  # fmt: skip
        return [message_of(row) for row in rows]

    # Reading ----------------------------------------------------------------------------------------------------------

    def entries(
        self, limit: int = 50, *, since: date | None = None, until: date | None = None, before: int = 0
    ) -> list[Entry]:
        """Entries that stand, the newest first; of conversations that began from `since` to `until`, both included,
        and ended before the message of a number, if these are given.
        """
        found: list[Entry] = []
        last = before or 2**62
        while len(found) < limit and (entries := self._before(last, limit)):
            found += [entry for entry in entries if _within(entry.began, since, until)]
            last = entries[-1].last
        return found[:limit]

    def _before(self, last: int, limit: int) -> list[Entry]:
        where = "WHERE agent = ? AND undone IS NULL AND last < ? ORDER BY last DESC LIMIT ?"
        return [entry_of(row) for row in self.database.rows(f"{_ENTRIES} {where}", self.agent, last, limit)]

    def get(self, number: int) -> Entry:
        """The entry of that number, also one that was taken back."""
        rows = self.database.rows(f"{_ENTRIES} WHERE agent = ? AND id = ?", self.agent, number)
        if not rows:
            raise NotFound(f"There is no journal entry {number}.", hint="See them with: memagent journal")
        return entry_of(rows[0])

    def transcript(self, entry: Entry) -> list[Message]:
        """The messages that an entry is of, without those that were taken back."""
        rows = self.database.rows(
            f"SELECT {COLUMNS} FROM messages WHERE agent = ? AND seq BETWEEN ? AND ? AND undone IS NULL "
            "AND place = '' ORDER BY seq",
            self.agent, entry.first, entry.last,
        )  # fmt: skip
        return [message_of(row) for row in rows]

    def plain(self, most: int) -> list[Entry]:
        """Of the newest entries, at most so many, those that were made without a model, the oldest first."""
        return [entry for entry in reversed(self.entries(most)) if entry.plain]

    def next_began(self, entry: Entry) -> datetime | None:
        """When the conversation after an entry began; none when there is none yet."""
        rows = self.database.rows(
            "SELECT created FROM messages WHERE agent = ? AND seq > ? AND undone IS NULL AND place = '' "
            "ORDER BY seq LIMIT 1",
            self.agent, entry.last,
        )  # fmt: skip
        return datetime.fromisoformat(rows[0][0]) if rows else None

    def open(self, today: date, *, before: int = 0, entries: int = 40) -> list[Open]:
        """What was promised or meant to be done and is neither done nor past, the newest first."""
        recent = self.entries(entries, before=before)
        settled = {key for entry in recent for key in entry.done}
        found = []
        for entry in recent:
            items = [*((True, item) for item in entry.commitments), *((False, item) for item in entry.action_items)]
            for number, (mine, item) in enumerate(items):
                key = f"{entry.last}:{number}"
                if key not in settled and not over(item.day, today):
                    found.append(Open(key, item.what, item.day, mine, entry.began))
        return found


def _within(when: datetime, since: date | None, until: date | None) -> bool:
    day = when.isoformat()
    return not (since and day < since.isoformat()) and not (until and day > until.isoformat() + _ENDLESS)


def _little(talk: Sequence[Message]) -> bool:
    return sum(len(message.said.split()) for message in talk if message.kind == "user") < LITTLE


_ENTRIES = "SELECT id, first, last, entry, details, created, undone FROM journal"
_TEXTS = ("highlights", "done")
_ITEMS = ("commitments", "action_items", "dates")


def _details(entry: Entry) -> str:
    """All of an entry that has no column of its own."""
    details: dict[str, Any] = {"began": entry.began.isoformat()}
    details |= {name: [*getattr(entry, name)] for name in _TEXTS if getattr(entry, name)}
    details |= {name: [[i.what, i.day] for i in getattr(entry, name)] for name in _ITEMS if getattr(entry, name)}
    if entry.quotes:
        details["quotes"] = [[quote.who, quote.text, quote.seq] for quote in entry.quotes]
    if entry.plain:
        details |= {"plain": True, "tries": entry.tries}
    return storable(as_json(details))


def entry_of(row: Row) -> Entry:
    """A row of the journal as an entry."""
    number, first, last, written, details, created, undone = row
    with reading(f"Entry {number} of the journal"):
        kept = json.loads(details)
        highlights, done = (tuple(map(stored_text, kept.get(name, ()))) for name in _TEXTS)
        commitments, action_items, dates = (_items(kept.get(name, ())) for name in _ITEMS)
        quotes = tuple(Quote(who, stored_text(said), seq) for who, said, seq in kept.get("quotes", ()))
        return Entry(
            first, last, stored_text(written), datetime.fromisoformat(created), datetime.fromisoformat(kept["began"]),
            highlights, quotes, commitments, action_items, dates, done, bool(kept.get("plain")),
            int(kept.get("tries", 0)), number, datetime.fromisoformat(undone) if undone else None,
        )  # fmt: skip


def _items(kept: Sequence[Sequence[Any]]) -> tuple[Item, ...]:
    return tuple(Item(stored_text(what), day) for what, day in kept)
