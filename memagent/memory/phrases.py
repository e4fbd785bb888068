"""The words of a text that may name days: "next Friday", "3 May", "since 2019", "two years ago".

Only English is read. Knows nothing of which days are meant: that depends on when something was said (see days.py), or
on what is looked for (see dates.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LENGTHS = {"day": 1, "week": 7, "month": 30, "year": 365}
"""Days of what is counted in."""
ENDING = r"(?:st|nd|rd|th)?"
"""What a number of a day may end with."""

_FEW = "one two three four five six seven eight nine ten eleven twelve"
COUNTS = {"a": 1, "an": 1, **{word: number for number, word in enumerate(_FEW.split(), 1)}}
"""Words for numbers."""
NEAR = {
    "the day after tomorrow": 2, "day after tomorrow": 2, "tomorrow": 1, "today": 0, "tonight": 0, "this morning": 0,
    "this afternoon": 0, "this evening": 0, "last night": -1, "yesterday": -1, "the day before yesterday": -2,
    "day before yesterday": -2,
}  # fmt: skip
"""Words for days near by, and how far ahead they are."""


@dataclass(frozen=True)
class Phrase:
    """Words that name days, wherever they are said: what kind of words, where they stand, and their parts, in small
    letters. `lead` is the preposition that they begin with.
    """

    kind: str
    start: int
    end: int
    parts: Mapping[str, str]

    @property
    def lead(self) -> str:
        """The preposition that they begin with, if they do."""
        return self.parts.get("lead", "")


def phrases(text: str) -> Iterator[Phrase]:
    """The words of a text that may name days, the most exact first; no word is read twice."""
    taken: list[tuple[int, int]] = []
    for kind, pattern in _grammar():
        for found in pattern.finditer(text):
            start, end = found.span()
            if not any(start < last and first < end for first, last in taken):
                taken.append((start, end))
                parts = {name: " ".join(part.lower().split()) for name, part in found.groupdict().items() if part}
                yield Phrase(kind, start, end, parts)


def month_number(name: str) -> int:
    """Which month a name, its beginning or its number is."""
    return int(name) if name.isdigit() else next(at for at, m in enumerate(MONTHS, 1) if m.startswith(name[:3]))


def many(number: str) -> int:
    """What a number says that is written as a word or in digits."""
    return COUNTS.get(number.lower()) or int(number)


@cache  # made when it is first needed: a start of the program needs none
def _grammar() -> tuple[tuple[str, re.Pattern[str]], ...]:
    lead = r"\b(?:(?P<lead>on|in|since|until|till|by|from|of|for|before|after|to|during)\s+)?(?:the )?"
    month = rf"(?P<month>(?:{'|'.join(MONTHS)})\b|(?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\b\.?)"
    year = r"(?P<year>(?:19|20)\d\d)"
    day = rf"(?P<day>\d{{1,2}}){ENDING}"
    begun = rf"(?:(?P<begin>\d{{1,2}}){ENDING} ?(?:to|until|till|-|–) ?(?:the )?)?"
    number, weekday = rf"(?P<n>\d{{1,3}}|{'|'.join(COUNTS)})", rf"(?P<weekday>{'|'.join(WEEKDAYS)})"
    part = r"(?: (?P<part>morning|afternoon|evening|night)\b)?"
    about = r"(?P<about>early|mid|late)"
    turn = r"(?P<turn>this coming|this past|coming|next|this|last|past)"
    near = "|".join(re.escape(word) for word in sorted(NEAR, key=len, reverse=True))
    patterns = (
        ("week", rf"{lead}(?P<unit>weekend|week) of (?:the )?{day} {month},? {year}\b"),
        ("date", rf"{lead}{year}-(?P<month>\d\d)-(?P<day>\d\d)\b"),
        ("month", rf"{lead}{year}-(?P<month>\d\d)\b(?!-)"),
        ("date", rf"{lead}{begun}{day} (?:of )?{month}(?:,? {year}\b)?"),
        ("date", rf"{lead}{month} (?:the )?{day}\b(?!:)(?:,? {year}\b)?"),
        ("near", rf"\b(?:(?P<lead>since|until|till|by|from|for|before|after|to) )?(?P<word>{near})\b{part}"),
        ("weekday", rf"{lead}(?:{turn} )?{weekday}\b{part}(?: (?:of )?(?P<week>next|this|last) week\b)?"),
        ("ago", rf"\b{number} (?P<unit>day|week|month|year)s? ago\b"),
        ("ahead", rf"\bin {number} (?P<unit>day|week|month|year)s?\b(?! of)"),
        ("month", rf"{lead}(?:(?:{about}|{turn})[ -])?{month}(?:,? {year}\b)?"),
        ("year", rf"{lead}(?:{about}[ -])?{year}\b(?![-%])"),
        ("around", rf"\b(?:(?P<lead>since|until|till|by|from|for|of) )?{turn} (?P<unit>weekend|week|month|year)\b"),
    )
    return tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in patterns)


def sure(phrase: Phrase, text: str) -> bool:
    """Whether these words name days where they stand, and nothing that comes again and again, or bears their name."""
    parts, before, after = phrase.parts, text[: phrase.start].rstrip(), text[phrase.end :]
    if phrase.kind == "year" or (phrase.kind == "month" and "year" not in parts):
        return "turn" in parts or phrase.lead in _LEADS
    if phrase.kind != "weekday":
        return True
    if _goes_on().match(after) or _went_on().search(text[: phrase.end]):
        return False
    if parts.keys() & {"lead", "turn", "week"}:
        return True
    return not _again().search(before) and ("part" in parts or bool(_ends().match(after)))


_LEADS = frozenset(("in", "since", "until", "till", "by", "from", "of", "during", "before", "after"))


@cache
def _again() -> re.Pattern[str]:
    return re.compile(
        r"\b(?:every|each|most|any|some|one|an?|good|black|easter|palm|my|our|his|her|their|other)$", re.IGNORECASE
    )


@cache
def _goes_on() -> re.Pattern[str]:
    return re.compile(rf"{_TO}(?:{'|'.join(WEEKDAYS)})", re.IGNORECASE)


@cache
def _went_on() -> re.Pattern[str]:
    return re.compile(rf"(?:{'|'.join(WEEKDAYS)}){_TO}\w+$", re.IGNORECASE)


_TO = r" ?(?:to|through|until|till|-|–) ?"


@cache
def _ends() -> re.Pattern[str]:
    return re.compile(r"\s*(?:$|[.,;!?)]|(?:at|in|with|for|from|and|but|or|because|i|we|my)\b)", re.IGNORECASE)
