"""Ranks what a search has found: what is known of each text is turned into features, and these into a score.

The weights were learned on conversations, abstracts, passages and facts at once (`bench/learn.py`); they are two small
networks in `ranking.json`, one for words and meaning, one for words alone. All features are measured against the query
or against the best that was found, so that neither the size of a memory nor the scale of an embedding model matters,
and those that tell of neighbours are nothing where there are none. Knows nothing of SQL, or of how texts were found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from itertools import chain, pairwise, takewhile
from math import log, tanh
from pathlib import Path
from typing import Any

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
Column = list[float]


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
    session: Sequence[tuple[float, float, int]] = ()
    """Of the sitting that a message is from: the greatest and the mean telling strength, and the words in it."""
    most: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """The greatest strength, telling strength and mean of a sitting there is."""


def features(question: Question, found: Evidence) -> dict[str, Column]:
    """What is known of each candidate, as numbers."""
    made = {**_by_words(question, found), **_by_text(question, found), **_by_place(found)}
    made |= _by_form(question, found.texts)
    if found.meaning is not None and found.gist is not None:
        made |= {**_closeness("meaning", found.meaning), **_closeness("gist", found.gist)}
    return made


def scores(question: Question, found: Evidence) -> Column:
    """How good each candidate is."""
    if not found.texts:
        return []
    made = features(question, found)
    network = _networks()["words" if found.meaning is None else "both"]
    wanted, every = " ".join(question.query.text.lower().split()), (1 << len(found.rarity)) - 1
    covered = made["telling covered"]
    return [  # rounded, so that equals are equal however they were reckoned
        round(score + _ALL_WORDS * share + (_verbatim(text, wanted) if words == every else 0.0), 9)
        for score, share, text, words in zip(network.run(made), covered, found.texts, found.words, strict=True)
    ]


def _verbatim(text: str, wanted: str) -> float:
    text = " ".join(text.lower().split())
    if wanted not in text:
        return 0.0
    return _VERY_WORDS + (_FROM_THE_START if text.startswith(wanted) else 0.0)


def _by_words(question: Question, found: Evidence) -> dict[str, Column]:
    rarity, many = found.rarity, max(1, len(found.rarity))
    telling = [r if is_telling else 0.0 for r, is_telling in zip(rarity, question.telling, strict=True)]
    proper = [r if is_proper else 0.0 for r, is_proper in zip(rarity, question.proper, strict=True)]
    all_of, all_telling, all_proper = (max(sum(part), 1e-6) for part in (rarity, telling, proper))
    most, most_telling, _ = (max(number, 1e-6) for number in found.most)
    sums = _Sums(rarity, telling, proper)
    known = sums.of(found.words)
    whole, said, names = zip(*(known[words] for words in found.words), strict=True)
    rarest = 1 << telling.index(max(telling)) if telling else 0
    named = any(question.proper)
    asked = {word.lower() for word in question.query.words.words}
    told = [_told(text[:_LOOKED_AT])[3:] for text in found.texts]
    begins = [len(asked & first) / 2 for first, _ in told]
    columns = {
        "strength": [s / all_of / 2.2 for s in found.strength],
        "strength of best": [s / most for s in found.strength],
        "telling": [s / all_telling / 2.2 for s in found.telling],
        "telling of best": [s / most_telling for s in found.telling],
        "covered": [c / all_of for c in whole],
        "telling covered": [c / all_telling for c in said],
        "phrases": [p / all_of for p in found.phrases],
        "rarest": [float(bool(words & rarest)) for words in found.words],
        "words": [words.bit_count() / many for words in found.words],
        "names covered": [c / all_proper for c in names],
        "names missing": [1 - c / all_proper if named else 0.0 for c in names],
        "begins alike": begins,
        "begins with the name": [
            2 * b - 1 if named and is_name else 0.0 for b, (_, is_name) in zip(begins, told, strict=True)
        ],
    }  # fmt: skip
    return columns | _by_neighbours(found, sums, said, all_telling, most_telling)


def _by_neighbours(
    found: Evidence, sums: _Sums, said: Sequence[float], all_telling: float, most_telling: float
) -> dict[str, Column]:
    """How well the messages around a candidate match: an answer is often told by its question."""
    none = [0.0] * len(found.texts)
    columns: dict[str, Column] = {}
    for distance in (-1, 1, -2, 2):
        near = found.near.get(distance)
        columns[f"telling at {distance}"] = [s / most_telling for s in near.strength] if near else none
    for name, reach in (
        ("with the one before", (-1,)),
        ("with both sides", (-1, 1)),
        ("with two sides", (-2, -1, 1, 2)),
    ):
        words = list(found.words)
        for distance in reach:
            if near := found.near.get(distance):
                words = [a | b for a, b in zip(words, near.words, strict=True)]
        known = sums.of(words)
        columns[name] = [(known[w][1] - own) / all_telling for w, own in zip(words, said, strict=True)]
    most_mean = max(found.most[2], 1e-6)
    session = found.session or [(0.0, 0.0, 0)] * len(none)
    columns["sitting's best"] = [best / most_telling for best, _, _ in session]
    columns["sitting's mean"] = [mean / most_mean for _, mean, _ in session]
    known = sums.of([words for _, _, words in session])
    columns["sitting covers"] = [known[words][1] / all_telling for _, _, words in session]
    asked = found.asked or none
    columns["answers what matches"] = [a * n for a, n in zip(asked, columns["telling at -1"], strict=True)]
    return columns


def _by_text(question: Question, found: Evidence) -> dict[str, Column]:
    count = len(found.texts)
    asks, times, numbers, *_ = zip(*(_told(text[:_LOOKED_AT]) for text in found.texts), strict=True)
    lengths = [len(text) / _WORD for text in found.texts]
    logs = [log(max(1.0, length)) for length in lengths]
    usual = sum(logs) / max(1, count)
    return {
        "asks": list(asks),
        "ends asking": [float(text.endswith("?")) for text in found.texts],
        "times": list(times),
        "times when asked": list(times) if question.when else [0.0] * count,
        "numbers": list(numbers),
        "numbers when asked": list(numbers) if question.many else [0.0] * count,
        "when": [float(question.when)] * count,
        "length": [length / 5 for length in logs],
        "longer than usual": [(length - usual) / 2 for length in logs],
        "usual length": [usual / 5] * count,
        "short": [max(0.0, 1 - length / 8) for length in lengths],
        "query's length": [min(len(found.rarity), 12) / 12] * count,
        "query asks": [float(question.asks)] * count,
    }


def _by_form(question: Question, texts: Sequence[str]) -> dict[str, Column]:
    """How alike a short text is to what is stated, small words and all: what is put in the same words about the same
    thing is what a new statement replaces. Questions are not put like their answers.
    """
    names = ("begins the same", "put the same", "of it put the same")
    if question.asks:
        return {name: [0.0] * len(texts) for name in names}
    wanted = question.query.text.lower().split()
    pairs = set(pairwise(wanted))
    rows = [_form(wanted, pairs, text.lower().split()) if len(text) < _SHORT else (0.0, 0.0, 0.0) for text in texts]
    return dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True))


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
    none = [0.0] * len(found.texts)
    return {
        "talk": [float(bool(found.role))] * len(none),
        "role": [float(role) for role in found.role] or none,
        "speaker": [float(speaker) for speaker in found.speaker] or none,
        "date": list(found.dates) or none,
        "asked before": [float(flag) for flag in found.asked] or none,
        "asks next": [float(flag) for flag in found.asks_next] or none,
    }


def _closeness(name: str, near: Sequence[float]) -> dict[str, Column]:
    best = max(near, default=0.0)
    ordered = sorted(near, reverse=True)
    usual = ordered[min(len(ordered) - 1, 50)] if ordered else 0.0
    usual = max(usual, 0.0)
    room, most = max(best - usual, 1e-6), max(best, 1e-6)
    least = usual - 2 * room
    return {
        name: [n / most if n > 0 else 0.0 for n in near],
        f"{name} above the usual": [(n - usual) / room if n > least else -2.0 for n in near],
    }


class _Sums:
    """What sets of words are worth, each reckoned once: all of them, the telling ones, and the names."""

    def __init__(self, *rarities: Sequence[float]) -> None:
        self._rarities = rarities
        self._known: dict[int, tuple[float, ...]] = {}

    def of(self, words: Sequence[int]) -> Mapping[int, tuple[float, ...]]:
        """For each of these sets, the rarities of the words whose bits are set."""
        for one in set(words) - self._known.keys():
            bits = [n for n in range(len(self._rarities[0])) if one >> n & 1]
            self._known[one] = tuple(sum(part[n] for n in bits) for part in self._rarities)
        return self._known


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
        numbers = np.fromiter(chain.from_iterable(columns), "f8", len(columns) * len(columns[0]))
        inputs = np.clip((numbers.reshape(len(columns), -1).T - mean) / scale, -self.limit, self.limit)
        out: Column = []
        for start in range(0, len(inputs), ROWS_AT_ONCE):
            some = inputs[start : start + ROWS_AT_ONCE]
            hidden = np.tanh(some @ units[:, 1:-1].T + units[:, 0])
            out += (hidden @ units[:, -1] + some @ straight).tolist()
        return out

    @cached_property
    def _arrays(self) -> tuple[Any, ...]:
        import numpy as np

        return tuple(np.array(part, "f8") for part in (self.mean, self.scale, self.units, self.straight))

    def _plainly(self, columns: Sequence[Column]) -> Column:
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
        return out


@cache
def _networks() -> dict[str, Network]:
    found = json.loads(Path(__file__).with_name("ranking.json").read_text("utf-8"))
    return {name: Network(**parts) for name, parts in found.items()}
