"""The facts of one agent alone, out and in again with their history: numbered from 0 in their order, since the numbers
of rows are others elsewhere.

Knows nothing of the rest of an agent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from memagent.facts import State
from memagent.facts.ledger import MARKS, keeper_in
from memagent.facts.own import own_ledger
from memagent.storage import Database, Transaction

_COLUMNS = (
    "line", "text", "kind", "about", "subject", "details", "said", "since", "until", "confidence", "confirmed",
    "renewed", "origin", "message", "quote", "ended", "how", "heir", "created",
)  # fmt: skip
_CHANGES = ("fact", "what", "why", "origin", "message", "details", "created")


def taken_out(database: Database, agent: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The facts of an agent, and all that became of them. `own` is 1 for what comes from the agent's own log."""
    ledger = own_ledger(database, agent)
    if ledger is None:
        return [], []
    shelves = ledger.keeper.shelves()
    states: Mapping[str, State] = {ledger.keeper.shelf_of(state): state for state in MARKS}
    rows = database.rows(
        f"SELECT id, shelf, agent, {', '.join(_COLUMNS)} FROM facts WHERE shelf IN (?, ?, ?) ORDER BY id", *shelves
    )
    places: dict[int | None, int] = {row[0]: place for place, row in enumerate(rows)}
    facts = []
    for number, shelf, of, *values in rows:
        fact = dict(zip(_COLUMNS, values, strict=True))
        fact |= {"line": places.get(fact["line"], places[number]), "heir": places.get(fact["heir"])}
        facts.append({"state": states[shelf], "own": int(of == agent), **fact})
    rows = database.rows(
        f"SELECT agent, {', '.join(f'c.{column}' for column in _CHANGES)} FROM fact_changes c "
        "WHERE c.fact IN (SELECT id FROM facts WHERE shelf IN (?, ?, ?)) ORDER BY c.id",
        *shelves,
    )
    changes = [{"own": int(row[0] == agent), **dict(zip(_CHANGES, row[1:], strict=True))} for row in rows]
    return facts, [{**change, "fact": places[change["fact"]]} for change in changes]


def put_back(
    tx: Transaction, owner: str, agent: str, facts: Sequence[Mapping[str, Any]], changes: Sequence[Mapping[str, Any]],
    now: datetime,
) -> None:  # fmt: skip
    """Store facts that were taken out, for another agent."""
    if not facts:
        return
    keeper = keeper_in(tx, owner, agent, now)
    plain = [column for column in _COLUMNS if column not in ("line", "heir")]
    marks = ", ".join("?" * len(plain))
    numbers = [
        tx.add(
            f"INSERT INTO facts (shelf, agent, line, {', '.join(plain)}) VALUES (?, ?, 0, {marks})",
            keeper.shelf_of(fact["state"]), agent if fact["own"] else None, *(fact[column] for column in plain),
        )
        for fact in facts
    ]  # fmt: skip
    for number, fact in zip(numbers, facts, strict=True):
        heir = None if fact["heir"] is None else numbers[fact["heir"]]
        tx.run("UPDATE facts SET line = ?, heir = ? WHERE id = ?", numbers[fact["line"]], heir, number)
    told = [column for column in _CHANGES if column != "fact"]
    for change in changes:
        tx.run(
            f"INSERT INTO fact_changes (fact, agent, {', '.join(told)}) VALUES (?, ?, {', '.join('?' * len(told))})",
            numbers[change["fact"]], agent if change["own"] else None, *(change[column] for column in told),
        )  # fmt: skip
