"""The log: every message of an agent in the order it was stored, never rewritten.

What is taken back is marked as undone and stays. The window is what the model sees of the log: the newest summary,
and the messages since the one that it names. Conversations with other programs can be brought in: they have a place,
are in no turn and no window, and are there to be found; one that is deleted leaves nothing but its numbers. Knows
nothing of turns' rules or of search.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from memagent.messages import PAUSE, Message, ToolCall, storable
from memagent.storage import Database, Row, Transaction, reading, text

COLUMNS = "seq, turn, role, kind, content, calls, call_id, name, said, created, reasoning"


@dataclass(frozen=True, order=True)
class Elsewhere:
    """A conversation that was brought in: where it was, and from when to when."""

    place: str
    messages: int
    first: datetime
    last: datetime


class MessageLog:
    """The messages of one agent."""

    def __init__(self, database: Database, agent: str) -> None:
        self._database = database
        self._agent = agent

    def append(self, tx: Transaction, messages: Iterable[Message], turn: int) -> list[Message]:
        """Store messages as the newest; returns them with their numbers."""
        last = tx.rows("SELECT max(seq) FROM messages WHERE agent = ?", self._agent)[0][0] or 0
        stored = []
        for seq, message in enumerate(map(_storable, messages), start=last + 1):
            calls = json.dumps([[c.id, c.name, c.arguments] for c in message.calls]) if message.calls else None
            tx.add(
                f"INSERT INTO messages (agent, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                self._agent, seq, turn, message.role, message.kind, message.content, calls, message.call_id,
                message.name, message.said, message.created.isoformat(), message.reasoning,
            )  # fmt: skip
            stored.append(replace(message, seq=seq, turn=turn))
        return stored

    def bring_in(self, tx: Transaction, messages: Sequence[Message], place: str) -> None:
        """Store messages of a conversation elsewhere; `place` says where that was."""
        last = tx.rows("SELECT max(seq) FROM messages WHERE agent = ?", self._agent)[0][0] or 0
        tx.add_many(
            "INSERT INTO messages (agent, seq, turn, role, kind, content, name, said, created, place) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (self._agent, seq, 0, m.role, m.kind, m.content, m.name, m.said, m.created.isoformat(), storable(place))
                for seq, m in enumerate(map(_storable, messages), start=last + 1)
            ],
        )

    def brought_in(self, reader: Database | Transaction, place: str) -> list[Message]:
        """The messages of a conversation that was brought in, in their order."""
        rows = reader.rows(
            f"SELECT {COLUMNS} FROM messages WHERE agent = ? AND place = ? AND place <> '' AND undone IS NULL "
            "ORDER BY seq",
            self._agent, storable(place),
        )  # fmt: skip
        return [message_of(row) for row in rows]

    def elsewhere(self) -> list[Elsewhere]:
        """The conversations that were brought in, in the order of their places."""
        rows = self._database.rows(
            "SELECT place, count(*), min(created), max(created) FROM messages "
            "WHERE agent = ? AND place <> '' AND undone IS NULL GROUP BY place",
            self._agent,
        )
        with reading("A conversation"):
            found = [(text(at), n, datetime.fromisoformat(a), datetime.fromisoformat(b)) for at, n, a, b in rows]
        return [Elsewhere(*each) for each in sorted(found)]

    def delete_elsewhere(self, tx: Transaction, place: str, now: datetime) -> None:
        """Delete a conversation that was brought in. Its numbers stay, since others must not get them; nothing that was
        said does.
        """
        ours = "agent = ? AND place = ? AND place <> ''"
        tx.run(f"UPDATE messages SET undone = ? WHERE {ours} AND undone IS NULL", now.isoformat(), self._agent, place)
        # Only now may the texts go: what takes words out of their index has to know which they were.
        tx.run(f"DELETE FROM messages_vectors WHERE item IN (SELECT id FROM messages WHERE {ours})", self._agent, place)
        tx.run(f"UPDATE messages SET content = '', said = '', name = NULL, place = '' WHERE {ours}", self._agent, place)

    def window(self) -> list[Message]:
        """The newest summary, if there is one, and all messages that it does not cover."""
        rows = self._database.rows(
            f"SELECT {COLUMNS} FROM messages WHERE agent = ? AND kind = 'summary' AND undone IS NULL "
            "ORDER BY seq DESC LIMIT 1",
            self._agent,
        )
        summary = [message_of(row) for row in rows]
        start = first_visible(summary[0]) if summary else 1
        rows = self._database.rows(
            f"SELECT {COLUMNS} FROM messages WHERE agent = ? AND seq >= ? AND undone IS NULL AND kind <> 'summary' "
            "AND place = '' ORDER BY seq",
            self._agent, start,
        )  # fmt: skip
        return summary + [message_of(row) for row in rows]

    def all(self, *, undone: bool = False) -> list[Message]:
        """Every message, oldest first; those taken back only when asked for."""
        where = "" if undone else "AND undone IS NULL "
        rows = self._database.rows(f"SELECT {COLUMNS} FROM messages WHERE agent = ? {where}ORDER BY seq", self._agent)
        return [message_of(row) for row in rows]

    def of_turn(self, turn: int) -> list[Message]:
        """The messages of a turn, however long ago and however long it was."""
        rows = self._database.rows(
            f"SELECT {COLUMNS} FROM messages WHERE agent = ? AND turn = ? AND undone IS NULL AND place = '' "
            "ORDER BY seq",
            self._agent, turn,
        )  # fmt: skip
        return [message_of(row) for row in rows]

    def walk(self, start: int, *, backwards: bool = False) -> Iterator[Message]:
        """Message after message from a number on, or back from it; none that were brought in."""
        beyond, order = ("<=", "DESC") if backwards else (">=", "")
        while rows := self._database.rows(
            f"SELECT {COLUMNS} FROM messages WHERE agent = ? AND seq {beyond} ? AND undone IS NULL AND place = '' "
            f"ORDER BY seq {order} LIMIT 200",
            self._agent, start,
        ):  # fmt: skip
            yield from map(message_of, rows)
            start = rows[-1][0] + (-1 if backwards else 1)

    def words_of(self, turn: int) -> str:
        """What the user said that began a turn; empty when something else did."""
        rows = self._database.rows(
            "SELECT said FROM messages WHERE agent = ? AND turn = ? AND kind = 'user' LIMIT 1", self._agent, turn
        )
        return text(rows[0][0]) if rows else ""

    def newest_kinds(self) -> set[str]:
        """Which kinds of messages the newest turn has: whether a person began it."""
        rows = self._database.rows(
            "SELECT kind, turn FROM messages WHERE agent = ? AND undone IS NULL AND turn > 0 "
            "ORDER BY seq DESC LIMIT 500",
            self._agent,
        )
        return {kind for kind, turn in rows if turn == rows[0][1]}

    def last(self, count: int, before: int = 0) -> list[Message]:
        """The newest messages, or those before a number, oldest of them first; none that were brought in."""
        where, values = ("AND seq < ? ", (before,)) if before else ("", ())
        rows = self._database.rows(
            f"SELECT {COLUMNS} FROM messages WHERE agent = ? {where}AND undone IS NULL AND place = '' "
            "ORDER BY seq DESC LIMIT ?",
            self._agent, *values, count,
        )  # fmt: skip
        return [message_of(row) for row in reversed(rows)]

    def size(self) -> int:
        """How many messages there are, by the number of the newest."""
        return int(self._database.rows("SELECT max(seq) FROM messages WHERE agent = ?", self._agent)[0][0] or 0)

    def pause(self, tx: Transaction, first: int = 0) -> str | None:
        """Until when the newest result from `first` on that asked for no heartbeats wanted none."""
        rows = tx.rows(
            "SELECT content FROM messages WHERE agent = ? AND seq >= ? AND kind = 'result' AND undone IS NULL "
            "AND content LIKE ? ORDER BY seq DESC LIMIT 1",
            self._agent, first, f'%", "{PAUSE}": "%',
        )  # fmt: skip
        return str(json.loads(rows[0][0])[PAUSE]) if rows else None

    def undo(self, tx: Transaction, first: int, now: datetime) -> int:
        """Mark everything from `first` on as undone but what was brought in, and what the journal has of it; returns
        how many messages that are.
        """
        written = "UPDATE journal SET undone = ? WHERE agent = ? AND last >= ? AND undone IS NULL"
        tx.run(written, now.isoformat(), self._agent, first)
        return tx.run(
            "UPDATE messages SET undone = ? WHERE agent = ? AND seq >= ? AND undone IS NULL AND place = ''",
            now.isoformat(), self._agent, first,
        )  # fmt: skip


def first_visible(summary: Message) -> int:
    """The number of the first message that a summary leaves in the window."""
    with reading(f"Message {summary.seq} of the log"):
        return int(json.loads(summary.content)["first_visible"])


def _storable(message: Message) -> Message:
    """The same message; this is where every text passes on its way to the log, wherever it came from."""
    return replace(
        message,
        content=storable(message.content),
        said=storable(message.said),
        name=message.name and storable(message.name),
        reasoning=storable(message.reasoning),
        calls=tuple(ToolCall(c.id, storable(c.name), storable(c.arguments)) for c in message.calls),
    )


def message_of(row: Row) -> Message:
    """A row of the log as a message; the row has `COLUMNS`."""
    seq, turn, role, kind, content, calls, call_id, name, said, created, reasoning = row
    with reading(f"Message {seq} of the log"):
        return Message(
            role, kind, text(content), datetime.fromisoformat(created), text(said),
            tuple(ToolCall(*map(text, call)) for call in json.loads(calls)) if calls else (), call_id, name, seq, turn,
            text(reasoning),
        )  # fmt: skip
