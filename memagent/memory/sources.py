"""Sources: loaded data that agents can attach. One owner's sources, the documents in each, and who is attached.

Attaching shares a source, it copies nothing. A document is known by its place, so that what is loaded again is there
once. Knows nothing of how documents are read or searched.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches

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
class Known:
    """What is known of a document that was loaded: enough to tell whether it has changed."""

    id: int
    stamp: str
    digest: str
    passages: int


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
        name = storable(name)
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

    def detach(self, tx: Transaction, source: str, agent: str) -> bool:
        """Take a source away from an agent; False when it had it not."""
        return bool(tx.run("DELETE FROM attachments WHERE agent = ? AND source = ?", agent, source))

    # Documents --------------------------------------------------------------------------------------------------------

    def documents(self, source: str) -> Mapping[str, Known]:
        """What is in a source, by place."""
        rows = self._database.rows("SELECT place, id, stamp, digest, passages FROM documents WHERE source = ?", source)
        return {place: Known(number, stamp, digest, count) for place, number, stamp, digest, count in rows}


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
