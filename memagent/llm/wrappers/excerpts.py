"""Sentences of passages that were found, for models that are too small to quote by themselves: they are held to one of
the sentences, letter for letter, and to the number of its passage.

Knows the form in which passages are shown (see tools/sets/documents.py), and nothing of models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from memagent.llm.gbnf import Grammar, chars, either, literal, sequence

NONE = "none"
MARK = "> "
LONGEST_READ = 4000
"""Characters of passages that are read: small models read slowly."""
SHORTEST, LONGEST = 12, 300
"""Characters of a sentence that can be quoted."""
_HEAD = re.compile(r"^\[(\d+)\] (.*):$", re.M)
_MORE = re.compile(r"; more on page (\d+):")
_END = re.compile(r"(?<=[.!?…。！？])[\"”’)\]]*\s+|\n+")
_LEAD = re.compile(r"^(?:[#>*+\-|]+|\d+[.)])\s+|\s*\|$")


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
            if SHORTEST <= len(plain) <= LONGEST and " " in plain:
                found.setdefault(plain, int(head[1]))
    return found


def grammar(choices: Mapping[str, int]) -> str:
    """The grammar of an answer: one of the sentences, and below it a line in the model's own words; or none."""
    rules = Grammar()
    quote = rules.add("quote", either(*(literal(sentence) for sentence in choices)))
    words = sequence(chars(r"^\x00-\x20"), rules.repeated(chars(r"^\n\x00"), 0, None))
    return rules.text(either(literal(NONE), sequence(literal(MARK), quote, literal("\n"), words)))


def answered(text: str) -> tuple[str, str]:
    """The quote and the words of an answer; both empty when it is none."""
    quote, _, words = text.removeprefix(MARK).partition("\n")
    return (quote, words.strip()) if words.strip() else ("", "")
