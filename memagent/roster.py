"""The agents there are: made, found by name, listed, renamed and deleted.

Knows nothing of what an agent says or does.
"""

from __future__ import annotations

import json
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from memagent.errors import NameTaken, NotFound
from memagent.library import check_name
from memagent.messages import storable
from memagent.storage import Database, Row, Transaction, reading, text


@dataclass(frozen=True)
class Entry:
    """One agent in the roster. `settings` is what it was made with: preset, functions, model … How many messages were
    said, and when the last one, is counted for a list only.
    """

    id: str
    owner: str
    name: str
    created: datetime
    settings: Mapping[str, Any]
    system: str
    last_login: datetime | None
    messages: int = 0
    last_talked: datetime | None = None


_COLUMNS = "id, owner, name, created, settings, system, last_login"


class Roster:
    """The agents of one owner."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    def all(self) -> list[Entry]:
        """Every agent, by name, with how much was said and when last."""
        said = "FROM messages WHERE messages.agent = agents.id AND said <> '' AND undone IS NULL"  # has an index
        rows = self._database.rows(
            f"SELECT {_COLUMNS}, (SELECT count(*) {said}), (SELECT max(messages.created) {said} AND place = '') "
            "FROM agents WHERE owner = ? ORDER BY name",
            self._owner,
        )
        return [_entry(row) for row in rows]

    def find(self, name: str) -> Entry:
        """The agent of that name."""
        name = _spelled(name)
        rows = self._database.rows(
            f"SELECT {_COLUMNS}, 0, NULL FROM agents WHERE owner = ? AND name = ?", self._owner, name
        )
        if rows:
            return _entry(rows[0])
        names = [entry.name for entry in self.all()]
        near = get_close_matches(name, names, 1)
        listed = f"There are: {', '.join(names)}." if names else "There are none yet; make one with: memagent run"
        raise NotFound(
            f"There is no agent {name[:80]!r}.", hint=f"Did you mean {near[0]!r}? {listed}" if near else listed
        )

    def by_id(self, agent: str) -> Entry:
        """The agent with that id."""
        query = f"SELECT {_COLUMNS}, 0, NULL FROM agents WHERE owner = ? AND id = ?"
        if rows := self._database.rows(query, self._owner, storable(agent)):
            return _entry(rows[0])
        raise NotFound(f"There is no agent with the id {agent[:80]!r}.")

    def exists(self, name: str) -> bool:
        """Whether there is an agent of that name."""
        query = "SELECT 1 FROM agents WHERE owner = ? AND name = ?"
        return bool(self._database.rows(query, self._owner, _spelled(name)))

    def make(self, tx: Transaction, name: str, settings: Mapping[str, Any], system: str, now: datetime) -> str:
        """Store a new agent; returns its id."""
        name = self.free(tx, name)
        agent = uuid.uuid4().hex
        tx.run(
            "INSERT INTO agents (id, owner, name, created, settings, system) VALUES (?, ?, ?, ?, ?, ?)",
            agent, self._owner, name, now.isoformat(), json.dumps(settings, sort_keys=True), storable(system),
        )  # fmt: skip
        return agent

    def free(self, tx: Transaction, name: str) -> str:
        """A name in its one spelling, if it is fit for an agent and no agent has it."""
        name = check_name(name)
        if tx.rows("SELECT 1 FROM agents WHERE owner = ? AND name = ?", self._owner, name):
            raise NameTaken(f"There is an agent {name!r} already.", hint="Choose another name.")
        return name

    def change(self, tx: Transaction, agent: str, settings: Mapping[str, Any]) -> None:
        """Store changed settings of an agent."""
        text = json.dumps(settings, sort_keys=True)
        tx.run("UPDATE agents SET settings = ? WHERE id = ? AND owner = ?", text, agent, self._owner)

    def reword(self, tx: Transaction, agent: str, name: str, system: str) -> None:
        """Store another name, which must be `free`, and another system prompt of an agent."""
        query = "UPDATE agents SET name = ?, system = ? WHERE id = ? AND owner = ?"
        tx.run(query, name, storable(system), agent, self._owner)

    def rename(self, name: str, new: str) -> None:
        """Give an agent another name."""
        with self._database.write() as tx:
            query = "UPDATE agents SET name = ? WHERE owner = ? AND name = ?"
            if not tx.run(query, self.free(tx, new), self._owner, _spelled(name)):
                self.find(name)

    def delete(self, name: str) -> None:
        """Delete an agent with everything it remembers."""
        with self._database.write() as tx:
            if not tx.run("DELETE FROM agents WHERE owner = ? AND name = ?", self._owner, _spelled(name)):
                self.find(name)


def _spelled(name: str) -> str:
    return unicodedata.normalize("NFKC", storable(name))


def _entry(row: Row) -> Entry:
    agent, owner, name, created, settings, system, login, messages, talked = row
    with reading(f"The agent {name!r}"):
        return Entry(
            agent, owner, text(name), datetime.fromisoformat(created), {**json.loads(text(settings))}, text(system),
            _moment(login), messages, _moment(talked),
        )  # fmt: skip


def _moment(stored: str | None) -> datetime | None:
    return datetime.fromisoformat(stored) if stored else None
