"""How near a day is to those that a question names: "in May 2023", "on 7 June", "last week", "three days ago".

What happened is told of afterwards: a day that follows soon counts too, "last week" is any day of two weeks, and a
month without its year is that of any year. Which words name days is read in phrases.py. Knows nothing of what is
searched.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from memagent.memory.days import every
from memagent.memory.phrases import ENDING, LENGTHS, WEEKDAYS, Phrase, many, month_number, phrases

_BEFORE_MAY = ("in", "of", "on", "since", "before", "after", "until", "till", "during", "by", "from")


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
    """Find the times in a text that was written on the day `now`, and tells or asks of what was."""
    spans, words = list[Span](), set[str]()
    for phrase in phrases(text):
        try:
            span = _span(phrase, now)
        except (ValueError, OverflowError):  # 31 February, or a day before the year 1
            continue
        if span:
            spans.append(span)
            named = set(re.findall(r"[a-z0-9]+", text[phrase.start : phrase.end].lower()))
            words |= named - {phrase.lead, "of", "the", "a", "an", "ago"}
    return Dated(tuple(dict.fromkeys(spans)), frozenset(words))


FARTHEST = 3 * 366
"""Days ahead that a day may lie which is named without its year, or with it."""
_SOON = re.compile(r"\b(?:(?:next|this|coming) week|(?:in|for) (?:a|one|two|1|2) weeks?|weekend)\b")


def names(text: str, day: date, now: date) -> bool:
    """Whether a text that was written on the day `now` may name a day that is not past: as its words are read, by its
    number alone, or, if it comes soon, by its weekday, or as being in a week or two.
    """
    ahead, words = (day - now).days, set(re.findall(r"\w+", text.lower()))
    if not 0 <= ahead <= FARTHEST:
        return False
    if any(one.first <= day.isoformat()[: len(one.first)] and day.isoformat()[: len(one.last)] <= one.last
           for one in every(text, now, "coming")):  # fmt: skip
        return True
    if ahead <= 14 and (WEEKDAYS[day.weekday()] in words or _SOON.search(text.lower())):
        return True
    if any(re.fullmatch(rf"0?{day.day}{ENDING}", word) for word in words):
        return True
    return dated(text, now).fit(day) == 1


def _span(phrase: Phrase, now: date) -> Span | None:
    """The days that may be meant, of what was; None if it is to come."""
    parts = phrase.parts
    if phrase.kind in ("date", "month", "year"):
        alone = phrase.kind == "month" and parts["month"] in ("may", "march") and "year" not in parts
        return None if alone and not _is_month(parts) else _named(parts)
    if phrase.kind == "near":
        back = {"yesterday": 1, "last night": 1, "today": 0, "tonight": 0}.get(parts["word"])
        return None if back is None else _around(now - timedelta(days=back))
    if phrase.kind == "ago":
        length = LENGTHS[parts["unit"]]
        return _around(now - timedelta(days=length * many(parts["n"])), length // 4)
    if phrase.kind in ("weekday", "around") and parts.get("turn") in ("last", "past", "this"):
        return _recent(parts["turn"], parts.get("weekday") or parts["unit"], now)
    return None


def _is_month(parts: Mapping[str, str]) -> bool:
    return parts.get("lead") in _BEFORE_MAY or "turn" in parts or "about" in parts


def _named(parts: Mapping[str, str]) -> Span:
    year, day = parts.get("year"), parts.get("day")
    if "month" not in parts:
        return Span(date(int(year or 1), 1, 1), date(int(year or 1), 12, 31))
    number, of = month_number(parts["month"]), int(year) if year else 2000
    first, last = (int(day), int(day)) if day else (1, monthrange(of, number)[1])
    return Span(date(of, number, first), date(of, number, last), yearly=not year)


def _recent(turn: str, unit: str, now: date) -> Span:
    if unit in WEEKDAYS:
        return _around(now - timedelta(days=(now.weekday() - WEEKDAYS.index(unit) - 1) % 7 + 1))
    length = LENGTHS.get(unit, 7)
    if turn == "this":
        return Span(now - timedelta(days=length - 1), now)
    return Span(now - timedelta(days=2 * length), now - timedelta(days=1))


def _in_year(day: date, year: int) -> date:
    return day.replace(year=year, day=min(day.day, monthrange(year, day.month)[1]))


def _around(day: date, slack: int = 0) -> Span:
    return Span(day - timedelta(days=slack), day + timedelta(days=slack))
