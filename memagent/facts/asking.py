"""What a question asks for: of whom it asks, and whether of what holds or of what was.

Only English is read. Knows nothing of how facts are found, or of how answers are worded.
"""

from __future__ import annotations

import re

from memagent.facts import SELF, USER, Fact
from memagent.facts.grounds import KIN
from memagent.facts.words import beginning, telling

_BEFORE = re.compile(
    r"\b(?:before|used? to|previous(?:ly)?|former(?:ly)?|earlier|in the past|back then|originally|at first|"
    r"until recently|once|any ?more|old (?:job|address|home|flat))\b",
    re.IGNORECASE,
)
_WAS = re.compile(r"\b(?:did|was|were|had|went)\b", re.IGNORECASE)
_OF_ME = re.compile(r"\b(?:i|me|we)\b", re.IGNORECASE)
_MINE = re.compile(r"\b(?:my|our|mine)\b", re.IGNORECASE)
_WITH_ME = re.compile(r"\bthe user\b(?!['’]s)", re.IGNORECASE)
_KIN = re.compile(rf"\b(?:{KIN}|children|kid|parent|family|twin)s?\b", re.IGNORECASE)


def of_before(question: str) -> bool:
    """Whether a question asks for what held once, and may hold no more."""
    return bool(_BEFORE.search(question))


def of_what_was(question: str) -> bool:
    """Whether a question is asked in the past tense: of what held once, or of what has happened."""
    return bool(_WAS.search(question))


def of_whom(fact: Fact, question: str) -> bool:
    """Whether a fact is about who is asked for. A question about "me" is not answered by what is true of somebody else,
    unless it asks who that is, or the user has a part in it.
    """
    asked = telling(question)
    if fact.about in (USER, SELF) or telling(fact.about) & asked or re.match(r"\W*who", question, re.IGNORECASE):
        return True
    if _WITH_ME.search(fact.text) and _OF_ME.search(question):
        return True
    if kin := _KIN.findall(question):
        return not _OF_ME.search(question) or bool(telling(fact.text) & {beginning(who.lower()) for who in kin})
    return not _OF_ME.search(question) and not _MINE.search(question)
