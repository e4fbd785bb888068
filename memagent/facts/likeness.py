"""How much two statements speak of one thing: the words and names that they share, in which order, and how near they
are in meaning.

Knows nothing of facts, or of what follows from it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from itertools import pairwise

from memagent.facts.words import root
from memagent.memory.search import STOP_WORDS

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_MORE = """user during both together once often also including well several various one one's after before within who's
it's he's she's that's currently really actually now"""
_SMALL = STOP_WORDS | frozenset(_MORE.split())
_BEGINNINGS = "after all although before during every many most since some today two three yesterday"
_FIRST = frozenset(_BEGINNINGS.split())
"""Words that begin a sentence with a capital letter, and name nobody."""
_DENIES = re.compile(
    r"\b(?:not|never|no|none|only|exclusively|instead|rather|longer|anymore|dislikes?|hates?|opponent|stopped|quit|"
    r"primarily|avoids?|refus\w+|without|unable|\w+n['’]t)\b",
    re.IGNORECASE,
)
MUCH = 4
"""So many words, all of them the same, speak of one thing even where the names are others."""


@dataclass(frozen=True)
class Statement:
    """A statement as it is compared: its words, in their order."""

    text: str

    @cached_property
    def written(self) -> list[str]:
        """The words as they are written, without 's."""
        return [re.sub(r"['’]s$", "", word) for word in _WORD.findall(self.text)]

    @cached_property
    def names(self) -> frozenset[str]:
        """The stems of what is written like a name."""
        known = _SMALL | _FIRST
        return frozenset(root(w.lower()) for w in self.written if w[0].isupper() and w.lower() not in known)

    def shares_somebody(self, other: Statement) -> bool:
        """Whether whom one begins with is named in the other, or two names are."""
        shared = self.names & other.names
        alike = other.rest <= self.rest and len(other.rest) >= MUCH
        return alike or len(shared) > 1 or bool(shared & {*self.order[:1], *other.order[:1]})

    @cached_property
    def order(self) -> list[str]:
        """The stems of the words that say something, in their order."""
        return [root(word.lower()) for word in self.written if word.lower() not in _SMALL]

    @cached_property
    def words(self) -> frozenset[str]:
        """The stems of the words that say something."""
        return frozenset(self.order)

    @cached_property
    def rest(self) -> frozenset[str]:
        """Those that are no names."""
        return self.words - self.names

    @cached_property
    def says(self) -> list[str]:
        """The stems that say something, in their order, without the names."""
        return [word for word in self.order if word not in self.names]

    @cached_property
    def lead(self) -> list[str]:
        """What stands right behind the first names: two words as they are."""
        words = [w.lower() for w in self.written if w.lower() not in ("and", "all", "both", "three")]
        start = next((n for n, w in enumerate(words) if root(w) not in self.names), 0)
        return words[start : start + 2]

    @cached_property
    def is_something(self) -> bool:
        """Whether it says what somebody is."""
        return bool(self.lead) and self.lead[0] == "is" and self.lead[-1] in ("a", "an")

    @cached_property
    def has_numbers(self) -> bool:
        """Whether there is a number in it."""
        return any(word.isdigit() for word in self.written)

    @cached_property
    def denies(self) -> bool:
        """Whether something is denied, or held to be the only one."""
        return _DENIES.search(self.text) is not None


FEATURES = (
    "words of old", "words of new", "rest of old", "rest of new", "names of old", "names of new", "order", "pairs",
    "starts with a name of new", "words of old²", "begins alike", "begins quite alike", "same names", "ends alike",
    "both are something", "same lead", "both have numbers", "denies", "denies, words of old", "meaning", "meaning²",
    "denies, meaning", "rest of old before others", "rest of new before others", "meaning before others",
)  # fmt: skip
ALONE = (
    0.65, 0.88, 1.38, 1.75, 0.22, 0.48, 0.56, 0.79, -0.17, 0.05, 1.87, 0.04, 0.51,
    -0.34, -0.42, 2.18, 1.1, 2.0, 0.66, 0.0, 0.0, 0.0, 2.46, 1.51, 1.48, -4.92,
)  # fmt: skip
TOGETHER = (
    0.16, -0.11, 1.59, 1.65, 0.01, -0.1, 0.26, 0.75, -0.25, -0.29, 1.94, 0.21, 0.49,
    -0.34, -0.33, 2.27, 1.02, 1.67, -0.4, 0.41, 1.0, 1.73, 1.79, 1.05, 3.06, -4.55,
)  # fmt: skip


def weighed(new: Statement, olds: Sequence[Statement], meanings: Sequence[float]) -> list[float]:
    """How much speaks for the new statement's taking the place of each of the old ones. Learned on sets of facts and
    statements that contradict one of them (`bench/fact_update.py`); where no meaning is known, by words alone.
    """
    weights = TOGETHER if any(meanings) else ALONE
    return [sum(w * x for w, x in zip(weights, [*row, 1.0], strict=True)) for row in features(new, olds, meanings)]


def features(new: Statement, olds: Sequence[Statement], meanings: Sequence[float]) -> list[list[float]]:
    """What speaks for it, in the order of `FEATURES`."""
    rows = [_alone(new, old, meaning) for old, meaning in zip(olds, meanings, strict=True)]
    for column in (FEATURES.index("rest of old"), FEATURES.index("rest of new"), FEATURES.index("meaning")):
        values = [row[column] for row in rows]
        for at, row in enumerate(rows):
            row.append(row[column] - max([USUAL, *values[:at], *values[at + 1 :]]))
    return rows


USUAL = 0.3
"""So much the others have at least, where there are few."""


def _alone(new: Statement, old: Statement, meaning: float) -> list[float]:
    shared, rest, names = new.words & old.words, new.rest & old.rest, new.names & old.names
    pairs_new = set(pairwise(new.order))
    pairs_old = set(pairwise(old.order))
    of_old = len(shared) / max(1, len(old.words))
    return [
        of_old,
        len(shared) / max(1, len(new.words)),
        len(rest) / max(1, len(old.rest)),
        len(rest) / max(1, len(new.rest)),
        len(names) / max(1, len(old.names)),
        len(names) / max(1, len(new.names)),
        SequenceMatcher(None, new.order, old.order, autojunk=False).ratio(),
        len(pairs_new & pairs_old) / max(1, min(len(pairs_new), len(pairs_old))),
        float(bool(old.order) and old.order[0] in new.names),
        of_old * of_old,
        float(new.says[:1] == old.says[:1]),
        float(new.says[:2] == old.says[:2]),
        float(new.names == old.names),
        float(new.says[-1:] == old.says[-1:]),
        float(new.is_something and old.is_something),
        float(new.lead == old.lead),
        float(new.has_numbers and old.has_numbers),
        float(new.denies),
        of_old if new.denies else 0.0,
        meaning,
        meaning * meaning,
        meaning if new.denies else 0.0,
    ]
