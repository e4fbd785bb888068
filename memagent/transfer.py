"""An agent as one JSON document, out and in again: everything it is and remembers, equal to the byte when exported
again.

Vectors stay out: they are made again from the texts. Keys and the home's settings stay out too. Knows nothing of files.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from memagent.errors import UserError
from memagent.roster import Roster
from memagent.storage import Database, Transaction

FORMAT = "memagent-agent"
VERSION = 1

# What is kept of each table, in the order in which it is written and read back; `agent` and row numbers are left out.
TABLES: dict[str, tuple[tuple[str, ...], str]] = {
    "turns": (("turn", "state", "steps", "prompt_tokens", "completion_tokens", "started", "ended"), "turn"),
    "messages": (
        ("seq", "turn", "role", "kind", "content", "calls", "call_id", "name", "said", "created", "undone"),
        "seq",
    ),
    "blocks": (("label", "position", "value", "size_limit", "description", "read_only", "version"), "position"),
    "block_edits": (("label", "version", "before", "after", "cause", "turn", "call_id", "created"), "id"),
    "passages": (("note", "part", "text", "tags", "source", "turn", "created", "undone"), "note, part"),
}
AGENT = ("name", "created", "settings", "system", "last_login", "quiet_until")


def export(database: Database, roster: Roster, name: str) -> str:
    """The whole agent as text."""
    agent = roster.find(name).id
    row = database.rows(f"SELECT {', '.join(AGENT)} FROM agents WHERE id = ?", agent)[0]
    document: dict[str, Any] = {"format": FORMAT, "version": VERSION, "agent": dict(zip(AGENT, row, strict=True))}
    for table, (columns, order) in TABLES.items():
        rows = database.rows(f"SELECT {', '.join(columns)} FROM {table} WHERE agent = ? ORDER BY {order}", agent)
        document[table] = [dict(zip(columns, row, strict=True)) for row in rows]
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def read_in(database: Database, owner: str, text: str, name: str = "") -> str:
    """Store an exported agent, under another name if one is given; returns its name. All of it, or nothing."""
    document = _document(text)
    agent = {**document["agent"]}
    agent["name"] = name or agent["name"]
    if Roster(database, owner).exists(agent["name"]):
        raise UserError(f"There is an agent {agent['name']!r} already.", hint="Give another name with --as NAME.")
    number = uuid.uuid4().hex
    with database.write() as tx:
        _add(tx, "agents", {"id": number, "owner": owner, **{column: agent.get(column) for column in AGENT}})
        for table, (columns, _) in TABLES.items():
            for row in document[table]:
                _add(tx, table, {"agent": number, **{column: row[column] for column in columns}})
        if not tx.rows("SELECT 1 FROM blocks WHERE agent = ?", number):
            raise UserError("The document holds an agent without core memory; it was not made by memagent export.")
    return str(agent["name"])


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UserError(f"This is not an exported agent: it is not JSON ({error}).") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UserError("This is not an exported agent.", hint="Make one with: memagent export AGENT")
    if document.get("version") != VERSION:
        raise UserError("This agent was exported by a newer memagent.", hint="Upgrade with: pip install -U memagent")
    for part, columns in [("agent", AGENT), *((table, columns) for table, (columns, _) in TABLES.items())]:
        rows = document.get(part)
        rows = [rows] if part == "agent" else rows
        if not isinstance(rows, list) or not all(isinstance(row, dict) and set(columns) <= row.keys() for row in rows):
            raise UserError(f"The exported agent is damaged: the part {part!r} is not whole.")
    return document


def _add(tx: Transaction, table: str, row: dict[str, Any]) -> None:
    marks = ", ".join("?" for _ in row)
    for column, value in row.items():
        if not isinstance(value, str | int | None):
            raise UserError(f"The exported agent is damaged: {table}.{column} holds {type(value).__name__}.")
    tx.add(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", *row.values())
