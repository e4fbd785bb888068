"""An agent as one JSON document, out and in again: everything it is and remembers, equal to the byte when exported
again.

Vectors stay out: they are made again from the texts. Keys and the home's settings stay out too, and so do sources and
facts that others share: only the sources' names go along, and the facts that the agent keeps alone. Knows nothing
of files.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from memagent.errors import StorageError, UserError
from memagent.facts import carrying
from memagent.memory.core import UNDO
from memagent.memory.journal import entry_of
from memagent.memory.log import COLUMNS, first_visible, message_of
from memagent.memory.lore import trigger_of
from memagent.memory.sources import Sources, attached
from memagent.messages import storable
from memagent.preset import SETTING_KEYS
from memagent.roster import Roster
from memagent.settings import SETTINGS
from memagent.storage import Database, Transaction

FORMAT = "memagent-agent"
VERSION = 3

# What is kept of each table: its columns with what they hold ("?": or nothing), and after the bar, its key. The agent's
# id and the numbers of rows are left out.
_SCHEMA = {
    "turns": "turn:number state:text steps:number prompt_tokens:number completion_tokens:number started:time"
    " ended:time? | turn",
    "messages": "seq:number turn:number role:role kind:kind content:text calls:text? call_id:text? name:text?"
    " said:text place:text created:time undone:time? reasoning:text | seq",
    "calls": "call_id:text state:text idempotency_key:text digest:text created:time | call_id",
    "blocks": "label:text position:number value:text size_limit:number description:text read_only:number version:number"
    " | label",
    "block_edits": "label:text version:number before:text after:text cause:cause turn:number? call_id:text?"
    " created:time | label version",
    "cards": "document:object files:object made:object |",
    "lore": "number:number note:number called_by:object text:text | number",
    "journal": "first:number last:number entry:text details:object created:time undone:time? | first last created",
    "passages": "note:number part:number text:text tags:list place:text turn:number? created:time undone:time?"
    " | note part",
}
_AGENT = "name:text created:time settings:object system:text last_login:time? quiet_until:time?"
_OWNERS = {"passages": "shelf"}
"""The column that names the agent, where it has another name."""
_ORDERS = {"block_edits": "id", "blocks": "position, label", "cards": "document"}
"""The order of rows, where it is not that of their key."""


def _columns(text: str) -> dict[str, str]:
    return dict(column.split(":") for column in text.split("|")[0].split())


TABLES = {table: _columns(text) for table, text in _SCHEMA.items()}
KEYS = {table: text.split("|")[1].split() for table, text in _SCHEMA.items()}
AGENT = _columns(_AGENT)
FACTS = {
    "facts": _columns(carrying.FACTS), "fact_changes": _columns(carrying.CHANGES),
    "tidyings": _columns(carrying.TIDYINGS),
}  # fmt: skip


TRAVEL = {*SETTING_KEYS, "provider", "model", "azure_api_version", "max_tokens", "turns_a_minute", "tokens_a_day"}
"""What an agent's own settings may say where it comes to. Which address is asked, with which key, which hosts may be
reached and what is read from the disk is for whoever lives there to say: else a file could have keys sent to its maker.
"""
LAX = {"approval": False, "apart": False, "after_cut": "retry"}
"""Nor do rules that let a function do more than it may where the agent comes to."""


def export(database: Database, roster: Roster, name: str) -> str:
    """The whole agent as text."""
    with database.snapshot():
        document = as_document(database, roster, name)
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def as_document(database: Database, roster: Roster, name: str) -> dict[str, Any]:
    """The whole agent, as `export` writes it; read within a snapshot, it is all from one moment."""
    entry = roster.find(name)
    row = database.rows(f"SELECT {', '.join(AGENT)} FROM agents WHERE id = ?", entry.id)[0]
    document: dict[str, Any] = {"format": FORMAT, "version": VERSION, "agent": dict(zip(AGENT, row, strict=True))}
    for table, columns in TABLES.items():
        order = _ORDERS.get(table) or ", ".join(KEYS[table])
        owned = f"{_OWNERS.get(table, 'agent')} = ?"
        rows = database.rows(f"SELECT {', '.join(columns)} FROM {table} WHERE {owned} ORDER BY {order}", entry.id)
        document[table] = [dict(zip(columns, row, strict=True)) for row in rows]
    document |= carrying.exported(database, entry.owner, entry.id)
    document["sources"] = list(attached(database, entry.id).values())
    return document


@dataclass(frozen=True)
class Arrived:
    """An agent that was read in: its id and name, the sources that it could search where it was and that are not here,
    and which of its settings and rules did not come along.
    """

    id: str
    name: str
    lacking: Sequence[str]
    left: Sequence[str]


def read_in(database: Database, owner: str, text: str, name: str = "") -> Arrived:
    """Store an exported agent, under another name if one is given. All of it, or nothing. It can search the sources of
    these names that there are.
    """
    document = checked(text)
    with database.write() as tx:
        return put_in(tx, database, owner, document, name)


def put_in(tx: Transaction, database: Database, owner: str, document: Mapping[str, Any], name: str = "") -> Arrived:
    """Store an agent from a document that was `checked`, within a transaction."""
    number = uuid.uuid4().hex
    free = Roster(database, owner).free(tx, name or document["agent"]["name"])
    settings, left = _travelling(document["agent"]["settings"])
    _add(tx, "agents", AGENT, {**document["agent"], "name": free, "settings": settings}, {"id": number, "owner": owner})
    for table, columns in TABLES.items():
        for row in document[table]:
            own = {"id": uuid.uuid4().hex} if table == "blocks" else {}
            _add(tx, table, columns, row, {_OWNERS.get(table, "agent"): number, **own})
    now = datetime.now().astimezone()
    carrying.take_in(tx, owner, number, document, now)
    given = Sources(database, owner).attach_named(tx, document["sources"], number, now)
    return Arrived(number, free, [source for source in document["sources"] if source not in given], left)


def _add(tx: Transaction, table: str, columns: Mapping[str, str], row: Mapping[str, Any], own: dict[str, str]) -> None:
    values = {**own, **{column: row[column] for column in columns}}
    marks = ", ".join("?" for _ in values)
    tx.run(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", *values.values())


def _travelling(settings: str) -> tuple[str, list[str]]:
    """What an agent was made with, without what stays where it was; and the names of that."""
    told = json.loads(settings)
    own, rules = told.get("settings", {}), told.get("rules", {})
    left = [key for key in own if key not in TRAVEL]
    left += [
        f"{name}: {key}" for name, rule in rules.items() for key, value in LAX.items() if rule.get(key, ...) == value
    ]
    if not left:
        return settings, []
    kept = {key: value for key, value in own.items() if key in TRAVEL}
    strict = {name: {k: v for k, v in rule.items() if LAX.get(k, ...) != v} for name, rule in rules.items()}
    return json.dumps({**told, "settings": kept, "rules": strict}, sort_keys=True), left


# What can be read in --------------------------------------------------------------------------------------------------


def checked(text: str) -> dict[str, Any]:
    """An exported agent as a document of today's version, each part of which is as it must be."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"This is not an exported agent: it is not JSON ({error}).") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UserError("This is not an exported agent.", hint="Make one with: memagent export AGENT")
    _renew(document)
    _check_row("agent", AGENT, document.get("agent"))
    _check_settings(json.loads(document["agent"]["settings"]))
    for table, columns in {**TABLES, **FACTS}.items():
        rows = document.get(table)
        if not isinstance(rows, list):
            raise _damaged(table)
        for row in rows:
            _check_row(table, columns, row)
        if table in TABLES and len({tuple(row[column] for column in KEYS[table]) for row in rows}) < len(rows):
            raise _damaged(f"{table}: a row stands there twice")
    if not carrying.fits(document):
        raise _damaged("facts")
    sources = document.setdefault("sources", [])
    if not isinstance(sources, list) or not all(map(_is_text, sources)) or len({*sources}) < len(sources):
        raise _damaged("sources")
    _check_history(document["blocks"], document["block_edits"])
    for row in document["lore"]:
        _check_lore(row)
    for row in document["journal"]:
        _check_entry(row)
    for number, row in enumerate(document["messages"], start=1):
        _check_message(number, row)
    return document


def _renew(document: dict[str, Any]) -> None:
    """Make a document of an older format one of today's."""
    version = document.get("version")
    if version == 1:
        _from_first(document)
    if version in (1, 2):
        document |= {"cards": [], "lore": [], "journal": [], "facts": [], "fact_changes": []}
        document["facts_read"] = len(_rows(document, "messages"))  # nothing is read unasked: that may be years
    document.setdefault("tidyings", [])  # they stayed behind at first, and so did what models reasoned
    messages = _rows(document, "messages")
    if not any("reasoning" in row for row in messages):
        for row in messages:
            row["reasoning"] = ""
    if version not in (1, 2, VERSION):
        raise UserError("This agent was exported by a newer memagent.", hint="Upgrade with: pip install -U memagent")


def _from_first(document: dict[str, Any]) -> None:
    """Make a document of the first format one of the second: places were not told, or had another name."""
    for row in _rows(document, "messages"):
        row["place"] = ""
    for row in _rows(document, "passages"):
        row["place"] = row.pop("source", None)


def _rows(document: Mapping[str, Any], table: str) -> list[dict[str, Any]]:
    rows = document.get(table)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _check_row(table: str, columns: Mapping[str, str], row: Any) -> None:
    if not isinstance(row, dict):
        raise _damaged(table)
    for column, kind in columns.items():
        value = row.get(column)
        if column not in row or not (_KINDS[kind.rstrip("?")](value) if value is not None else kind.endswith("?")):
            raise _damaged(f"{table}.{column}")


def _check_settings(told: Mapping[str, Any]) -> None:
    """What an agent was made with must be such that it can be opened."""
    functions, rules, own = told.get("functions", []), told.get("rules", {}), told.get("settings", {})
    try:
        _wanted(isinstance(functions, list) and all(map(_is_text, functions)) and _is_text(told.get("speech", "")))
        _wanted(isinstance(rules, dict) and all(isinstance(rule, dict) for rule in rules.values()))
        _wanted(isinstance(own, dict))
        for name, value in own.items():
            if name in TRAVEL and value is not None:
                SETTINGS[name].read(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise _damaged("agent.settings") from error


def _check_history(blocks: list[dict[str, Any]], edits: list[dict[str, Any]]) -> None:
    """Every version of every block must have its edit, or undo would come to a gap."""
    versions: dict[str, list[int]] = {block["label"]: [] for block in blocks}
    for edit in edits:
        versions.setdefault(edit["label"], []).append(edit["version"])
    whole = {block["label"]: block["version"] for block in blocks}
    for label, found in versions.items():
        if sorted(found) != list(range(1, len(found) + 1)) or whole.get(label) != len(found):
            raise _damaged(f"the history of the block {label[:40]!r}")
    if not blocks:
        raise _damaged("blocks: there are none")


def _check_lore(row: Mapping[str, Any]) -> None:
    """What calls a piece of lore to mind must be such that it can be read."""
    try:
        trigger_of(row["called_by"])
    except (TypeError, ValueError) as error:
        raise _damaged(f"piece {row['number']} of its lore") from error


def _check_entry(row: Mapping[str, Any]) -> None:
    """An entry of the journal must be such that it can be read."""
    try:
        entry_of([0, row["first"], row["last"], row["entry"], row["details"], row["created"], row["undone"]])
    except StorageError as error:
        raise _damaged(f"the journal's entry on message {row['first']}") from error


def _check_message(number: int, row: Mapping[str, Any]) -> None:
    """A message must be such that everything that reads the log can read it."""
    try:
        message = message_of([row[column] for column in COLUMNS.split(", ")])
        if message.kind == "summary":
            first_visible(message)
        if message.kind in ("summary", "result"):
            _wanted(_KINDS["text"](json.loads(message.content)["message"]))
        _wanted(message.seq == number and all(_KINDS["object"](call.arguments) for call in message.calls))
    except (StorageError, TypeError, ValueError, LookupError, RecursionError) as error:
        raise _damaged(f"message {number}") from error


def _wanted(right: bool) -> None:
    if not right:
        raise ValueError


def _damaged(where: str) -> UserError:
    return UserError(f"The exported agent is damaged ({where}).", hint="Nothing was stored. Export it again.")


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_json(value: Any, kind: type) -> bool:
    try:
        return isinstance(value, str) and isinstance(json.loads(value), kind)
    except (ValueError, RecursionError):
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and storable(value) == value


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "text": _is_text,
    "flag": lambda value: isinstance(value, bool),
    "share": lambda value: type(value) in (int, float) and 0 <= value <= 1,
    "number": lambda value: type(value) is int and 0 <= value < 2**40,
    "time": _is_time,
    "object": lambda value: _is_text(value) and _is_json(value, dict),
    "list": lambda value: _is_text(value) and _is_json(value, list),
    "cause": lambda value: _is_text(value) and (not value.startswith(UNDO) or value[len(UNDO) :].isdecimal()),
    "role": lambda value: value in ("system", "user", "assistant", "tool"),
    "kind": lambda value: value in ("boot", "user", "login", "heartbeat", "alert", "answer", "result", "summary"),
}
