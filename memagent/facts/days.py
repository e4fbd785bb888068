"""The days that a statement names, told on some day: "tomorrow", "next Friday", "since 2019", "until June".

What has been is left to `memory/dates.py`; what is to come is read here. Only English is read. Knows nothing of facts.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

from memagent.memory.dates import MONTHS, WEEKDAYS, Span, dated

_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "ten": 10}
_NUMBER = rf"(?P<n>\d{{1,3}}|{'|'.join(_COUNTS)})"
_MONTH = "|".join(MONTHS)
_COMING = tuple(
    re.compile(rf"(?:\b(?:on|by|this coming|coming)\s+)?\b{pattern}\b", re.IGNORECASE)
    for pattern in (
        r"(?P<word>the day after tomorrow|tomorrow|today|tonight)(?: (?:morning|afternoon|evening|night))?",
        rf"(?P<which>this|next)? ?(?P<weekday>{'|'.join(WEEKDAYS)})(?: (?:morning|afternoon|evening|night))?",
        r"(?P<next>next) (?P<unit>week|weekend|month|year)",
        rf"in {_NUMBER} (?P<units>day|week|month|year)s?",
        rf"in (?P<month>{_MONTH})",
    )
)
_AGAIN = re.compile(r"\b(?:every|each|most|any)\s*$", re.IGNORECASE)
"""What stands before a day that comes again and again."""
_PAST = re.compile(r"\b(?:last|past|ago|yesterday)\b", re.IGNORECASE)
_LENGTHS = {"day": 1, "week": 7, "month": 30, "year": 365}
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_YEAR = r"(?:,? (?:19|20)\d\d)?\b"
_NAMED = re.compile(
    r"(?:\b(?:on|in|since|until|till|by|from)\s+)?(?:\b(?:19|20)\d\d-\d\d(?:-\d\d)?\b"
    rf"|\b(?:the )?{_DAY}(?: of)? (?:{_MONTH}){_YEAR}|\b(?:{_MONTH})(?: {_DAY}\b)?{_YEAR}|\b(?:19|20)\d\d\b"
    r"|\b(?P<last>last (?:week|month|year))\b|\b(?:last|this) (?:weekend|night|\w+day)\b|\byesterday\b"
    rf"|\b(?:\d{{1,3}}|{'|'.join(_COUNTS)}) (?:day|week|month|year)s? ago\b)",
    re.IGNORECASE,
)
_LASTED = re.compile(rf"\bfor (?:the (?:last|past) )?{_NUMBER} (?P<units>week|month|year)s?\b", re.IGNORECASE)


@dataclass(frozen=True)
class When:
    """A time that is named: ISO dates, as exact as it is; where it stands in the text; and whether it is to come."""

    first: str
    last: str
    start: int
    end: int
    coming: bool

    @property
    def exact(self) -> bool:
        """Whether it is one day."""
        return self.first == self.last and len(self.first) == len("2026-05-31")


def named(text: str, day: date, *, future: bool) -> When | None:
    """The first time that a text names which was said on a day; `future` tells where it looks, if that is open."""
    if not _PAST.search(text):
        for pattern in _COMING:
            if found := pattern.search(text):
                again = _AGAIN.search(text[: found.start() + 1])
                if again or (found.groupdict().get("month") and not future):
                    continue
                first, last = _coming(found, day)
                start = found.end() - len(found.group().lstrip())
                return When(first, last, start, found.end(), True)
    found = _NAMED.search(text)
    if found and found["last"]:
        first, last = _last(found["last"].split()[1].lower(), day)
        return When(first, last, found.start(), found.end(), False)
    spans = dated(found.group(), day).spans if found else ()
    if not found or not spans:
        return None
    first, last = _iso(spans[0], day, future)
    return When(first, last, found.start(), found.end(), last[:10] >= day.isoformat()[: len(last)])


def lasted(text: str, day: date) -> str:
    """Since when something is, that is for some years now; empty if it is not said."""
    found = _LASTED.search(text)
    if not found:
        return ""
    back = day - timedelta(days=_many(found["n"]) * _LENGTHS[found["units"]])
    return back.isoformat()[: 4 if found["units"] == "year" else 7]


def spoken(iso: str) -> str:
    """A day as one says it: 3 June 2026."""
    parts = [int(part) for part in iso.split("-")]
    names = [str(parts[0]), *(MONTHS[number - 1].title() for number in parts[1:2]), *(str(n) for n in parts[2:3])]
    return " ".join(reversed(names))


def _many(number: str) -> int:
    return _COUNTS.get(number.lower()) or int(number)


def _coming(found: re.Match[str], day: date) -> tuple[str, str]:
    parts = {name: value.lower() for name, value in found.groupdict().items() if value}
    if word := parts.get("word"):
        return _one(day + timedelta(days={"tomorrow": 1, "the day after tomorrow": 2}.get(word, 0)))
    if weekday := parts.get("weekday"):
        ahead = (WEEKDAYS.index(weekday) - day.weekday() - 1) % 7 + 1
        same_week = parts.get("which") == "next" and ahead + day.weekday() < len(WEEKDAYS)
        return _one(day + timedelta(days=ahead + 7 * same_week))
    if unit := parts.get("unit"):
        return _next(unit, day)
    if month := parts.get("month"):
        number = MONTHS.index(month) + 1
        whole = f"{day.year + (number < day.month)}-{number:02}"
        return whole, whole
    count, units = _many(parts["n"]), parts["units"]
    if units == "month":
        return _month(day, count)
    return _one(day + timedelta(days=count * _LENGTHS[units]))


def _one(day: date) -> tuple[str, str]:
    return day.isoformat(), day.isoformat()


def _month(day: date, count: int) -> tuple[str, str]:
    months = day.year * 12 + day.month - 1 + count
    whole = f"{months // 12}-{months % 12 + 1:02}"
    return whole, whole


def _last(unit: str, day: date) -> tuple[str, str]:
    if unit == "month":
        return _month(day, -1)
    if unit == "year":
        return str(day.year - 1), str(day.year - 1)
    monday = day - timedelta(days=day.weekday() + 7)
    return monday.isoformat(), (monday + timedelta(days=6)).isoformat()


def _next(unit: str, day: date) -> tuple[str, str]:
    if unit == "month":
        return _month(day, 1)
    if unit == "year":
        return str(day.year + 1), str(day.year + 1)
    monday = day + timedelta(days=7 - day.weekday())
    first = monday + timedelta(days=5 if unit == "weekend" else 0)
    return first.isoformat(), (monday + timedelta(days=6)).isoformat()


def _iso(span: Span, day: date, future: bool) -> tuple[str, str]:
    """The span as exact as it is, in the year that is meant."""
    first, last = span.first, span.last
    if span.yearly:
        year = day.year
        if future and (last.month, last.day) < (day.month, day.day):
            year += 1
        if not future and (first.month, first.day) > (day.month, day.day):
            year -= 1
        first = first.replace(year=year, day=min(first.day, monthrange(year, first.month)[1]))
        last = last.replace(year=year, day=min(last.day, monthrange(year, last.month)[1]))
    if (first.month, first.day, last.month, last.day) == (1, 1, 12, 31) and first.year == last.year:
        return f"{first.year}", f"{first.year}"
    if first.day == 1 and last.day >= 28 and (first.year, first.month) == (last.year, last.month):
        return f"{first.isoformat()[:7]}", f"{first.isoformat()[:7]}"
    return first.isoformat(), last.isoformat()
