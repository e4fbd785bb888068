"""What became of an agent's memories over time: learned, changed, ended, brought back; and what happened when.

What was forgotten is not shown. Knows nothing of terminals or of HTML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from memagent.errors import StorageError
from memagent.facts import Fact
from memagent.facts.ledger import COLUMNS, fact_of
from memagent.facts.records import Records, differences
from memagent.looking import Line, Section, Sheet, Sight, brief, pages_told
from memagent.messages import storable
from memagent.storage import marked, reading, text

SIZE = 50
_LAST = "~"  # sorts after everything that can follow in a day
_ISO = re.compile(r"[12]\d{3}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?(?![\w-])", re.ASCII)
_OWN = ("refined", "contradicted", "corrected")
"""What ends a fact whose heir tells of the change."""
SAID: Mapping[str, str] = {
    "learned": "learned", "restored": "holds again", "ended": "ended", "refined": "ended", "contradicted": "ended",
    "corrected": "ended", "merged": "merged into another", "expired": "expired", "undone": "taken back",
}  # fmt: skip


@dataclass(frozen=True)
class Moment:
    """Something that became of a memory: `what`, in a word or two, and what it says; `before` is what it said until
    then.
    """

    when: str
    what: str
    text: str
    fact: Fact
    before: str = ""


@dataclass(frozen=True)
class Span:
    """From when to when something was held true; one that holds still has no end."""

    fact: Fact
    begin: str
    end: str | None


@dataclass(frozen=True)
class Window:
    """What is looked at: from one day to another, about somebody or something, and which page, the newest first."""

    since: date | None = None
    until: date | None = None
    about: str = ""
    page: int = 0


def timeline(sight: Sight, window: Window) -> Sheet:
    """One page of what became of memories, day by day, the oldest of the page first."""
    found, total = moments(sight, window)
    sections: list[Section] = []
    lines: list[Line] = []
    day = ""
    for moment in found:
        if moment.when[:10] != day:
            day, lines = moment.when[:10], []
            sections.append(Section(day, lines))
        was = f"was: {brief(moment.before)}" if moment.before else ""
        lines.append(Line(brief(moment.text), was, mark=moment.what))
    note = pages_told(len(found), total, window.page, SIZE)
    return Sheet(f"{sight.name}: timeline", note or ("" if total else "Nothing yet."), sections)


def moments(sight: Sight, window: Window) -> tuple[list[Moment], int]:
    """One page of moments, the oldest of them first, and how many there are in all."""
    found: list[Moment] = []
    total = 0
    most = SIZE * (window.page + 1)
    for records in sight.memories:
        where, values = _where(records, window)
        source = f"FROM fact_changes c JOIN facts t ON t.id = c.fact WHERE {where}"
        total += int(records.ledger.database.rows(f"SELECT count(*) {source}", *values)[0][0])
        when, kinds = _when(records)
        rows = records.ledger.database.rows(
            f"SELECT c.what, c.details, {when}, {COLUMNS} {source} ORDER BY 3 DESC, c.id DESC LIMIT ?",
            *kinds, *values, most,
        )  # fmt: skip
        found += _moments(records, rows)
    newest = sorted(found, key=lambda moment: moment.when, reverse=True)  # stable: of one moment, as they came
    return newest[most - SIZE : most][::-1], total


def spans(sight: Sight, window: Window, most: int) -> tuple[list[Span], int]:
    """From when to when memories held, the newest ones, those that began first above; and how many there are."""
    found: list[Span] = []
    total = 0
    for records in sight.memories:
        where, values = _about(records, window.about)
        shelves = records.ledger.keeper.shelves(("holds", "past"))
        source = f"FROM facts t WHERE t.shelf IN (?, ?){where}"
        total += int(records.ledger.database.rows(f"SELECT count(*) {source}", *shelves, *values)[0][0])
        rows = records.ledger.database.rows(
            f"SELECT {COLUMNS} {source} ORDER BY t.id DESC LIMIT ?", *shelves, *values, most
        )
        found += [_span(fact_of(row, records.ledger.keeper)) for row in rows]
    inside = [span for span in found if _touches(span, window)]
    newest = sorted(inside, key=lambda span: span.fact.id)[-most:]
    return sorted(newest, key=lambda span: (span.begin, span.fact.id)), total


def _span(fact: Fact) -> Span:
    """What stands for a day and is none, as a model may have written it, is left aside."""
    ended = f"{fact.ended:%Y-%m-%d}" if fact.ended else None
    begin, until = (date_of and date_of[0] for date_of in (_ISO.match(fact.since or ""), _ISO.match(fact.until or "")))
    return Span(fact, begin or f"{fact.said:%Y-%m-%d}", until or ended)


def _touches(span: Span, window: Window) -> bool:
    begins_late = window.until is not None and span.begin > window.until.isoformat() + _LAST
    ended_before = window.since is not None and span.end is not None and span.end + _LAST < window.since.isoformat()
    return not begins_late and not ended_before


# Queries --------------------------------------------------------------------------------------------------------------


def _when(records: Records) -> tuple[str, list[str]]:
    """When a change counts, in SQL: what was said, then; what happened, when it did; all else, when it was changed."""
    dated, values = marked([kind.name for kind in records.kinds.all() if hasattr(kind.made, "happened")])
    return (
        f"CASE WHEN c.what IN ('learned', 'corrected') AND t.since IS NOT NULL AND t.kind IN ({dated}) THEN t.since "
        "WHEN c.what = 'learned' THEN t.said ELSE c.created END",
        values,
    )


def _where(records: Records, window: Window) -> tuple[str, list[Any]]:
    """Which changes are shown: none of what was forgotten, and of a change not also that the old version ended."""
    holds, past = records.ledger.keeper.shelves(("holds", "past"))
    own, endings = marked(_OWN)
    where = (
        "t.shelf IN (?, ?) AND c.what <> 'confirmed' AND NOT (c.what = t.how AND c.what IN "
        f"({own}) AND EXISTS (SELECT 1 FROM facts h WHERE h.id = t.heir AND h.line = t.line AND h.shelf IN (?, ?)))"
    )
    values: list[Any] = [holds, past, *endings, holds, past]
    when, kinds = _when(records)
    if window.since:
        where, values = f"{where} AND {when} || '{_LAST}' >= ?", [*values, *kinds, window.since.isoformat()]
    if window.until:
        where, values = f"{where} AND {when} < ?", [*values, *kinds, window.until.isoformat() + _LAST]
    about, named = _about(records, window.about)
    return where + about, [*values, *named]


def _about(records: Records, about: str) -> tuple[str, list[Any]]:
    """What is about a person, under each of its names, or has these words in it, in SQL."""
    if not about:
        return "", []
    person = records.person(about)
    names = [person.name, *person.value.aliases] if person else [about]
    called = list(dict.fromkeys([*names, *([person.fact.about] if person else [])]))
    marks, values = marked([storable(name) for name in called])
    likes = " OR ".join("lower(t.text) LIKE ? ESCAPE '!'" for _ in names)
    return f" AND (t.about IN ({marks}) OR {likes})", [*values, *(_like(name) for name in names)]


def _like(name: str) -> str:
    escaped = storable(name).lower().replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"


def _moments(records: Records, rows: Sequence[Any]) -> list[Moment]:
    read = []
    for what, details, when, *columns in rows:
        fact = fact_of(columns, records.ledger.keeper)
        with reading(f"The history of fact {fact.id}"):
            read.append((text(what), json.loads(details), _shown(text(when)), fact))
    before = {
        fact.id: fact
        for number in range(0, len(read), 500)
        for fact in records.ledger.of([d["from"] for _, d, _, _ in read[number : number + 500] if "from" in d])
        if fact.state != "forgotten"
    }
    return [
        _moment(records, what, when, fact, before.get(details.get("from", 0))) for what, details, when, fact in read
    ]


def _moment(records: Records, what: str, when: str, fact: Fact, old: Fact | None) -> Moment:
    """A change as it is told: of typed memories, which fields were changed from what to what."""
    kind = records.kinds.get(fact.kind)
    if kind is None or kind.name == "fact":
        return Moment(when, "changed" if old else SAID.get(what, what), fact.text, fact, old.text if old else "")
    try:
        record, earlier = records.record_of(fact), records.record_of(old) if old else None
    except StorageError:  # its kind was declared anew since
        return Moment(when, SAID.get(what, what), fact.text, fact)
    if earlier:
        pairs = [
            f"{name}: {a or '(nothing)'} → {b or '(nothing)'}" for name, (a, b) in differences(earlier, record).items()
        ]
        return Moment(when, "changed", f"{record.name}: {', '.join(pairs)}", fact)
    if fact.since and when == fact.since and hasattr(kind.made, "happened"):
        return Moment(when, "happened", record.name, fact)
    return Moment(when, SAID.get(what, what), fact.text, fact)


def _shown(when: str) -> str:
    """A time to the minute, or the day, month or year that it is."""
    return f"{datetime.fromisoformat(when):%Y-%m-%d %H:%M}" if "T" in when else when
