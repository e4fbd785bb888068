"""Sources: loaded data that agents can attach. One owner's sources, the documents in each, and who is attached.

Attaching shares a source, it copies nothing. A document is known by its place, so that what is loaded again is there
once; a recipe says what was loaded and how, so that it can be loaded again, and what is gone from there be removed.
Knows nothing of how documents are read or searched.
"""

from __future__ import annotations

import json
import unicodedata
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from memagent.errors import NotFound
from memagent.messages import storable
from memagent.storage import Database, Row, Transaction, reading, text


@dataclass(frozen=True)
class SourceEntry:
    """One source: how it was loaded (`kind`), from what (`about`), and how much is in it, where that was counted."""

    id: str
    owner: str
    name: str
    kind: str
    about: str
    created: datetime
    updated: datetime
    documents: int = 0
    passages: int = 0
    agents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """What was loaded into a source, and how: enough to do it again. `loaded` is when it was last done to the end."""

    id: int
    kind: str
    about: str
    options: Mapping[str, Any]
    tokens: int
    loaded: datetime | None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a document that was loaded: enough to tell whether it has changed."""

    id: int
    stamp: str
    digest: str
    passages: int
    recipe: int


@dataclass(frozen=True)
class DocumentEntry:
    """One document, for a list. One without passages is empty, or a copy of another that has them."""

    place: str
    title: str
    passages: int
    loaded: datetime


_COLUMNS = "s.id, s.owner, s.name, s.kind, s.about, s.created, s.updated"


class Sources:
    """The sources of one owner."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    def all(self) -> list[SourceEntry]:
        """Every source by name, with how much is in it and the names of the agents that have it."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS}, (SELECT count(*) FROM documents d WHERE d.source = s.id), "
            "(SELECT coalesce(sum(d.passages), 0) FROM documents d WHERE d.source = s.id) "
            "FROM sources s WHERE s.owner = ? ORDER BY s.name",
            self._owner,
        )
        names: dict[str, list[str]] = {}
        for source, agent in self._database.rows(
            "SELECT a.source, g.name FROM attachments a JOIN agents g ON g.id = a.agent WHERE g.owner = ? "
            "ORDER BY g.name",
            self._owner,
        ):
            names.setdefault(source, []).append(agent)
        return [_entry(row, tuple(names.get(row[0], ()))) for row in rows]

    def find(self, name: str) -> SourceEntry:
        """The source of that name."""
        name = unicodedata.normalize("NFKC", storable(name))
        for entry in (sources := self.all()):
            if entry.name == name:
                return entry
        names = [entry.name for entry in sources]
        near = get_close_matches(name, names, 1)
        listed = f"There are: {', '.join(names)}." if names else "There are none yet; see: memagent load --help"
        raise NotFound(
            f"There is no source {name[:80]!r}.", hint=f"Did you mean {near[0]!r}? {listed}" if near else listed
        )

    def make(self, tx: Transaction, name: str, kind: str, about: str, now: datetime) -> str:
        """The id of the source of that name, which is made if there is none."""
        rows = tx.rows("SELECT id FROM sources WHERE owner = ? AND name = ?", self._owner, name)
        if rows:
            return str(rows[0][0])
        source = uuid.uuid4().hex
        tx.run(
            "INSERT INTO sources (id, owner, name, kind, about, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?)",
            source, self._owner, storable(name), kind, storable(about), now.isoformat(), now.isoformat(),
        )  # fmt: skip
        return source

    def delete(self, tx: Transaction, source: str) -> None:
        """Delete a source with all its passages, for every agent."""
        tx.run("DELETE FROM sources WHERE id = ? AND owner = ?", source, self._owner)

    def attach(self, tx: Transaction, source: str, agent: str, now: datetime) -> bool:
        """Let an agent search a source; False when it could already. Both must be of this owner."""
        return bool(
            tx.run(
                "INSERT INTO attachments (agent, source, since) SELECT g.id, s.id, ? FROM agents g, sources s "
                "WHERE g.id = ? AND s.id = ? AND g.owner = ? AND s.owner = ? ON CONFLICT (agent, source) DO NOTHING",
                now.isoformat(), agent, source, self._owner, self._owner,
            )
        )  # fmt: skip

    def attach_named(self, tx: Transaction, names: Iterable[str], agent: str, now: datetime) -> dict[str, bool]:
        """Let an agent search those sources of these names that there are; for each, whether that is new."""
        query = "SELECT id FROM sources WHERE owner = ? AND name = ?"
        found = {name: rows[0][0] for name in names if (rows := tx.rows(query, self._owner, name))}
        return {name: self.attach(tx, source, agent, now) for name, source in found.items()}

    def detach(self, tx: Transaction, source: str, agent: str) -> bool:
        """Take a source away from an agent; False when it had it not."""
        return bool(tx.run("DELETE FROM attachments WHERE agent = ? AND source = ?", agent, source))

    def give(self, agent: str, names: Iterable[str], now: datetime) -> list[tuple[SourceEntry, bool]]:
        """Let an agent search sources, all of these or none; with each, whether that is new."""
        found = [self.find(name) for name in names]
        with self._database.write() as tx:
            new = self.attach_named(tx, [each.name for each in found], agent, now)
        return [(each, new.get(each.name, False)) for each in found]

    def take(self, agent: str, names: Iterable[str]) -> list[tuple[SourceEntry, bool]]:
        """Take sources away from an agent; with each, whether it had it."""
        found = [self.find(name) for name in names]
        with self._database.write() as tx:
            return [(each, self.detach(tx, each.id, agent)) for each in found]

    # What is in them --------------------------------------------------------------------------------------------------

    def recipe(
        self, tx: Transaction, source: str, kind: str, about: str, options: Mapping[str, Any], tokens: int
    ) -> int:
        """The number of the recipe with these options, which is noted if it is new."""
        written = json.dumps(options, sort_keys=True, ensure_ascii=False)
        query = "SELECT id FROM recipes WHERE source = ? AND kind = ? AND options = ?"
        rows = tx.rows(query, source, kind, storable(written))
        if rows:
            tx.run("UPDATE recipes SET about = ?, tokens = ? WHERE id = ?", storable(about), tokens, rows[0][0])
            return int(rows[0][0])
        return tx.add(
            "INSERT INTO recipes (source, kind, about, options, tokens) VALUES (?, ?, ?, ?, ?)",
            source, kind, storable(about), storable(written), tokens,
        )  # fmt: skip

    def loaded(self, tx: Transaction, source: str, recipe: int, now: datetime) -> None:
        """Note that all of a recipe has been loaded."""
        tx.run("UPDATE sources SET updated = ? WHERE id = ? AND owner = ?", now.isoformat(), source, self._owner)
        tx.run("UPDATE recipes SET loaded = ? WHERE id = ? AND source = ?", now.isoformat(), recipe, source)

    def forget_unloaded(self, tx: Transaction, source: str) -> None:
        """Forget a source into which nothing was ever loaded."""
        tx.run(
            "DELETE FROM sources WHERE id = ? AND owner = ? "
            "AND NOT EXISTS (SELECT 1 FROM documents WHERE source = sources.id) "
            "AND NOT EXISTS (SELECT 1 FROM recipes WHERE source = sources.id AND loaded IS NOT NULL)",
            source, self._owner,
        )  # fmt: skip

    def recipes(self, source: str) -> list[Recipe]:
        """All that was loaded into a source, the oldest first."""
        rows = self._database.rows(
            "SELECT id, kind, about, options, tokens, loaded FROM recipes WHERE source = ? ORDER BY id", source
        )
        return [_recipe(row) for row in rows]

    def documents(self, source: str) -> Mapping[str, Known]:
        """What is in a source, by place."""
        rows = self._database.rows(
            "SELECT place, id, stamp, digest, passages, recipe FROM documents WHERE source = ? ORDER BY id", source
        )
        return {place: Known(*known) for place, *known in rows}

    def listed(self, source: str, start: int = 0, limit: int = 50) -> list[DocumentEntry]:
        """Documents from the `start`-th on, by place."""
        rows = self._database.rows(
            "SELECT place, title, passages, loaded FROM documents WHERE source = ? ORDER BY place LIMIT ? OFFSET ?",
            source, limit, start,
        )  # fmt: skip
        with reading("A document of a source"):
            return [
                DocumentEntry(text(place), text(title), passages, datetime.fromisoformat(loaded))
                for place, title, passages, loaded in rows
            ]


def attached(database: Database, agent: str) -> dict[str, str]:
    """The sources that an agent can search, by id: their names."""
    rows = database.rows(
        "SELECT s.id, s.name FROM attachments a JOIN sources s ON s.id = a.source WHERE a.agent = ? ORDER BY s.name",
        agent,
    )
    return {source: name for source, name in rows}


def _entry(row: Row, agents: tuple[str, ...]) -> SourceEntry:
    source, owner, name, kind, about, created, updated, documents, passages = row
    with reading(f"The source {name!r}"):
        made, changed = datetime.fromisoformat(created), datetime.fromisoformat(updated)
        return SourceEntry(source, owner, text(name), kind, about, made, changed, documents, passages, agents)


def _recipe(row: Row) -> Recipe:
    number, kind, about, options, tokens, loaded = row
    with reading(f"The recipe {number} of a source"):
        done = datetime.fromisoformat(loaded) if loaded else None
        return Recipe(number, kind, text(about), {**json.loads(options)}, tokens, done)
