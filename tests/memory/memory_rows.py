"""Agents and messages put into a real database by plain SQL, as the rest of memagent would store them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from memagent.storage.sqlite import SqliteDatabase

NOW = datetime(2026, 5, 31, 12, 0, tzinfo=UTC)


def new_database(folder: Path) -> SqliteDatabase:
    return SqliteDatabase(folder / "memory.db")


def new_agent(db: SqliteDatabase) -> str:
    agent = uuid4().hex
    with db.write() as tx:
        tx.run(
            "INSERT INTO agents (id, owner, name, created, settings, system) VALUES (?, 'me', ?, ?, '{}', '')",
            agent, agent, NOW.isoformat(),
        )  # fmt: skip
    return agent


def say(db: SqliteDatabase, agent: str, *texts: str, role: str = "user", created: str = "") -> None:
    """Store messages after those that are there; a minute between each unless the time is given."""
    with db.write() as tx:
        last = tx.rows("SELECT max(seq) FROM messages WHERE agent = ?", agent)[0][0] or 0
        for seq, text in enumerate(texts, last + 1):
            tx.run(
                "INSERT INTO messages (agent, seq, turn, role, kind, content, said, created) "
                "VALUES (?, ?, 1, ?, 'user', ?, ?, ?)",
                agent, seq, role, text, text, created or (NOW + timedelta(minutes=seq)).isoformat(),
            )  # fmt: skip
