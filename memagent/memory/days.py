"""The days that a text names, said on some day: "tomorrow", "next Friday", "on 3 May", "since 2019", "two years ago".

What is said most exactly counts: a date, then a day near by, then a month, then a year. What a person means is:

- "on 3 May" is the next one, today included; where the text tells of what was, the last one (`tense_of`). "In May" is
  told of one year only where a sign of either is there: what grows in May does so each year.
- "on Friday" is the next one, or the last one of what was; "this Friday" may be today. "Next Friday" is that of next
  week, which begins on Monday; "last Friday" is the one before today.
- "in two weeks" is that day; "in two months" and "two weeks ago" are as exact as a month, "two years ago" as a year.
- "every Friday", "from Monday to Friday" and "a Friday" name no day, nor does a number that no "in" makes a year.

Only English is read. Knows nothing of facts, or of what is searched (see dates.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Literal

from memagent.memory.phrases import COUNTS, LENGTHS, MONTHS, NEAR, WEEKDAYS, Phrase, many, month_number, phrases, sure

Tense = Literal["past", "coming", "open"]
"""What a text tells of: what was, what will be, or what no word in it decides."""

DAY = len("2026-05-31")
_PARTS = {"tonight": "evening", "this morning": "morning", "this afternoon": "afternoon", "this evening": "evening",
          "last night": "night"}  # fmt: skip
_TURNS = {"last": -1, "past": -1, "this past": -1, "this": 0, "next": 1, "coming": 1, "this coming": 1}


@dataclass(frozen=True)
class Named:
    """Days that a text names: the words for them and where they stand, the first and the last day, as exact as they are
    known (ISO), and whether they are still to come.
    """

    words: str
    start: int
    end: int
    first: str
    last: str
    coming: bool
    phrase: Phrase

    @property
    def exact(self) -> bool:
        """Whether they are known to the day."""
        return len(self.first) == DAY

    @property
    def relative(self) -> bool:
        """Whether the words mean other days on another day."""
        return self.phrase.kind in ("near", "weekday", "ago", "ahead", "around") or "turn" in self.phrase.parts

    @property
    def shown(self) -> str:
        """The days in words that mean the same for ever."""
        if self.exact and self.first != self.last:
            begin = str(int(self.first[-2:]))
            return f"the {unit} of {spoken(self.first)}" if (unit := self._unit) else f"{begin} to {spoken(self.last)}"
        return f"{self.phrase.parts.get('about', '')} {spoken(self.first)}".strip()

    @property
    def _unit(self) -> str:
        return self.phrase.parts.get("unit", "") if self.phrase.kind in ("around", "week") else ""

    @property
    def lasting(self) -> str:
        """What can stand in the place of the words, and means the same for ever."""
        told = self.added if self.phrase.lead or self.relative else self.shown
        return f"{told[0].upper()}{told[1:]}" if self.words[0].isupper() else told

    @property
    def added(self) -> str:
        """The same as it can be added to a sentence that does not name them: with its preposition."""
        lead = self.phrase.lead or ("on" if self.exact and self._unit != "week" else "in")
        part = self.phrase.parts.get("part") or _PARTS.get(self.phrase.parts.get("word", ""), "")
        return " ".join(filter(None, [lead, f"the {part} of" if part else "", self.shown]))

    @property
    def holding(self) -> tuple[str | None, str | None]:
        """Since and until when holds what is told of them."""
        lead = self.phrase.lead
        if lead in ("until", "till"):
            return None, self.last
        return self.first, None if lead == "since" or (lead == "from" and self.first == self.last) else self.last


def named(text: str, said: date, tense: Tense | None = None) -> Named | None:
    """The days that a text names, said on that day; None if it names none. What of its words leaves open whether it was
    or will be is decided by `tense`, or by the text itself.
    """
    return next(every(text, said, tense), None)


def every(text: str, said: date, tense: Tense | None = None) -> Iterator[Named]:
    """All days that a text names, the most exact first."""
    told, today = tense or tense_of(text), said.isoformat()
    for phrase in phrases(text):
        tense = "past" if phrase.lead == "since" else told
        try:
            days = _days(phrase, said, tense) if sure(phrase, text) else None
        except (ValueError, OverflowError):  # the 31st of June, or a day before the year 1
            continue
        if days:
            first, last = days
            coming = last >= today[: len(last)] and (tense != "past" or first > today[: len(first)])
            yield Named(text[phrase.start : phrase.end], phrase.start, phrase.end, first, last, coming, phrase)


def tense_of(text: str) -> Tense:
    """Whether a text tells of what was or of what will be, by its verbs."""
    if _will_be().search(text):
        return "coming"
    return "past" if _was().search(text) else "open"


def lasted(text: str, said: date) -> str:
    """Since when something is, that is for some years now; empty if it is not said."""
    found = _lasting().search(text)
    if not found:
        return ""
    unit = found["unit"].lower()
    back = said - timedelta(days=min(many(found["n"]) * LENGTHS[unit], said.toordinal() - 1))
    return back.isoformat()[: 4 if unit == "year" else 7]


def spoken(iso: str) -> str:
    """A day as one says it: 3 June 2026."""
    parts = [int(part) for part in iso.split("-")]
    names = [f"{parts[0]:04}", *(MONTHS[number - 1].title() for number in parts[1:2]), *(str(n) for n in parts[2:3])]
    return " ".join(reversed(names))


def iso_day(value: object) -> str | None:
    """An ISO day, month or year, if it is one; of a time, its day."""
    day = value[:DAY] if isinstance(value, str) else ""
    if not re.fullmatch(r"\d{4}(?:-\d\d(?:-\d\d)?)?", day, re.ASCII):
        return None
    try:
        date.fromisoformat((day + "-01-01")[:DAY])
    except ValueError:
        return None
    return day


def over(day: str | None, today: date) -> bool:
    """Whether a day, a month or a year is past, whichever is named."""
    return day is not None and day[:DAY] < today.isoformat()[: len(day)]


# Which days are meant -------------------------------------------------------------------------------------------------


def _days(phrase: Phrase, said: date, tense: Tense) -> tuple[str, str] | None:
    """The first and the last of the days that are meant, as exact as that is."""
    parts, kind = phrase.parts, phrase.kind
    if kind in ("date", "week"):
        return _of_date(parts, said, tense)
    if kind == "near":
        return _day(said + timedelta(days=NEAR[parts["word"]]))
    if kind == "weekday":
        return _of_weekday(parts, said, tense)
    if kind in ("ago", "ahead"):
        back = kind == "ago"
        return None if tense == "past" and not back else _counted(many(parts["n"]), parts["unit"], said, back=back)
    if kind == "around":
        return _around(parts["turn"], parts["unit"], said, tense)
    if kind == "month":
        soon = tense == "open" and parts.get("lead") in ("until", "till", "by")
        return _of_month(parts, said, "coming" if soon else tense)
    return parts["year"], parts["year"]


def _day(day: date) -> tuple[str, str]:
    return day.isoformat(), day.isoformat()


def _of_date(parts: Mapping[str, str], said: date, tense: Tense) -> tuple[str, str]:
    month, number, begin = month_number(parts["month"]), int(parts["day"]), int(parts.get("begin", 0))
    if "year" in parts:
        day = date(int(parts["year"]), month, number)
    elif tense == "past":
        day = max(each for year in range(9) for each in _in(said.year - year, month, number) if each <= said)
    else:
        day = min(each for year in range(9) for each in _in(said.year + year, month, number) if each >= said)
    if "unit" in parts:
        return day.isoformat(), (day + timedelta(days=6 if parts["unit"] == "week" else 1)).isoformat()
    return (day.replace(day=begin) if 0 < begin < day.day else day).isoformat(), day.isoformat()


def _in(year: int, month: int, day: int) -> list[date]:
    """The day in that year, if it has it: not each has a 29 February."""
    try:
        return [date(year, month, day)]
    except ValueError:
        return []


def _of_weekday(parts: Mapping[str, str], said: date, tense: Tense) -> tuple[str, str]:
    number, turn, monday = WEEKDAYS.index(parts["weekday"]), parts.get("turn", ""), said - timedelta(said.weekday())
    if "week" in parts or turn == "next":
        return _day(monday + timedelta(days=number + 7 * _TURNS[parts.get("week", turn)]))
    near = turn == "this"
    if _TURNS.get(turn) == -1 or (tense == "past" and _TURNS.get(turn, 0) == 0):
        return _day(said - timedelta(days=(said.weekday() - number - (not near)) % 7 + (not near)))
    return _day(said + timedelta(days=(number - said.weekday() - (not near)) % 7 + (not near)))


def _counted(count: int, unit: str, said: date, *, back: bool) -> tuple[str, str]:
    count = -count if back else count
    if unit == "year":
        return _year(said.year + count)
    if unit == "month":
        return _month(said.year * 12 + said.month - 1 + count)
    day = (said + timedelta(days=count * LENGTHS[unit])).isoformat()
    return (day[:7], day[:7]) if back and unit == "week" else (day, day)


def _around(turn: str, unit: str, said: date, tense: Tense) -> tuple[str, str]:
    step, ahead = _TURNS[turn], said.weekday() < WEEKDAYS.index("saturday")
    if unit == "weekend" and ahead and (turn in ("coming", "this coming") or (turn == "this" and tense == "past")):
        step -= 1
    if unit == "year":
        return _year(said.year + step)
    if unit == "month":
        return _month(said.year * 12 + said.month - 1 + step)
    monday = said + timedelta(days=7 * step - said.weekday())
    first = monday + timedelta(days=5 if unit == "weekend" else 0)
    return first.isoformat(), (monday + timedelta(days=6)).isoformat()


def _of_month(parts: Mapping[str, str], said: date, tense: Tense) -> tuple[str, str] | None:
    number, turn, year = month_number(parts["month"]), parts.get("turn", ""), said.year
    if "year" in parts:
        year = int(parts["year"])
    elif _TURNS.get(turn) == -1:
        year -= number >= said.month
    elif turn == "next":
        year += number <= said.month
    elif turn == "this":
        pass
    elif tense == "past":
        year -= number > said.month
    elif tense == "open" and not turn:
        return None
    else:
        year += number < said.month
    return _month(year * 12 + number - 1)


def _month(months: int) -> tuple[str, str]:
    whole = date(months // 12, months % 12 + 1, 1).isoformat()[:7]
    return whole, whole


def _year(year: int) -> tuple[str, str]:
    whole = date(year, 1, 1).isoformat()[:4]
    return whole, whole


@cache
def _lasting() -> re.Pattern[str]:
    number = rf"(?P<n>\d{{1,3}}|{'|'.join(COUNTS)})"
    return re.compile(rf"\bfor (?:the (?:last|past) )?{number} (?P<unit>week|month|year)s?\b", re.IGNORECASE)


@cache
def _will_be() -> re.Pattern[str]:
    return re.compile(
        r"\b(?:will|won't|shall|\w+'ll|going to|(?:am|is|are|'m|'re|i'm|we're) \w+ing|(?:\w+'s|getting) \w+ing|"
        r"plan(?:s|ning|ned)? (?:to|on|for)|want(?:s)? to|hopes? to|(?:have|has|need|needs) to|"
        r"have an?|has an?|appointment|booked|scheduled|reserved|invited|meeting is|flight|exam is|deadline|due|is on|"
        r"(?:start|turn|leave|arrive|return|expire|end|move|come|visit|open|close)s?|fly|flies|marry|marries|"
        r"(?:getting|gets) married)\b",
        re.IGNORECASE,
    )


@cache
def _was() -> re.Pattern[str]:
    return re.compile(
        r"\b(?:was|were|did|had|been|(?!need|indeed|speed|hundred|naked|sacred)\w{2,}ed|ran|went|met|bought|sold|"
        r"(?<!'ve )(?<!have )got|saw|began|left|came|took|made|gave|wrote|grew|won|lost|spent|fell|became|flew|drove|"
        r"read)\b",
        re.IGNORECASE,
    )
