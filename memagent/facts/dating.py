"""The days that a message speaks of: "tomorrow", "next Friday", "on 10 March", "since 2015", "two years ago".

A day that is said without its year is the nearest one: to come, unless the sentence tells of what was. Only English is
read. Knows nothing of facts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

from memagent.facts.days import spoken
from memagent.memory.dates import MONTHS, WEEKDAYS

_NUMBERS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10,
}  # fmt: skip
_MONTH = rf"(?P<month>{'|'.join(m.capitalize() for m in MONTHS)}|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_ISO = re.compile(r"\b((?:19|20)\d\d-\d\d-\d\d)\b")
_DAY = re.compile(
    rf"\b(?:(?P<first>\d{{1,2}})(?:st|nd|rd|th)? ?(?:to|until|till|-|–) ?)?"
    rf"(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?{_MONTH}(?:,? {_YEAR}\b)?"
)
_DAY_AFTER = re.compile(rf"\b{_MONTH} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)(?:,? {_YEAR}\b)?")
_IN_MONTH = re.compile(rf"\b(?:in|since|last|this|next|by|of|until) {_MONTH}(?: {_YEAR}\b)?")
_IN_YEAR = re.compile(rf"\b(?:in|since|from|of|until) {_YEAR}\b", re.IGNORECASE)
_NEAR = re.compile(
    r"\b(?P<word>(?:the )?day after tomorrow|tomorrow|today|tonight|yesterday|"
    rf"(?P<turn>next|this|last|on) (?P<day>{'|'.join(WEEKDAYS)}))\b",
    re.IGNORECASE,
)
_AGO = re.compile(rf"\b(?P<n>\d{{1,3}}|{'|'.join(_NUMBERS)}) (?P<unit>day|week|month|year)s? ago\b", re.IGNORECASE)
_AROUND = re.compile(r"\b(?P<turn>last|next|this) (?P<unit>week|month|year)\b", re.IGNORECASE)
_WAS = re.compile(
    r"\b(?:was|were|did|had|been|\w{2,}ed|ran|went|met|got|bought|sold|saw|began|started|left|came|last)\b"
)
_AGAIN = re.compile(r"\b(?:birthday|anniversary|every|each|always|annual\w*|yearly|born|due|name day)\b", re.IGNORECASE)
_LENGTHS = {"day": 1, "week": 7, "month": 30, "year": 365}


@dataclass(frozen=True)
class Named:
    """Days that a text names: its words for them, the first and the last, as exact as they are known (ISO)."""

    words: str
    first: str
    last: str = ""
    relative: bool = False
    """Whether the words mean another day on another day."""

    @property
    def exact(self) -> bool:
        """Whether it is known to the day."""
        return len(self.first) == 10

    @property
    def shown(self) -> str:
        """The days in words that mean the same for ever."""
        return spoken(self.first)


def named(text: str, said: date) -> Named | None:
    """The days that a text speaks of, said on that day; None if it names none."""
    for read in (_iso, _on_day, _near, _ago, _month, _year, _around):
        try:
            found = read(text, said)
        except (ValueError, OverflowError):  # the 31st of June
            continue
        if found:
            return found
    return None


def passes(text: str) -> bool:
    """Whether what happens on a day that the text names is over then: not what comes again each year."""
    return not _AGAIN.search(text)


def _iso(text: str, _said: date) -> Named | None:
    found = _ISO.search(text)
    return Named(found[0], date.fromisoformat(found[1]).isoformat()) if found else None


def _on_day(text: str, said: date) -> Named | None:
    found = _DAY.search(text) or _DAY_AFTER.search(text)
    if not found:
        return None
    day = _nearest(text, said, found["year"], _number(found["month"]), int(found["day"]))
    begin = found.groupdict().get("first")
    first = day.replace(day=int(begin)) if begin and int(begin) < day.day else day
    return Named(found[0], first.isoformat(), day.isoformat())


def _nearest(text: str, said: date, year: str | None, month: int, day: int) -> date:
    if year:
        return date(int(year), month, day)
    found = date(said.year, month, day)
    past = bool(_WAS.search(text))
    if past and found > said:
        return found.replace(year=said.year - 1)
    if not past and found < said - timedelta(days=30):
        return found.replace(year=said.year + 1)
    return found


def _near(text: str, said: date) -> Named | None:
    found = _NEAR.search(text)
    if not found:
        return None
    word = found["word"].lower().removeprefix("the ")
    days = {"day after tomorrow": 2, "tomorrow": 1, "today": 0, "tonight": 0, "yesterday": -1}.get(word)
    if days is None:
        turn = found["turn"].lower()
        days = (WEEKDAYS.index(found["day"].lower()) - said.weekday()) % 7
        if turn == "last" or (turn == "on" and _WAS.search(text)):
            days -= 7
        elif days == 0:
            days = 7
    return Named(found[0], (said + timedelta(days=days)).isoformat(), relative=True)


def _ago(text: str, said: date) -> Named | None:
    found = _AGO.search(text)
    if not found:
        return None
    unit, count = found["unit"].lower(), _NUMBERS.get(found["n"].lower()) or int(found["n"])
    if unit == "year":
        return Named(found[0], str(said.year - count), relative=True)
    day = (said - timedelta(days=count * _LENGTHS[unit])).isoformat()
    return Named(found[0], day if unit == "day" else day[:7], relative=True)


def _month(text: str, said: date) -> Named | None:
    found = _IN_MONTH.search(text)
    if not found:
        return None
    month, word = _number(found["month"]), found[0].split()[0].lower()
    if found["year"]:
        return Named(found[0], f"{int(found['year']):04}-{month:02}")
    year = said.year
    if (word in ("last", "since") or _WAS.search(text)) and month >= said.month:
        year -= 1
    elif word == "next" or (month < said.month and not _WAS.search(text) and word != "last"):
        year += month <= said.month
    return Named(found[0], f"{year:04}-{month:02}", relative=word in ("last", "this", "next"))


def _year(text: str, _said: date) -> Named | None:
    found = _IN_YEAR.search(text)
    return Named(found[0], found["year"]) if found else None


def _around(text: str, said: date) -> Named | None:
    found = _AROUND.search(text)
    if not found:
        return None
    step, unit = {"last": -1, "next": 1, "this": 0}[found["turn"].lower()], found["unit"].lower()
    if unit == "year":
        return Named(found[0], str(said.year + step), relative=True)
    day = said + timedelta(days=step * _LENGTHS[unit])
    return Named(found[0], day.isoformat()[:7], relative=True)


def _number(month: str) -> int:
    return next(at for at, name in enumerate(MONTHS, 1) if name.startswith(month.lower()[:3]))
