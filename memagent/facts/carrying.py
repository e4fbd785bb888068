"""The facts that one agent keeps alone, and what was tidied of its memory, as data that goes along when it is exported,
and is taken in elsewhere.

Facts are numbered from 1 there, and are named by these numbers. Knows nothing of files, or of the rest of an
agent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

from memagent.facts import How, Origin, State, What
from memagent.facts.ledger import FORGOTTEN, MARKS, Keeper, made_keeper
from memagent.facts.reading import progress_of
from memagent.messages import as_json
from memagent.storage import Database, Transaction, reading

FACTS = (
    "number:number line:number state:text text:text kind:text about:text subject:text details:object said:time"
    " since:text? until:text? confidence:share confirmed:number renewed:time origin:text ours:flag message:number?"
    " quote:text ended:time? how:text? heir:number? created:time"
)
CHANGES = "fact:number what:text why:text origin:text ours:flag message:number? details:object created:time"
"""What is told of each, and what that is ("?": or nothing). `ours` says whether the agent itself is named."""

TIDYINGS = "run:number kind:text told:text details:object created:time undone:time?"
_SHAPES: Sequence[Mapping[str, type]] = ({"fact": int}, {"block": str, "version": int}, {"note": int, "shorter": int})
"""What the details of a tidying name: a fact, a version of a block, or a note and the one that took its place."""

_COLUMNS = (
    "id, line, shelf, text, kind, about, subject, details, said, since, until, confidence, confirmed, renewed, origin, "
    "agent, message, quote, ended, how, heir, created"
)
_KEPT = (
    "text", "kind", "about", "subject", "details", "said", "since", "until", "confidence", "confirmed", "renewed",
    "origin", "message", "quote", "ended", "how", "created",
)  # fmt: skip


def exported(database: Database, owner: str, agent: str) -> dict[str, Any]:
    """The facts of an agent alone, all that became of them, and up to which message it has read."""
    found = database.rows("SELECT shelf FROM keepers WHERE owner = ? AND agent = ?", owner, agent)
    of = Keeper(owner, str(found[0][0]), agent) if found else Keeper(owner, "", agent)
    rows = database.rows(f"SELECT {_COLUMNS} FROM facts WHERE shelf IN (?, ?, ?) ORDER BY id", *of.shelves())
    numbers = {row[0]: number for number, row in enumerate(rows, start=1)}
    states = {of.shelf_of(state): state for state in MARKS}
    names = [column.split(":")[0] for column in FACTS.split()]
    facts = []
    for number, line, shelf, *fields in rows:
        told = dict(
            zip(names, (numbers[number], numbers.get(line, numbers[number]), states[shelf], *fields), strict=True)
        )
        facts.append({**told, "ours": told["ours"] == agent, "heir": numbers.get(told["heir"])})
    changes = []
    for number, *fields in database.rows(
        "SELECT c.fact, c.what, c.why, c.origin, c.agent, c.message, c.details, c.created FROM fact_changes c "
        "JOIN facts t ON t.id = c.fact WHERE t.shelf IN (?, ?, ?) ORDER BY c.id",
        *of.shelves(),
    ):
        told = dict(zip([column.split(":")[0] for column in CHANGES.split()], (numbers[number], *fields), strict=True))
        changes.append({**told, "ours": told["ours"] == agent, "details": _renumbered(told["details"], numbers)})
    tidyings = _tidied(database, agent, numbers)
    read = progress_of(database.rows, agent).seq
    return {"facts": facts, "fact_changes": changes, "facts_read": read, "tidyings": tidyings}


def _tidied(database: Database, agent: str, numbers: Mapping[int, int]) -> list[dict[str, Any]]:
    """What was tidied, but for facts that others share: those stay here."""
    names = [column.split(":")[0] for column in TIDYINGS.split()]
    rows = database.rows(f"SELECT {', '.join(names)} FROM tidyings WHERE agent = ? ORDER BY id", agent)
    found = []
    for row in rows:
        told = dict(zip(names, row, strict=True))
        with reading("What was tidied"):
            details = json.loads(told["details"])
        if "fact" in details and details["fact"] not in numbers:
            continue
        found.append({**told, "details": as_json(_named_anew(details, numbers))})
    return found


def _named_anew(details: Mapping[str, Any], numbers: Mapping[int, int]) -> dict[str, Any]:
    return {name: numbers[value] if name == "fact" else value for name, value in details.items()}


def fits(document: Mapping[str, Any]) -> bool:
    """Whether facts that have all their fields can be taken in: each names others that are there, and messages that
    there are, and is in a state that fits how it came to it.
    """
    facts, changes = document["facts"], document["fact_changes"]
    there = range(1, len(facts) + 1)
    return (
        [fact["number"] for fact in facts] == list(there)
        and all(fact["line"] <= fact["number"] and fact["line"] in there for fact in facts)
        and all(fact["state"] == _state_after(fact["how"]) for fact in facts)
        and all((fact["how"] is None) == (fact["ended"] is None) for fact in facts)
        and all(not each["ours"] or (each["message"] or 0) <= len(document["messages"]) for each in (*facts, *changes))
        and all(fact["heir"] is None or fact["heir"] in there for fact in facts)
        and all(fact["how"] is None or fact["how"] in get_args(How) for fact in facts)
        and all(change["fact"] in there and change["what"] in get_args(What) for change in changes)
        and all(json.loads(change["details"]).get("from", 1) in there for change in changes)
        and all(each["origin"] in get_args(Origin) for each in (*facts, *changes))
        and type(document["facts_read"]) is int
        and 0 <= document["facts_read"] <= len(document["messages"])
        and all(_names_something(json.loads(tidied["details"]), there) for tidied in document["tidyings"])
    )


def _names_something(details: Mapping[str, Any], there: range) -> bool:
    """Whether the details of a tidying are such that it can be taken back."""
    kinds = {name: type(value) for name, value in details.items()}
    return kinds in _SHAPES and ("fact" not in details or details["fact"] in there)


def _state_after(how: How | None) -> State:
    return "holds" if how is None else "forgotten" if how in FORGOTTEN else "past"


def take_in(tx: Transaction, owner: str, agent: str, document: Mapping[str, Any], now: datetime) -> None:
    """Store facts that came along with an agent, and up to which of its messages they were read."""
    facts: Sequence[Mapping[str, Any]] = document["facts"]
    numbers: dict[int, int] = {}
    if facts:
        of = made_keeper(tx, owner, agent, now)
        for fact in facts:
            values = [fact[column] for column in _KEPT]
            own = {"shelf": of.shelf_of(fact["state"]), "line": 0, "agent": agent if fact["ours"] else None}
            marks = ", ".join("?" * (len(_KEPT) + len(own)))
            numbers[fact["number"]] = tx.add(
                f"INSERT INTO facts ({', '.join((*_KEPT, *own))}) VALUES ({marks})", *values, *own.values()
            )
        for fact in facts:
            line, heir = numbers[fact["line"]], numbers.get(fact["heir"])
            tx.run("UPDATE facts SET line = ?, heir = ? WHERE id = ?", line, heir, numbers[fact["number"]])
        for change in document["fact_changes"]:
            tx.add(
                "INSERT INTO fact_changes (fact, what, why, origin, agent, message, details, created) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                numbers[change["fact"]], change["what"], change["why"], change["origin"],
                agent if change["ours"] else None, change["message"], _renumbered(change["details"], numbers),
                change["created"],
            )  # fmt: skip
    for tidied in document["tidyings"]:
        details = as_json(_named_anew(json.loads(tidied["details"]), numbers))
        tx.add(
            "INSERT INTO tidyings (agent, run, kind, told, details, created, undone) VALUES (?, ?, ?, ?, ?, ?, ?)",
            agent, tidied["run"], tidied["kind"], tidied["told"], details, tidied["created"], tidied["undone"],
        )  # fmt: skip
    tx.run(
        "INSERT INTO fact_readers (agent, seq, tries, changed) VALUES (?, ?, 0, ?)",
        agent, document["facts_read"], now.isoformat(),
    )  # fmt: skip


def _renumbered(details: str, numbers: Mapping[int, int]) -> str:
    """Details that may name the fact that one came from."""
    with reading("The history of a fact"):
        told = json.loads(details)
        return as_json({**told, "from": numbers.get(told["from"])}) if "from" in told else details
