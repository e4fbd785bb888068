"""Characters as JSON, out and in again, equal: a whole system, one character with all it remembers, or some memories.

What comes in is checked before anything is stored, and all of it is stored or nothing. Knows nothing of models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from memagent.characters.checking import check_data, check_memory_config, check_prompt_template
from memagent.characters.memories import Memory, record
from memagent.config_file import write_whole
from memagent.errors import NotFound, UserError
from memagent.facts import Fact
from memagent.facts.ledger import Ledger, made_keeper
from memagent.facts.own import SUMMARY
from memagent.library import check_name
from memagent.messages import storable
from memagent.roster import Roster
from memagent.storage import Database, Transaction
from memagent.transfer import as_document, checked, put_in

SYSTEM, CHARACTER, MEMORIES = "memagent-characters", "memagent-character", "memagent-memories"
VERSION = 1
SETTING = "character"


# Out ------------------------------------------------------------------------------------------------------------------


def system_as_dict(
    characters: Sequence[Mapping[str, Any]], templates: Mapping[str, str], active: str
) -> dict[str, Any]:
    """A whole system."""
    return {
        "format": SYSTEM, "version": VERSION, "active": active or None, "templates": dict(templates),
        "characters": list(characters),
    }  # fmt: skip


def character_as_dict(database: Database, roster: Roster, name: str, made: Mapping[str, Any]) -> dict[str, Any]:
    """One character: what it was made of, and the agent that it is, with all its memories and what became of them. Read
    within a snapshot, it is all from one moment.
    """
    agent = as_document(database, roster, name)
    return {"format": CHARACTER, "version": VERSION, "name": name, **made, "agent": agent}


def memories_as_dict(name: str, memories: Sequence[Memory]) -> dict[str, Any]:
    """Some memories."""
    told = [
        {"type": each.type, "content": each.content, "metadata": dict(each.metadata), "when": each.when.isoformat()}
        for each in memories
    ]
    return {"format": MEMORIES, "version": VERSION, "character": name, "memories": told}


def write(data: Mapping[str, Any], path: Path | str) -> None:
    """Write it to a file, whole or not at all."""
    write_whole(Path(path), json.dumps(data, ensure_ascii=False, indent=1) + "\n")


# In -------------------------------------------------------------------------------------------------------------------


def read(path: Path | str) -> Any:
    """What stands in a file."""
    try:
        return json.loads(Path(path).read_text("utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}.") from error


def read_in(database: Database, owner: str, data: Any, name: str, now: datetime) -> list[str]:
    """Store what was written; returns the names of the characters that it is of."""
    kind = data.get("format") if isinstance(data, Mapping) else None
    if kind not in (SYSTEM, CHARACTER, MEMORIES):
        raise UserError("These are no characters.", hint="Write them with to_json.")
    if data.get("version") != VERSION:
        raise UserError("They were written by a newer memagent.", hint="Upgrade with: pip install -U memagent")
    if kind == MEMORIES:
        return [_memories_in(database, owner, data, name, now)]
    characters = _list(data, "characters") if kind == SYSTEM else [data]
    made = [_Character(each, f"character {number}") for number, each in enumerate(characters, 1)]
    templates, active = _templates(data) if kind == SYSTEM else ({}, None)
    if active is not None and active not in [each.name for each in made]:
        raise _wrong("active")
    with database.write() as tx:
        for each in made:
            each.store(tx, database, owner, "" if kind == SYSTEM else name)
        for called, text in templates.items():
            _store_template(tx, owner, called, text, now)
        if active:
            tx.run(
                "INSERT INTO active_characters (owner, agent) "
                "SELECT owner, id FROM agents WHERE owner = ? AND name = ? ON CONFLICT (owner) DO NOTHING",
                owner, active,
            )  # fmt: skip
    return [each.name if kind == SYSTEM else name or each.name for each in made]


class _Character:
    """A character that was written, checked."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, Mapping) or data.get("format") != CHARACTER:
            raise _wrong(where)
        self.name = check_name(_typed(data, "name", str, where))
        agent = dict(_typed(data, "agent", Mapping, where))
        try:
            self.agent = checked(json.dumps(agent))
        except (TypeError, ValueError, RecursionError) as error:
            raise _wrong(f"{where}: agent") from error
        background = _typed(data, "background", Mapping, where)
        bounds = _typed(data, "memory_config", Mapping, where)
        for fit in (check_data(background, "The background"), check_memory_config(bounds)):
            if not fit:
                raise _wrong(f"{where}: {fit.why}")
        prompt = _text(_typed(data, "prompt", str, where), f"{where}: prompt")
        kept = json.loads(self.agent["agent"]["settings"])
        if SETTING in kept or prompt:
            kept[SETTING] = {"prompt": prompt, "background": background, "memory_config": bounds}
        self.agent["agent"] |= {"settings": json.dumps(kept, sort_keys=True), "name": self.name}

    def store(self, tx: Transaction, database: Database, owner: str, name: str) -> None:
        put_in(tx, database, owner, self.agent, name)


def _record(data: Mapping[str, Any], when: datetime, where: str) -> Fact:
    try:
        fact = record(data.get("content"), data.get("type", ""), data.get("metadata", {}), when)
    except UserError as error:
        raise _wrong(f"{where}: {error.message}") from error
    content = fact.details["content"]
    summed = fact.kind == SUMMARY and isinstance(content, dict) and isinstance(content.get("summary"), str)
    return replace(fact, text=content["summary"]) if summed else fact


def _memories_in(database: Database, owner: str, data: Mapping[str, Any], name: str, now: datetime) -> str:
    """Store some memories with a character: the one that is named, or the one that they are of."""
    name = name or _typed(data, "character", str, "memories")
    entry = Roster(database, owner).find(name)
    facts = []
    for number, each in enumerate(_list(data, "memories")):
        where = f"memory {number}"
        if not isinstance(each, Mapping):
            raise _wrong(where)
        facts.append(_record(each, _moment(each.get("when"), f"{where}: when"), where))
    with database.write() as tx:
        if not tx.rows("SELECT 1 FROM agents WHERE id = ?", entry.id):
            raise NotFound(f"The character {entry.name!r} has been deleted.")
        ledger = Ledger(database, made_keeper(tx, owner, entry.id, now))
        for fact in facts:
            ledger.learn(tx, fact, now)
    return entry.name


def _store_template(tx: Transaction, owner: str, name: str, text: str, now: datetime) -> None:
    there = tx.rows("SELECT text FROM templates WHERE owner = ? AND name = ?", owner, name)
    if there and there[0][0] != text:
        raise UserError(
            f"There is another template {name!r} already.", hint="Delete it first, or give it another name."
        )
    if not there:
        tx.run(
            "INSERT INTO templates (owner, name, text, created) VALUES (?, ?, ?, ?)", owner, name, text, now.isoformat()
        )


def _templates(data: Mapping[str, Any]) -> tuple[dict[str, str], str | None]:
    templates = _typed(data, "templates", Mapping, "templates")
    for name, text in templates.items():
        if not (fit := check_prompt_template(text)):
            raise _wrong(f"template {name!r}: {fit.why}")
    active = data.get("active")
    if active is not None and not isinstance(active, str):
        raise _wrong("active")
    return {check_name(name, "name of a template"): text for name, text in templates.items()}, active


def _typed(data: Mapping[str, Any], key: str, kind: type[Any], where: str) -> Any:
    if not isinstance(data.get(key), kind):
        raise _wrong(f"{where}: {key}")
    return data[key]


def _list(data: Mapping[str, Any], key: str, where: str = "") -> list[Any]:
    found: list[Any] = _typed(data, key, list, where or key)
    return found


def _text(text: str, where: str) -> str:
    if storable(text) != text:
        raise _wrong(where)
    return text


def _moment(value: Any, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise _wrong(where) from error
    if moment.tzinfo is None:
        raise _wrong(f"{where} has no offset")
    return moment


def _wrong(where: str) -> UserError:
    return UserError(f"What was written is damaged ({where[:300]}).", hint="Nothing was stored. Write it again.")
