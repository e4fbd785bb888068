"""All that an agent remembers as one readable page: who it is, people, facts by what they tell of, plans, events,
conversations, and how many notes and sources there are.

Knows nothing of terminals or of HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from memagent.facts import SELF, USER, Fact
from memagent.facts.fields import told
from memagent.facts.ledger import COLUMNS, fact_of
from memagent.facts.people import relations
from memagent.facts.records import Record, Records
from memagent.looking import Line, Section, Sheet, Sight, brief, pages_told
from memagent.memory.core import Block
from memagent.storage import Database, Row, marked, reading, text

PLANS = ("plan", "commitment")
"""Kinds of facts that are still to be done."""
FACTS = 100
"""Facts on one page."""
PEOPLE = 100
LAST = 10
"""So many events, conversations and memories of each other kind are shown."""


def overview(
    database: Database, sight: Sight, blocks: Iterable[Block], counts: Mapping[str, int], sources: Sequence[str],
    now: datetime, *, page: int = 0,
) -> Sheet:  # fmt: skip
    """The page of an agent; of its facts, those on one page, and on later pages nothing but these."""
    facts = _facts(sight, page)
    about = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in counts.items())
    about += f"{'; ' * bool(about)}can search: {', '.join(sources)}" if sources else ""
    if page:
        return Sheet(sight.name, about, facts)
    sections = [
        *_core(blocks),
        *_people(sight),
        *facts,
        *_plans(sight, now),
        *_typed(sight),
        *_sessions(database, sight),
    ]
    return Sheet(sight.name, about, sections)


def _core(blocks: Iterable[Block]) -> list[Section]:
    found = []
    for block in blocks:
        size = f"{len(block.value)} of {block.limit} characters{', read-only' if block.read_only else ''}"
        found.append(Section(f"{block.label}  ({size})", [Line(block.value)]))
    return found


# People ---------------------------------------------------------------------------------------------------------------


def _people(sight: Sight) -> list[Section]:
    people = [person for records in sight.memories for person in records.people()]
    selves = [person for person in people if person.value.relation == SELF]
    users = [person for person in people if person.value.relation == USER]
    others = users + [person for person in people if person.value.relation not in (SELF, USER)]
    found = [Section("Who I am", [line for person in selves for line in _person(person, [])])] if selves else []
    if others:
        ties = _ties(sight.memories)
        lines = [line for person in others[:PEOPLE] for line in _person(person, ties.get(person.number, []))]
        note = f"{PEOPLE} of {len(others):,}; all with: memagent memories list --kind person"
        found.append(Section("People", lines, note if len(others) > PEOPLE else ""))
    return found


def _ties(memories: Sequence[Records]) -> dict[int, list[str]]:
    """Of each person whose what it is, by number, as others tell of it."""
    found: dict[int, list[str]] = {}
    for records in memories:
        people = records.people()
        numbers = {person.name: person.number for person in people}
        for tie in relations(people):
            if tie.other in numbers and tie.of != USER:
                found.setdefault(numbers[tie.other], []).append(f"{tie.what} of {tie.of}")
    return found


def _person(person: Record, ties: Sequence[str]) -> list[Line]:
    value = person.value
    gone = "" if value.alive else "no longer alive"
    who = ", ".join(part for part in (value.relation, *ties, gone) if part)
    lines = [Line(person.name, who)]
    for field in ("aliases", "relationships", "personality", "objectives", "details"):
        if shown := told(getattr(value, field)):
            lines.append(Line(f"{field}: {shown}", depth=1))
    return lines


# Facts ----------------------------------------------------------------------------------------------------------------


def _facts(sight: Sight, page: int) -> list[Section]:
    """Facts that hold, under what they tell of; what there is most of first."""
    found: list[Fact] = []
    total, start = 0, page * FACTS
    for records in sight.memories:
        there = _count_plain(records)
        found += _plain(records, max(start - total, 0), FACTS - len(found)) if start < total + there else []
        total += there
    by_subject: dict[str, list[Fact]] = {}
    for fact in found:
        by_subject.setdefault(heading(fact), []).append(fact)
    lines = []
    for subject, facts in sorted(by_subject.items(), key=lambda pair: (-len(pair[1]), pair[0].casefold())):
        lines.append(Line(subject, str(len(facts)) if len(facts) > 1 else ""))
        lines += [Line(brief(fact.text), dates(fact), depth=1) for fact in facts]
    return [Section("Facts", lines, pages_told(len(found), total, page, FACTS))] if total else []


def heading(fact: Fact) -> str:
    """What a fact tells of, in a word or two."""
    who = {USER: "You", SELF: "Me"}.get(fact.about, fact.about)
    return f"{who}: {fact.subject}" if fact.subject and fact.subject != fact.about else who


def dates(fact: Fact) -> str:
    """Since when a fact is known, and until when it holds, if that is known."""
    since = fact.since or f"{fact.said:%Y-%m-%d}"
    return f"{since} to {fact.until}" if fact.until else since


def _plain(records: Records, start: int, limit: int) -> list[Fact]:
    where, values = _no_record(records)
    rows = records.ledger.database.rows(
        f"SELECT {COLUMNS} FROM facts t WHERE {where} ORDER BY t.id DESC LIMIT ? OFFSET ?", *values, limit, start
    )
    return [fact_of(row, records.ledger.keeper) for row in rows]


def _count_plain(records: Records) -> int:
    where, values = _no_record(records)
    return int(records.ledger.database.rows(f"SELECT count(*) FROM facts t WHERE {where}", *values)[0][0])


def _no_record(records: Records) -> tuple[str, list[str]]:
    typed, values = marked([*(kind.name for kind in records.kinds.all() if kind.name != "fact"), *PLANS])
    return f"t.shelf = ? AND t.kind NOT IN ({typed})", [records.ledger.keeper.shelf, *values]


def _plans(sight: Sight, now: datetime) -> list[Section]:
    """What is still to be done: plans whose day has not passed, and what the user and the agent are after."""
    today = now.date().isoformat()
    lines, left = [], 0
    for records in sight.memories:
        for person in records.people():
            if person.value.relation in (SELF, USER):
                lines += [Line(one, f"objective of {person.name}") for one in person.value.objectives]
        for kind in PLANS:
            plans = records.ledger.listed(kind=kind, limit=FACTS)
            left += records.ledger.count(kind=kind) - len(plans)
            lines += [
                Line(brief(one.text), dates(one))
                for one in plans
                if not one.until or one.until >= today[: len(one.until)]
            ]
    return (
        [Section("Open plans", lines, f"the newest; {left:,} older ones are not shown" if left else "")]
        if lines
        else []
    )


# Events, conversations and one's own kinds ----------------------------------------------------------------------------


def _typed(sight: Sight) -> list[Section]:
    found: list[Section] = []
    kinds = {kind.name: kind for records in sight.memories for kind in records.kinds.all()}
    for name in kinds:
        if name in ("person", "fact"):
            continue
        newest: list[Record] = []
        total = 0
        for records in sight.memories:
            newest += records.listed(name, limit=LAST)
            total += records.count(name)
        newest = sorted(newest, key=lambda one: one.fact.since or f"{one.fact.said:%Y-%m-%d}", reverse=True)[:LAST]
        title = {"event": "Last events"}.get(name, f"{name.replace('_', ' ').capitalize()}s")
        note = f"{LAST} of {total:,}; all with: memagent memories list --kind {name}" if total > LAST else ""
        if newest:
            lines = [
                Line(brief(one.name if name == "event" else one.fact.text), mark=dates(one.fact)) for one in newest
            ]
            found.append(Section(title, lines, note))
    return found


def _sessions(database: Database, sight: Sight) -> list[Section]:
    """What past sessions came to: entries of the journal, and summaries of what left the context."""
    entries = database.rows(
        "SELECT created, entry FROM journal WHERE agent = ? AND undone IS NULL ORDER BY id DESC LIMIT ?",
        sight.agent, LAST,
    )  # fmt: skip
    summaries = database.rows(
        "SELECT created, content FROM messages WHERE agent = ? AND kind = 'summary' AND undone IS NULL "
        "ORDER BY seq DESC LIMIT ?",
        sight.agent, LAST,
    )  # fmt: skip
    found = []
    for title, rows in (("Journal", entries), ("Summaries", [_summary(row) for row in summaries])):
        if rows:
            found.append(Section(title, [_dated(row, title) for row in rows]))
    return found


def _summary(row: Row) -> Row:
    import json

    with reading("A summary"):
        return row[0], text(json.loads(row[1])["message"])


def _dated(row: Row, what: str) -> Line:
    with reading(f"The {what.lower()}"):
        return Line(text(row[1]), mark=f"{datetime.fromisoformat(row[0]):%Y-%m-%d %H:%M}")
