"""Ranks what a search has found: what is known of each text is turned into features, and these into a score.

The weights were learned on conversations, abstracts, passages and facts at once (`bench/learn.py`); they are two small
networks in `ranking.json`, one for words and meaning, one for words alone. All features are measured against the query
or against the best that was found, so that neither the size of a memory nor the scale of an embedding model matters,
and those that tell of neighbours are nothing where there are none. Knows nothing of SQL, or of how texts were found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from itertools import pairwise, takewhile
from math import tanh
from pathlib import Path
from typing import Any

from memagent.memory.columns import Column, PlainColumn, reckoner, worth
from memagent.memory.question import Question
from memagent.storage.closeness import possible

_TIMES = {  # by what they have in common: where that is not in a text, they need not be looked for
    "": (
        "tonight", "tomorrow", " ago", "last ", "next ", "since", "recently", "week", "month", "year", "morning",
        "evening", "march", "april", "june", "july", "august",
    ),
    "day": (
        "yesterday", "today", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
    ),
    "uary": ("january", "february"),
    "ber": ("september", "october", "november", "december"),
}  # fmt: skip
KNOWN_TEXTS = 16_384
ROWS_AT_ONCE = 64
"""Of more, numpy makes work for a thread on each core, and waits for all of them: that takes longer."""
_MARKS = ".,:;!?'\"’()"
_NUMBER = re.compile(r"\d+")
_YEAR = 4  # digits
_LOOKED_AT = 600  # characters of a text, for what its features say
_WORD = 5.5  # characters
_SHORT = 300  # characters of a text that may be a statement like another
_ALL_WORDS = 0.4  # what it counts besides to have all telling words: where little else is known, more words come first
_VERY_WORDS = 100.0  # what it counts that a text has the query as it stands, word for word; more than all else …
_FROM_THE_START = 10.0  # … and that it begins with it


@dataclass(frozen=True)
class Near:
    """Rows at one distance from the candidates: how strongly the telling words stand there, and which words."""

    strength: Sequence[float]
    words: Sequence[int]


@dataclass(frozen=True)
class Evidence:
    """What is known of the candidates, each list in their order. Words are sets of bits, a strength is their sum of
    rarity × how strongly they stand in a text; `telling` strengths leave out names and dates.
    """

    texts: Sequence[str]
    strength: Sequence[float]
    telling: Sequence[float]
    words: Sequence[int]
    phrases: Sequence[float]
    rarity: Sequence[float]
    """Of each word of the query."""
    meaning: Sequence[float] | None = None
    """How near to the whole query; below 0 what has no vector."""
    gist: Sequence[float] | None = None
    """How near to its telling words."""
    role: Sequence[int] = ()
    """1 for the user, -1 for the agent, 0 where people talk by name."""
    speaker: Sequence[int] = ()
    """1 where somebody speaks who is named in the query, -1 where it is another."""
    dates: Sequence[float] = ()
    asked: Sequence[int] = ()
    """Whether the message before ends in a question mark …"""
    asks_next: Sequence[int] = ()
    """… and the one after."""
    near: Mapping[int, Near] = field(default_factory=dict)
    """By distance: -2 to 2 without 0; only the nearest of a document's parts."""
    session: tuple[Column, Column, Column] | None = None
    """Of the sitting that a message is from: the greatest and the mean telling strength, and the words in it."""
    most: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """The greatest strength, telling strength and mean of a sitting there is."""


def features(question: Question, found: Evidence) -> dict[str, Column]:
    """What is known of each candidate, as numbers."""
    told = list(zip(*(_told(text[:_LOOKED_AT]) for text in found.texts), strict=True))
    made = {**_by_words(question, found), **_by_neighbours(question, found), **_by_beginning(question, *told[3:])}
    made |= {**_by_text(question, found, *told[:3]), **_by_place(found), **_by_form(question, found.texts)}
    if found.meaning is not None and found.gist is not None:
        made |= {**_closeness("meaning", found.meaning), **_closeness("gist", found.gist)}
    return made


def scores(question: Question, found: Evidence) -> Sequence[float]:
    """How good each candidate is."""
    if not found.texts:
        return []
    np, made = reckoner(), features(question, found)
    network = _networks()["words" if found.meaning is None else "both"]
    wanted, every = " ".join(question.query.text.lower().split()), (1 << len(found.rarity)) - 1
    very = [
        _verbatim(text, wanted) if words == every else 0.0
        for text, words in zip(found.texts, np.asarray(found.words).tolist(), strict=True)
    ]
    whole = network.run(made) + _ALL_WORDS * made["telling covered"] + np.asarray(very)
    rounded: list[float] = np.round(whole, 9).tolist()  # so that equals are equal however they were reckoned
    return rounded


def _verbatim(text: str, wanted: str) -> float:
    text = " ".join(text.lower().split())
    if wanted not in text:
        return 0.0
    return _VERY_WORDS + (_FROM_THE_START if text.startswith(wanted) else 0.0)


def _by_words(question: Question, found: Evidence) -> dict[str, Column]:
    np = reckoner()
    words, strength, says = (np.asarray(part) for part in (found.words, found.strength, found.telling))
    rarity, telling, proper = found.rarity, _only(found.rarity, question.telling), _only(found.rarity, question.proper)
    all_of, all_telling, all_proper = (max(sum(part), 1e-6) for part in (rarity, telling, proper))
    most, most_telling, _ = (max(number, 1e-6) for number in found.most)
    whole, said, names = worth(words, rarity, telling, proper)
    rarest = 1 << telling.index(max(telling)) if telling else 0
    return {
        "strength": strength / all_of / 2.2,
        "strength of best": strength / most,
        "telling": says / all_telling / 2.2,
        "telling of best": says / most_telling,
        "covered": whole / all_of,
        "telling covered": said / all_telling,
        "phrases": np.asarray(found.phrases) / all_of,
        "rarest": words & rarest > 0,
        "words": np.bitwise_count(words) / max(1, len(rarity)),
        "names covered": names / all_proper,
        "names missing": 1.0 - names / all_proper if any(question.proper) else np.full(len(words), 0.0),
    }


def _by_neighbours(question: Question, found: Evidence) -> dict[str, Column]:
    """How well the messages around a candidate match: an answer is often told by its question."""
    np, telling = reckoner(), _only(found.rarity, question.telling)
    words, none, all_telling = np.asarray(found.words), np.full(len(found.texts), 0.0), max(sum(telling), 1e-6)
    _, most_telling, most_mean = (max(number, 1e-6) for number in found.most)
    columns: dict[str, Column] = {}
    for distance in (-1, 1, -2, 2):
        near = found.near.get(distance)
        columns[f"telling at {distance}"] = np.asarray(near.strength) / most_telling if near else none
    for name, reach in (
        ("with the one before", (-1,)),
        ("with both sides", (-1, 1)),
        ("with two sides", (-2, -1, 1, 2)),
    ):
        around = words
        for distance in reach:
            if near := found.near.get(distance):
                around = around | np.asarray(near.words)
        columns[name] = worth(around - words, telling)[0] / all_telling
    best, mean, inside = found.session or (none, none, none)
    columns["sitting's best"] = np.asarray(best) / most_telling
    columns["sitting's mean"] = np.asarray(mean) / most_mean
    columns["sitting covers"] = worth(np.asarray(inside), telling)[0] / all_telling if found.session else none
    columns["answers what matches"] = _given(found.asked, none) * columns["telling at -1"]
    return columns


def _by_beginning(question: Question, first: Sequence[Collection[str]], named: Sequence[bool]) -> dict[str, Column]:
    np, asked = reckoner(), {word.lower() for word in question.query.words.words}
    alike = np.asarray([len(asked.intersection(two)) for two in first]) / 2
    by_name = any(question.proper)
    return {
        "begins alike": alike,
        "begins with the name": np.where(np.asarray(named), 2 * alike - 1, 0.0) if by_name else 0 * alike,
    }


def _by_text(
    question: Question, found: Evidence, asking: Sequence[float], times: Sequence[float], numbers: Sequence[float]
) -> dict[str, Column]:
    np, count = reckoner(), len(found.texts)
    asks, tells, counts = (np.asarray(column) for column in (asking, times, numbers))
    lengths = np.asarray([len(text) for text in found.texts]) / _WORD
    logs = np.log(np.maximum(lengths, 1.0))
    usual = sum(logs.tolist()) / count
    return {
        "asks": asks,
        "ends asking": np.asarray([text.endswith("?") for text in found.texts]),
        "times": tells,
        "times when asked": tells * question.when,
        "numbers": counts,
        "numbers when asked": counts * question.many,
        "when": np.full(count, float(question.when)),
        "length": logs / 5,
        "longer than usual": (logs - usual) / 2,
        "usual length": np.full(count, usual / 5),
        "short": np.maximum(1.0 - lengths / 8, 0.0),
        "query's length": np.full(count, min(len(found.rarity), 12) / 12),
        "query asks": np.full(count, float(question.asks)),
    }


def _by_form(question: Question, texts: Sequence[str]) -> dict[str, Column]:
    """How alike a short text is to what is stated, small words and all: what is put in the same words about the same
    thing is what a new statement replaces. Questions are not put like their answers.
    """
    np, names = reckoner(), ("begins the same", "put the same", "of it put the same")
    if question.asks:
        return dict.fromkeys(names, np.full(len(texts), 0.0))
    wanted = question.query.text.lower().split()
    pairs = set(pairwise(wanted))
    rows = [_form(wanted, pairs, text.lower().split()) if len(text) < _SHORT else (0.0, 0.0, 0.0) for text in texts]
    return dict(zip(names, map(np.asarray, zip(*rows, strict=True)), strict=True))


def _form(wanted: Sequence[str], pairs: Collection[tuple[str, str]], words: Sequence[str]) -> tuple[float, ...]:
    """How many words are the same at the beginning, and how many pairs of words of each are in the other."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(wanted, words, strict=False)))
    both = len(set(pairwise(words)).intersection(pairs))
    return min(8, same) / 8, both / max(1, len(pairs)), both / max(1, len(words) - 1)


@lru_cache(KNOWN_TEXTS)
def _told(text: str) -> tuple[float, float, float, frozenset[str], bool]:
    """Whether a text asks something, how much it tells of times, and whether of numbers; its first two words, and
    whether they are a name. Of a long text only the beginning is given.
    """
    first = [word.strip(_MARKS) for word in text[:60].split()[:2]]
    named = len(first) == 2 and all(word[:1].isupper() for word in first)
    text = text.lower()
    numbers = _NUMBER.findall(text)
    times = sum([len(number) // _YEAR for number in numbers])
    for part, words in _TIMES.items():
        if part in text:
            times += sum(map(text.count, words))
    return float("?" in text), float(min(2, times)), float(bool(numbers)), frozenset(map(str.lower, first)), named


def _by_place(found: Evidence) -> dict[str, Column]:
    none = reckoner().full(len(found.texts), 0.0)
    return {
        "talk": none + bool(len(found.role)),
        "role": _given(found.role, none),
        "speaker": _given(found.speaker, none),
        "date": _given(found.dates, none),
        "asked before": _given(found.asked, none),
        "asks next": _given(found.asks_next, none),
    }


def _closeness(name: str, near: Sequence[float]) -> dict[str, Column]:
    np, column = reckoner(), reckoner().asarray(near)
    ordered = np.sort(column).tolist()
    best, usual = ordered[-1], max(ordered[-min(len(ordered), 51)], 0.0)
    room, most = max(best - usual, 1e-6), max(best, 1e-6)
    return {
        name: np.where(column > 0, column / most, 0.0),
        f"{name} above the usual": np.where(column > usual - 2 * room, (column - usual) / room, -2.0),
    }


def _only(rarity: Sequence[float], flags: Sequence[bool]) -> list[float]:
    """The rarities of the words that are meant, 0 for the others."""
    return [one if meant else 0.0 for one, meant in zip(rarity, flags, strict=True)]


def _given(known: Column, none: Column) -> Column:
    """What is known, as a column, or nothing."""
    return reckoner().asarray(known) if len(known) else none


@dataclass(frozen=True)
class Network:
    """A layer of a few units beside a straight sum: numbers in, one number out."""

    names: Sequence[str]
    mean: Sequence[float]
    scale: Sequence[float]
    units: Sequence[Sequence[float]]
    """Of each unit: a bias, a weight for each feature, and what the unit counts."""
    straight: Sequence[float]
    limit: float

    def run(self, made: Mapping[str, Column]) -> Column:
        """One number for each candidate."""
        columns = [made[name] for name in self.names]
        return self._quickly(columns) if possible() else self._plainly(columns)

    def _quickly(self, columns: Sequence[Column]) -> Column:
        import numpy as np

        mean, scale, units, straight = self._arrays
        inputs = np.clip((np.array(columns, "f8") - mean) / scale, -self.limit, self.limit)
        out = np.empty(inputs.shape[1])
        for start in range(0, len(out), ROWS_AT_ONCE):
            some = inputs[:, start : start + ROWS_AT_ONCE]
            hidden = np.tanh(units[:, 1:-1] @ some + units[:, :1])
            out[start : start + ROWS_AT_ONCE] = units[:, -1] @ hidden + straight @ some
        return out

    @cached_property
    def _arrays(self) -> tuple[Any, ...]:
        import numpy as np

        mean, scale, units, straight = (
            np.array(part, "f8") for part in (self.mean, self.scale, self.units, self.straight)
        )
        return mean[:, None], scale[:, None], units, straight

    def _plainly(self, columns: Sequence[Iterable[float]]) -> Column:
        scaled = [
            [max(-self.limit, min(self.limit, (value - mean) / scale)) for value in column]
            for column, mean, scale in zip(columns, self.mean, self.scale, strict=True)
        ]
        out = []
        for row in zip(*scaled, strict=True):
            total = sum(map(float.__mul__, row, self.straight))
            for unit in self.units:
                total += unit[-1] * tanh(unit[0] + sum(map(float.__mul__, row, unit[1:-1])))
            out.append(total)
        return PlainColumn(out)


@cache
def _networks() -> dict[str, Network]:
    found = json.loads(Path(__file__).with_name("ranking.json").read_text("utf-8"))
    return {name: Network(**parts) for name, parts in found.items()}
