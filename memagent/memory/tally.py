"""Adds up, for every row that has any of some words, what those words count there; and the same for each sitting.

With numpy this takes a thousandth of a second for ten thousand rows; without it the same is done in plain Python.
Knows nothing of SQL, or of how the sums become a rank.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any, NamedTuple

from memagent.memory.columns import Column, PlainColumn
from memagent.memory.question import Question
from memagent.memory.talk import Talk
from memagent.storage import Spread
from memagent.storage.closeness import possible

BY_NAME = 1.3
"""What a row counts more, when the best are chosen, if somebody speaks there who is named in the question."""


@dataclass(frozen=True)
class Sums:
    """Of some rows, each in a column: how strongly all words stand there, the telling ones, and the phrases; and which
    words they are.
    """

    strength: Column
    telling: Column
    phrases: Column
    words: Column


@dataclass
class Tally:
    """The sums of all rows that have any of the words."""

    question: Question
    rarity: list[float]
    total: int = 0
    most: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """The greatest strength, telling strength, and mean of a sitting."""
    _rows: dict[int, _Row] = field(default_factory=dict)
    _sittings: dict[int, tuple[float, float, int]] = field(default_factory=dict)
    _ordered: list[int] = field(default_factory=list)

    @classmethod
    def of(
        cls, question: Question, spreads: Sequence[Spread], size: int, talk: Talk | None = None,
        allowed: Collection[int] | None = None, below: int = 2**62,
    ) -> Tally:  # fmt: skip
        """Add up the spreads of a question's words and phrases. `size` is how many rows there are to find; only those
        that are `allowed` and whose number is `below` count.
        """
        words = len(question.query.words.words)
        counts = [len(spread.rows) for spread in spreads]
        rarity = [log(1 + (max(size, n) - n + 0.5) / (n + 0.5)) for n in counts]
        parts = _parts(question, rarity[:words], spreads, rarity)
        make = QuickTally if possible() else Tally
        tally = make(question, rarity[:words])
        tally._add_up(parts, talk, allowed, below)
        return tally

    def best(self, count: int) -> list[int]:
        """The rows where the words stand most strongly, the newest of equals first."""
        return self._ordered[:count]

    def best_telling(self, count: int, talk: Talk | None) -> list[int]:
        """The rows where the telling words do, those of a speaker who is named before others."""

        def weight(row: int) -> float:
            return self._rows[row].telling * (BY_NAME if _is_named(self.question, talk, row) else 1.0)

        return sorted(self._rows, key=lambda row: (-weight(row), -row))[:count]

    def best_dated(self, count: int, talk: Talk) -> list[int]:
        """The rows where the telling words do, on the days that are asked for."""
        dates = self.question.dates
        rows = [row for row in self._rows if dates.fit_day(talk.days[talk.position(row)]) > 0.5]
        return sorted(rows, key=lambda row: (-self._rows[row].telling, -row))[:count]

    def rest(self, start: int, count: int, but: Collection[int]) -> list[int]:
        """Rows from the `start`-th on, in the order of their strength, without some."""
        return [row for row in self._ordered if row not in but][start : start + count]

    def sums(self, rows: Sequence[int]) -> Sums:
        """The sums of some rows, nothing for those that have none of the words."""
        found = [self._rows.get(row, _NOTHING) for row in rows]
        return Sums(*(PlainColumn(own[part] for own in found) for part in range(len(_NOTHING))))

    def telling(self, rows: Sequence[int]) -> tuple[Column, Column]:
        """Of some rows only the telling strength, and the words."""
        found = self.sums(rows)
        return found.telling, found.words

    def sittings(self, numbers: Sequence[int]) -> tuple[Column, Column, Column]:
        """Of some sittings: the greatest telling strength, the mean of all messages, and the words in them."""
        found = [self._sittings.get(number, (0.0, 0.0, 0)) for number in numbers]
        best, mean, words = (PlainColumn(own[part] for own in found) for part in range(3))
        return best, mean, words

    def _add_up(self, parts: Sequence[_Part], talk: Talk | None, allowed: Collection[int] | None, below: int) -> None:
        sums: dict[int, list[float]] = {}
        masks: dict[int, int] = {}
        for part in parts:
            strengths = part.spread.strengths or [1.0] * len(part.spread.rows)
            for row, strength in zip(part.spread.rows, strengths, strict=True):
                if row < below and (allowed is None or row in allowed):
                    own = sums.setdefault(row, [0.0, 0.0, 0.0])
                    own[0] += part.rarity * strength
                    own[1] += part.telling * strength
                    own[2] += part.phrase
                    masks[row] = masks.get(row, 0) | part.bit
        self._rows = {row: _Row(own[0], own[1], own[2], masks[row]) for row, own in sums.items()}
        if talk:
            self._rows = {row: own for row, own in self._rows.items() if talk.position(row) >= 0}
            self._add_sittings(talk)
        self.total = len(self._rows)
        self._ordered = sorted(self._rows, key=lambda row: (-self._rows[row].strength, -row))
        strongest = max((own.strength for own in self._rows.values()), default=0.0)
        telling = max((own.telling for own in self._rows.values()), default=0.0)
        self.most = (strongest, telling, max((mean for _, mean, _ in self._sittings.values()), default=0.0))

    def _add_sittings(self, talk: Talk) -> None:
        sizes: dict[int, int] = {}
        for number in talk.sittings:
            sizes[number] = sizes.get(number, 0) + 1
        for row, own in self._rows.items():
            number = talk.sittings[talk.position(row)]
            best, mean, words = self._sittings.get(number, (0.0, 0.0, 0))
            self._sittings[number] = (max(best, own.telling), mean + own.telling / sizes[number], words | own.words)


class QuickTally(Tally):
    """The same with numpy."""

    def _add_up(self, parts: Sequence[_Part], talk: Talk | None, allowed: Collection[int] | None, below: int) -> None:
        import numpy as np

        lists = [np.asarray(part.spread.rows, "i8") for part in parts]
        counts = [len(listed) for listed in lists]
        every = np.concatenate([*lists, np.zeros(0, "i8")])
        order = every.argsort(kind="stable")  # quick, since each list is in order already
        every = every[order]
        first = np.diff(every, prepend=-1) > 0
        rows, at = every[first], np.cumsum(first) - 1

        def summed(worth: Sequence[float], by: Any = 1.0) -> Any:
            return np.bincount(at, (np.repeat(np.asarray(worth, "f8"), counts) * by)[order], len(rows))

        given = [part.spread.strengths for part in parts]
        strengths = np.concatenate([
            np.zeros(0), *(some if len(some) else np.ones(count) for some, count in zip(given, counts, strict=True))
        ])  # fmt: skip
        sums = np.stack([
            summed([part.rarity for part in parts], strengths), summed([part.telling for part in parts], strengths),
            summed([part.phrase for part in parts]), summed([part.bit for part in parts]),
        ])  # fmt: skip
        there = rows < below
        if allowed is not None:
            there &= np.isin(rows, np.fromiter(allowed, "i8", len(allowed)))
        if talk:
            numbers = talk.arrays()
            self._at = talk.positions(rows)
            there &= self._at >= 0
            self._at = self._at[there]
        self._ids, self._sum, self._words = rows[there], sums[:3, there], sums[3, there].astype("i8")
        self.total = len(self._ids)
        mean = self._of_sittings(numbers) if talk else 0.0
        self.most = (*(float(self._sum[n].max(initial=0.0)) for n in (0, 1)), mean)  # type: ignore[assignment]

    def _of_sittings(self, numbers: dict[str, Any]) -> float:
        import numpy as np

        sittings, count = numbers["sittings"][self._at], len(numbers["sizes"])
        self._best, self._all = np.zeros(count), np.zeros(count, "i8")
        np.maximum.at(self._best, sittings, self._sum[1])
        np.bitwise_or.at(self._all, sittings, self._words)
        self._mean = np.bincount(sittings, self._sum[1], count) / np.maximum(numbers["sizes"], 1)
        return float(self._mean.max(initial=0.0))

    def best(self, count: int) -> list[int]:
        return self._top(self._sum[0], count)

    def best_telling(self, count: int, talk: Talk | None) -> list[int]:
        import numpy as np

        weights = self._sum[1]
        if talk and self.question.people:
            named = [n for n, name in enumerate(talk.known) if name in self.question.people]
            weights = np.where(np.isin(talk.arrays()["names"][self._at], named), BY_NAME * weights, weights)
        return self._top(weights, count)

    def best_dated(self, count: int, talk: Talk) -> list[int]:
        import numpy as np

        days = talk.arrays()["days"][self._at]
        fitting = [day for day in np.unique(days).tolist() if self.question.dates.fit_day(day) > 0.5]
        return self._top(np.where(np.isin(days, fitting), self._sum[1], -1.0), count, least=0.0)

    def rest(self, start: int, count: int, but: Collection[int]) -> list[int]:
        import numpy as np

        left = ~np.isin(self._ids, list(but))
        ids, strengths = self._ids[left], self._sum[0][left]
        found: list[int] = ids[np.lexsort((-ids, -strengths))][start : start + count].tolist()
        return found

    def sums(self, rows: Sequence[int]) -> Sums:
        import numpy as np

        if not len(self._ids):
            none = np.zeros(len(rows), "i8")
            return Sums(none, none, none, none)
        at, known = self._places(rows)
        strength, telling, phrases = self._sum[:, at] * known
        return Sums(strength, telling, phrases, self._words[at] * known)

    def telling(self, rows: Sequence[int]) -> tuple[Column, Column]:
        if not len(self._ids):
            return super().telling(rows)
        at, known = self._places(rows)
        return self._sum[1, at] * known, self._words[at] * known

    def _places(self, rows: Sequence[int]) -> tuple[Any, Any]:
        """Where rows stand among those that have any of the words, and whether they do."""
        import numpy as np

        wanted = np.asarray(rows, "i8")
        at = np.minimum(np.searchsorted(self._ids, wanted), len(self._ids) - 1)
        return at, self._ids[at] == wanted

    def sittings(self, numbers: Sequence[int]) -> tuple[Column, Column, Column]:
        import numpy as np

        at = np.asarray(numbers, "i8")
        return self._best[at], self._mean[at], self._all[at]

    def _top(self, weights: Any, count: int, least: float | None = None) -> list[int]:
        import numpy as np

        if len(weights) > count:
            some = np.argpartition(-weights, count - 1)[:count]
            some = np.flatnonzero(weights >= weights[some].min())  # equals too, so that the newest of them come first
        else:
            some = np.arange(len(weights))
        if least is not None:
            some = some[weights[some] >= least]
        some = some[np.lexsort((-self._ids[some], -weights[some]))][:count]
        found: list[int] = self._ids[some].tolist()
        return found


@dataclass(frozen=True)
class _Part:
    """One word or phrase: where it stands, and what it counts."""

    spread: Spread
    rarity: float
    telling: float
    phrase: float
    bit: int


class _Row(NamedTuple):
    """The sums of one row."""

    strength: float = 0.0
    telling: float = 0.0
    phrases: float = 0.0
    words: int = 0


_NOTHING = _Row()


def _parts(
    question: Question, words: Sequence[float], spreads: Sequence[Spread], rarity: Sequence[float]
) -> list[_Part]:
    parts = []
    for number, spread in enumerate(spreads):
        if number < len(words):
            counts = words[number]
            telling = counts if question.telling[number] else 0.0
            parts.append(_Part(spread, counts, telling, 0.0, 1 << number))
        else:
            parts.append(_Part(spread, 0.0, 0.0, rarity[number], 0))
    return parts


def _is_named(question: Question, talk: Talk | None, row: int) -> bool:
    if not talk or not question.people:
        return False
    return talk.known[talk.names[talk.position(row)]] in question.people
