"""Which of some short notes is about the same as a text, judged by the words that they share.

Knows nothing of models.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"[^\W_]{3,}")
STEM = 4
"""Letters of a word that count: gardens and gardener are alike."""


def alike(text: str, lines: Sequence[str]) -> str:
    """The line that shares most of its words with the text, where one shares more than all others; else nothing.

    A word that stands in several lines tells nothing of which is meant.
    """
    stems = [_stems(line) for line in lines]
    counts = Counter(stem for line in stems for stem in line)
    of_text = _stems(text)
    shared = [sum(counts[stem] == 1 for stem in line & of_text) for line in stems]
    most = max(shared, default=0)
    return lines[shared.index(most)] if most and shared.count(most) == 1 else ""


def known(fact: str, lines: Sequence[str]) -> bool:
    """Whether a line says just that already."""
    plain = _plain(fact)
    return not plain or any(plain in _plain(line) for line in lines)


def mentioned(topic: str, texts: Sequence[str]) -> bool:
    """Whether the texts speak of it: each of its words is in one of them."""
    stems = _stems(topic)
    return bool(stems) and stems <= set().union(*map(_stems, texts))


def _stems(text: str) -> set[str]:
    return {word[:STEM] for word in _WORD.findall(text.casefold())}


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
