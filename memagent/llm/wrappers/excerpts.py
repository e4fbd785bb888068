"""Which sentence of some passages an answer is from, for models that are too small to quote by themselves: the one with
which it shares the words that tell most. An answer whose own words stand in no sentence is from somewhere else.

Knows the form in which passages are shown (see tools/sets/documents.py), and nothing of models.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping

LONGEST_READ = 4000
"""Characters of passages that are read: small models read slowly."""
SHORTEST, LONGEST = 12, 300
"""Characters of a sentence that can be quoted."""
STEM = 4
ENOUGH = 0.5
"""This share of what an answer says beyond its question must stand in the sentence."""
_BARE = {"yes", "oui", "nein", "non"}
"""What tells nothing of where an answer is from."""
_HEAD = re.compile(r"^\[(\d+)\] (.*):$", re.M)
_MORE = re.compile(r"; more on page (\d+):")
_END = re.compile(r"(?<=[.!?…。！？])[\"”’)\]]*\s+|\n\s*(?=\n|[-*+|#>]|\d+[.)]\s)")
_LEAD = re.compile(r"^(?:[#>*+\-|]+|\d+[.)])\s+|\s*\|$")
_CUT = re.compile(r"…$|^\(\d+ more characters\)$")
"""What a passage that was too long to be shown ends with."""
_WORD = re.compile(r"[^\W_]+")


def next_page(result: str) -> int | None:
    """The page after this one, if there is one."""
    found = _MORE.search(result.split("\n", 1)[0])
    return int(found[1]) if found else None


def read(result: str) -> str:
    """The passages of a result, as many as a small model should read at once."""
    _, _, text = result.partition("\n\n")
    if len(text) <= LONGEST_READ:
        return text
    cut = max((head.start() for head in _HEAD.finditer(text) if 0 < head.start() <= LONGEST_READ), default=0)
    return (text[:cut] or text[:LONGEST_READ]).rstrip()


def sentences(passages: str) -> Mapping[str, int]:
    """What can be quoted of some passages: each sentence, with the number of the first passage that has it."""
    found: dict[str, int] = {}
    heads = list(_HEAD.finditer(passages))
    ends = [*(head.start() for head in heads[1:]), len(passages)]
    for head, end in zip(heads, ends, strict=False):
        for sentence in _END.split(passages[head.end() : end]):
            plain = " ".join(_LEAD.sub("", sentence.strip()).split())
            if _CUT.search(plain):
                continue
            if SHORTEST <= len(plain) <= LONGEST and " " in plain:
                found.setdefault(plain, int(head[1]))
    return found


def source_of(answer: str, question: str, choices: Mapping[str, int]) -> str:
    """The sentence that an answer to a question is from; "" when it is from none of them. A number must stand in it."""
    stems = {sentence: _stems(sentence) for sentence in choices}
    counts = Counter(stem for each in stems.values() for stem in each)
    asked, said = _stems(question), _stems(answer)
    new = said - asked - _BARE

    def weight(words: set[str]) -> float:
        """A word tells the more the fewer sentences have it."""
        return sum(math.log(1 + len(stems) / (counts[word] or 0.5)) for word in words)

    def score(sentence: str) -> float:
        return 2 * weight(stems[sentence] & new) + weight(stems[sentence] & asked)

    best = max(choices, key=score, default="")
    needed = new or asked
    if not best or any(c.isdigit() for word in new - stems[best] for c in word):
        return ""
    return best if needed and weight(stems[best] & needed) >= ENOUGH * weight(needed) else ""


def _stems(text: str) -> set[str]:
    """The beginnings of its words; numbers are told by all of their digits."""
    words = _WORD.findall(text.casefold())
    return {
        word if any(c.isdigit() for c in word) else word[:STEM] for word in words if len(word) > 2 or word.isdigit()
    }
