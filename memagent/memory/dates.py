"""The times that a question names: "in May 2023", "on 7 June", "last week", "three days ago", and how near a day is.

What happened is told of afterwards: a day that follows soon counts too. Only English is read. Knows nothing of what
is searched.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "ten": 10}
_ENDING = r"(?:st|nd|rd|th)?"
_MONTH = rf"(?P<month>{'|'.join(MONTHS)}|jan|feb|apr|jun|jul|aug|sept?|oct|nov|dec)\b\.?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_BEFORE_MAY = (
    r"(?:in|of|on|since|before|after|until|till|during|by|from|early|late|mid|last|this|next|\d(?:st|nd|rd|th)?)"
)
_ISO = re.compile(r"\b(?P<year>(?:19|20)\d\d)-(?P<month>\d\d)(?:-(?P<day>\d\d))?\b")
_NAMED = re.compile(
    rf"\b(?:(?P<day>\d{{1,2}}){_ENDING} (?:of )?)?{_MONTH}(?: (?P<later>\d{{1,2}}){_ENDING}\b(?!:))?(?:,? {_YEAR}\b)?"
)
_ALONE = re.compile(rf"\b{_YEAR}\b")
_AGO = re.compile(rf"\b(?P<n>\d{{1,3}}|{'|'.join(_NUMBERS)}) (?P<unit>day|week|month|year)s? ago\b")
_LAST = re.compile(rf"\b(?P<which>last|past|this) (?P<unit>week|weekend|month|year|night|{'|'.join(WEEKDAYS)})\b")
_NEAR = re.compile(r"\b(?P<word>yesterday|today|tonight)\b")
_LENGTHS = {"day": 1, "week": 7, "month": 30, "year": 365}


@dataclass(frozen=True)
class Span:
    """Some days, both ends included; of any year, if `yearly`."""

    first: date
    last: date
    yearly: bool = False

    def fit(self, day: date) -> float:
        """How well a day fits: 1 within the span, less soon after, below 0 far from it."""
        lag = min((self._lag(day, turn) for turn in ((-1, 0, 1) if self.yearly else (0,))), default=0)
        return 1.0 if lag == 0 else 0.6 if lag <= 8 else 0.25 if lag <= 21 else -0.5

    def _lag(self, day: date, turn: int) -> int:
        """Days since the span; one day before it counts as three after."""
        first, last = self.first, self.last
        if self.yearly:
            first, last = (_in_year(end, min(max(day.year + turn, 1), 9999)) for end in (first, last))
        after, before = day.toordinal() - last.toordinal(), first.toordinal() - day.toordinal()
        return max(after, 3 * before, 0)


@dataclass(frozen=True)
class Dated:
    """The spans that a text names, and the words (in small letters) that do so."""

    spans: tuple[Span, ...] = ()
    words: frozenset[str] = frozenset()

    def fit(self, day: date) -> float:
        """How well a day fits the best of the spans."""
        return max((span.fit(day) for span in self.spans), default=0.0)

    def fit_day(self, number: int) -> float:
        """The same for a day by its number (`date.toordinal`)."""
        return self.fit(date.fromordinal(number))


def dated(text: str, now: date) -> Dated:
    """Find the times in a text that was written on the day `now`."""
    text, spans, words = text.lower(), list[Span](), set[str]()
    for found in _matches(text):
        try:
            span = _span(found, now)
        except (ValueError, OverflowError):  # 31 February, or a day before the year 1
            continue
        if span:
            spans.append(span)
            words |= set(re.findall(r"[a-z0-9]+", found.group()))
    return Dated(tuple(dict.fromkeys(spans)), frozenset(words - {"of", "a", "an", "ago"}))


FARTHEST = 3 * 366
"""Days ahead that a day may lie which is named without its year, or with it."""
_SOON = re.compile(r"\b(?:(?:next|this|coming) week|(?:in|for) (?:a|one|two|1|2) weeks?|weekend)\b")
_COMING = {"today": 0, "tonight": 0, "tomorrow": 1}


def names(text: str, day: date, now: date) -> bool:
    """Whether a text that was written on the day `now` names a day that is not past: by its date or its number, by its
    weekday, as tomorrow, or as being in a week or two.
    """
    ahead, words = (day - now).days, set(re.findall(r"\w+", text.lower()))
    if not 0 <= ahead <= FARTHEST:
        return False
    if any(word in words for word, days in _COMING.items() if days == ahead):
        return True
    if ahead <= 14 and (WEEKDAYS[day.weekday()] in words or _SOON.search(text.lower())):
        return True
    if any(re.fullmatch(rf"0?{day.day}{_ENDING}", word) for word in words):
        return True
    return dated(text, now).fit(day) == 1


def _matches(text: str) -> Iterator[re.Match[str]]:
    taken: list[tuple[int, int]] = []
    for pattern in (_ISO, _NAMED, _ALONE, _AGO, _LAST, _NEAR):
        for found in pattern.finditer(text):
            if not any(found.start() < end and start < found.end() for start, end in taken) and _meant(text, found):
                taken.append(found.span())
                yield found


def _meant(text: str, found: re.Match[str]) -> bool:
    """Whether "may" and "march" are months here."""
    parts = found.groupdict()
    if parts.get("month") not in ("may", "march") or parts.get("day") or parts.get("later") or parts.get("year"):
        return True
    return bool(re.search(rf"\b{_BEFORE_MAY} $", text[: found.start()]))


def _span(found: re.Match[str], now: date) -> Span | None:
    parts = found.groupdict()
    if parts.get("word"):
        return _around(now - timedelta(days=parts["word"] == "yesterday"))
    if parts.get("n"):
        count, unit = parts["n"], _LENGTHS[parts["unit"]]
        back = unit * (_NUMBERS[count] if count in _NUMBERS else int(count))
        return _around(now - timedelta(days=back), unit // 4)
    if parts.get("which"):
        return _recent(parts["which"], parts["unit"], now)
    return _named(parts)


def _named(parts: dict[str, str | None]) -> Span | None:
    year, month, day = parts.get("year"), parts.get("month"), parts.get("day") or parts.get("later")
    if not month:
        return Span(date(int(year or 1), 1, 1), date(int(year or 1), 12, 31)) if year else None
    number = int(month) if month.isdigit() else next(n for n, m in enumerate(MONTHS, 1) if m.startswith(month[:3]))
    of = int(year) if year else 2000
    first, last = (int(day), int(day)) if day else (1, monthrange(of, number)[1])
    return Span(date(of, number, first), date(of, number, last), yearly=not year)


def _recent(which: str, unit: str, now: date) -> Span:
    if unit in WEEKDAYS:
        return _around(now - timedelta(days=(now.weekday() - WEEKDAYS.index(unit) - 1) % 7 + 1))
    if unit == "night":
        return _around(now - timedelta(days=which != "this"))
    length = _LENGTHS.get(unit, 7)
    if which == "this":
        return Span(now - timedelta(days=length - 1), now)
    return Span(now - timedelta(days=2 * length), now - timedelta(days=1))


def _in_year(day: date, year: int) -> date:
    return day.replace(year=year, day=min(day.day, monthrange(year, day.month)[1]))


def _around(day: date, slack: int = 0) -> Span:
    return Span(day - timedelta(days=slack), day + timedelta(days=slack))
