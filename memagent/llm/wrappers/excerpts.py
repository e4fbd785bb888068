"""Which sentence of what was found an answer is from, for models that are too small to quote by themselves: the one
with which it shares the words that tell most. An answer whose own words stand in no sentence is from somewhere else.

Knows the form in which passages and messages are shown (see tools/sets/documents.py), and nothing of models.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

LONGEST_READ = 4000
"""Characters that are read: small models read slowly."""
SHORTEST, LONGEST = 12, 300
"""Characters of a sentence that can be quoted."""
STEM = 4
ENOUGH = 0.5
"""This share of what an answer says beyond its question must stand in the sentence, or in what tells where that is."""
PLACE = 0.5
"""So much a word counts that stands not in a sentence, but in what tells where that is …"""
ASKS = 0.5
"""… and so much those of a sentence that asks: it tells less."""
NUMBER = 2
"""So much a number tells, when a word tells 1."""
_BARE = {
    "yes",
    "oui",
    "nein",
    "non",
    "you",
    "your",
    "are",
    "were",
    "have",
    "had",
    "vous",
    "avez",
    "votr",
    "hast",
    "bist",
    "dein",
}
"""What tells nothing of where an answer is from: it agrees, or says "you" where "I" was said."""
_HEAD = re.compile(r"^\[(m?\d+)\] (.*):$", re.M)
_OURS = re.compile(r"^our conversation, .*, (you|the user)$")
"""Where something was said here: the agent's own words are no evidence, nor is what it was asked before."""
_MORE = re.compile(r"; more on page (\d+):")
_END = re.compile(r"(?<=[.!?…。！？])[\"”’)\]]*\s+|\n\s*(?=\n|[-*+|#>]|\d+[.)]\s)")
_LEAD = re.compile(r"^(?:[#>*+\-|]+|\d+[.)])\s+|\s*\|$")
_CUT = re.compile(r"…$|^\(\d+ more characters\)$")
"""What a passage that was too long to be shown ends with."""
_WORD = re.compile(r"[^\W_]+(?:(?<=\d)[.,'’](?=\d)\d+)*")
_NUMBER = re.compile(r"0*(\d.*?)(?:st|nd|rd|th)?")


class Stands(NamedTuple):
    """Where a sentence stands: the number of its passage or message, and where that is, in words."""

    number: str
    where: str = ""


def next_page(result: str) -> int | None:
    """The page after this one, if there is one."""
    found = _MORE.search(result.split("\n", 1)[0])
    return int(found[1]) if found else None


def read(results: Sequence[str]) -> str:
    """What was found, as much of it as a small model should read. What one result leaves free is the others'."""
    texts = [shown for result in results if (shown := _shown(result.partition("\n\n")[2]))]
    room, parts = LONGEST_READ, dict.fromkeys(range(len(texts)), "")
    for left, at in enumerate(sorted(parts, key=lambda at: len(texts[at]))):
        parts[at] = _fitting(texts[at], room // (len(texts) - left))
        room -= len(parts[at])
    return "\n\n".join(filter(None, parts.values()))


def _shown(text: str) -> str:
    """A result without the agent's own words, and without what it was asked."""
    heads = list(_HEAD.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    parts = [(head, text[head.start() : end]) for head, end in zip(heads, ends, strict=False)]
    kept = [part for head, part in parts if not _asked_here(head[2], part)]
    return text if len(kept) == len(heads) else "".join(kept)


def _asked_here(where: str, text: str) -> bool:
    found = _OURS.match(where)
    return found is not None and (found[1] == "you" or text.rstrip().endswith("?"))


def _fitting(text: str, room: int) -> str:
    if len(text) <= room:
        return text.rstrip()
    cut = max((head.start() for head in _HEAD.finditer(text) if 0 < head.start() <= room), default=0)
    return (text[:cut] or text[:room]).rstrip()


def sentences(passages: str) -> Mapping[str, Stands]:
    """What can be quoted of some passages: each sentence, with the first passage that has it."""
    found: dict[str, Stands] = {}
    heads = list(_HEAD.finditer(passages))
    ends = [*(head.start() for head in heads[1:]), len(passages)]
    for head, end in zip(heads, ends, strict=False):
        for sentence in _END.split(passages[head.end() : end]):
            plain = " ".join(_LEAD.sub("", sentence.strip()).split())
            if _CUT.search(plain):
                continue
            if SHORTEST <= len(plain) <= LONGEST and " " in plain:
                found.setdefault(plain, Stands(head[1], head[2]))
    return found


def source_of(answer: str, question: str, choices: Mapping[str, Stands]) -> str:
    """The sentence that an answer to a question is from; "" when it is from none of them. A number must stand in it, or
    in what tells where it is.
    """
    asked, said = _stems(question), _stems(answer)
    stems = {each: _stems(each) for each in choices if not _asks_the_same(each, asked)}
    places = {each: _stems(choices[each].where) - stems[each] for each in stems}
    counts = Counter(stem for each in stems.values() for stem in each)
    new = said - asked - _BARE

    def weight(words: set[str]) -> float:
        """A word tells the more the fewer sentences have it, and a number more than a word."""
        return sum(
            math.log(1 + len(stems) / (counts[word] or 1)) * (NUMBER if any(c.isdigit() for c in word) else 1)
            for word in words
        )

    def shared(sentence: str, words: set[str]) -> float:
        return weight(stems[sentence] & words) + PLACE * weight(places[sentence] & words)

    def score(sentence: str) -> float:
        told = 2 * shared(sentence, new) + shared(sentence, asked)
        return ASKS * told if sentence.endswith("?") else told

    best = max(stems, key=score, default="")
    needed = new or asked
    there = stems[best] | places[best] if best else set()
    if not best or any(c.isdigit() for word in new - there for c in word):
        return ""
    return best if needed and weight(there & needed) >= ENOUGH * weight(needed) else ""


def _asks_the_same(sentence: str, asked: set[str]) -> bool:
    """Whether a sentence is the question, asked before: that tells nothing."""
    return sentence.endswith("?") and _stems(sentence) <= asked


def _stems(text: str) -> set[str]:
    """The beginnings of its words; numbers are told by all of their digits, however these are grouped."""
    words = _WORD.findall(text.casefold())
    return {
        _number(word) if any(c.isdigit() for c in word) else word[:STEM]
        for word in words if len(word) > 2 or word.isdigit()
    }  # fmt: skip


def _number(word: str) -> str:
    found = _NUMBER.fullmatch(re.sub(r"(?<=\d)[.,'’](?=\d)", "", word))
    return found[1] if found else word
