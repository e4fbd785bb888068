"""Who is related to whom, both ways round, and what is known of somebody: relations, and facts about them.

Knows nothing of how that is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memagent.errors import NotFound
from memagent.facts import SELF, USER, Fact, State
from memagent.facts.ledger import COLUMNS, Ledger, fact_of
from memagent.facts.records import PERSON, POSSESSIVES, Record, same
from memagent.storage import marked


@dataclass(frozen=True)
class Relation:
    """`other` is the `what` of `of`: Bob is the husband of Anna. The user is "user"; the agent goes by its name."""

    of: str
    other: str
    what: str


def relations(people: Sequence[Record]) -> list[Relation]:
    """Every relation that these persons tell of, by the names that they have."""
    found: dict[tuple[str, str], Relation] = {}
    for person in people:
        if person.value.relation and person.value.relation not in (SELF, USER):
            one = Relation(USER, person.name, person.value.relation)
            found.setdefault((one.of, one.other), one)
        for name, what in person.value.relationships.items():
            one = Relation(_known_as(person.name, people), _known_as(name, people), what)
            found[one.of, one.other] = one
    return list(found.values())


def related(person: Record, all_relations: Sequence[Relation]) -> list[Relation]:
    """The relations of one person, in either direction."""
    own = USER if person.value.relation == USER else person.name
    return [one for one in all_relations if own in (one.of, one.other)]


def _known_as(name: str, people: Sequence[Record]) -> str:
    """The name of the person who is meant, if it is one of these; the user is the user, under any name."""
    for person in people:
        if any(same(name, one) for one in (person.name, *person.value.aliases)):
            return USER if person.value.relation == USER else person.name
    return USER if same(name, USER) else name


def facts_about(
    ledger: Ledger, person: Record, people: Sequence[Record], *, start: int = 0, limit: int = 50
) -> tuple[list[Fact], int]:
    """The facts that hold about a person, whatever they call it, the newest first; and how many there are."""
    names = _called(person, people)
    shelf = ledger.keeper.shelf
    rows = ledger.database.rows("SELECT DISTINCT t.about FROM facts t WHERE t.shelf = ?", shelf)
    meant = [about for (about,) in rows if any(same(about, name) for name in names)]
    if not meant:
        return [], 0
    marks, values = marked(meant)
    where = f"t.shelf = ? AND t.about IN ({marks}) AND t.id <> ? AND (t.kind <> ? OR t.details = ?)"
    wanted: list[Any] = [shelf, *values, person.number, PERSON, "{}"]
    total = int(ledger.database.rows(f"SELECT count(*) FROM facts t WHERE {where}", *wanted)[0][0])
    found = ledger.database.rows(
        f"SELECT {COLUMNS} FROM facts t WHERE {where} ORDER BY t.id DESC LIMIT ? OFFSET ?", *wanted, limit, start
    )
    return [fact_of(row, ledger.keeper) for row in found], total


def spelled(ledger: Ledger, name: str, states: Sequence[State]) -> str:
    """A name as facts in these states have it: "anna" is Anna, and "my sister" the sister that they tell of."""
    marks, values = marked(ledger.keeper.shelves(states))
    rows = ledger.database.rows(f"SELECT DISTINCT t.about FROM facts t WHERE t.shelf IN ({marks})", *values)
    known = sorted(str(about) for (about,) in rows)
    for about in known:
        if any(same(about, f"{mine}{name}") or same(f"{mine}{about}", name) for mine in ("", *POSSESSIVES)):
            return about
    others = ", ".join(about for about in known if about not in (USER, SELF))
    raise NotFound(f"No fact is about {name!r}.", hint=f"There are some about {others}." if others else "")


def _called(person: Record, people: Sequence[Record]) -> list[str]:
    """How facts may call a person: by name and alias, and by who it is to the user, if nobody else is that."""
    relation = person.value.relation
    names = [person.name, *person.value.aliases]
    if relation and sum(same(one.value.relation, relation) for one in people) == 1:
        names += [relation, *(f"{mine}{relation}" for mine in POSSESSIVES)]
    return names
