"""Answers a question from facts: those that hold, or those that held when the question is about what was.

A model puts the answer into words, in one call; an answer that names anybody or any number that no fact tells is not
taken, nor one that comes from nowhere. Knows nothing of how facts are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from datetime import date
from typing import Protocol

from memagent.errors import JSONParseError
from memagent.facts import Fact, State
from memagent.facts.asking import of_before, of_what_was, of_whom
from memagent.facts.finding import Matches
from memagent.facts.telling import UNKNOWN, Answerer, PlainAnswerer, plainly
from memagent.facts.words import beginning, names_in, plain, telling
from memagent.llm import LLM, Answer, Request
from memagent.llm.repair import mend, split_calls
from memagent.memory.days import over
from memagent.messages import Message, storable, unmarked

NAME = "answer_question"
MOST = 8
"""Facts that an answer is made of."""
LOOKED_AT = 20
"""Facts that are looked at for an answer without a model."""
WORDS = 120
"""Tokens that an answer may have."""
_FORM = {
    "name": NAME,
    "description": "Answer the question from the facts, or say that they don't tell.",
    "parameters": {
        "type": "object",
        "properties": {"answer": {"type": "string", "minLength": 1, "maxLength": 400}},
        "required": ["answer"],
    },
}
_DONT_KNOW = re.compile(
    r"\b(?:do(?:es)?n['’]?t|do(?:es)? not|did(?:n['’]?t| not)|can['’]?t|cannot|never|not|no)\b.{0,40}"
    r"\b(?:know|known|tell|told|say|said|mention\w*|stated?|remember|sure|specif\w+|provided|information|facts?)\b|"
    r"\bunknown\b|\bno idea\b",
    re.IGNORECASE,
)


_ALSO = (
    (r"for a living|job|profession|occupation|do for work|career", "works as job"),
    (r"free time|spare time|hobb(?:y|ies)|weekends?", "hobby plays likes volunteers sings"),
    (r"what (?:am|is) (?:i|my) .*(?:called|name)|who am i", "is called name"),
    (r"how old|age\b", "years old born birthday"),
    (r"married|spouse", "married wife husband partner"),
    (r"where do (?:i|we) live|home|address", "lives moved home"),
    (r"\bdrive|vehicle", "car drives"),
    (r"\beat\b|diet|\bfood", "vegetarian vegan allergic favourite dish"),
    (r"\bpets?\b", "dog cat pet"),
)
"""What people ask for in words that no fact has, and the words that facts have for it."""


class Known(Protocol):
    """Whoever finds facts."""

    def search(self, text: str, page: int = 0, size: int = 10, *, states: Sequence[State] = ("holds",)) -> Matches: ...


def recalled(known: Known, question: str, today: date) -> list[Fact]:
    """The facts that may answer a question, the nearest first: of whom it asks, and of the time that it asks about."""
    states: tuple[State, ...] = ("holds", "past") if of_what_was(question) or of_before(question) else ("holds",)
    more = [words for pattern, words in _ALSO if re.search(pattern, question, re.IGNORECASE)]
    asked = " ".join([question, *more])
    found = [match.fact for match in known.search(asked, size=4 * MOST, states=states).matches]
    return [fact for fact in found if of_whom(fact, question) and _in_time(fact, question, today)][:MOST]


def _in_time(fact: Fact, question: str, today: date) -> bool:
    if of_before(question):
        return fact.how not in ("corrected", "merged", "undone")
    if fact.state == "past":
        return fact.how == "expired" and of_what_was(question)
    return of_what_was(question) or not over(fact.until, today)


class ModelAnswerer:
    """Has a model put answers into words. `otherwise` answers where the model's words are not to be trusted."""

    def __init__(self, llm: LLM, instruction: str, otherwise: Callable[[str, Sequence[Fact]], str]) -> None:
        self._llm = llm
        self._instruction = instruction.strip()
        self._otherwise = otherwise
        self.asked = 0

    def answer(self, question: str, facts: Sequence[Fact], today: date) -> str:
        """The answer to a question, in the second person. Raises `LLMError` when the model can't be had."""
        if not facts:
            return UNKNOWN
        answer: Answer | None = None
        self.asked += 1
        hearing = self._llm.ask(self.request(question, facts, today))
        try:
            for heard in hearing:
                answer = heard if isinstance(heard, Answer) else answer
        finally:
            if isinstance(hearing, Generator):
                hearing.close()
        words = _read(answer) if answer else ""
        if not words or invents(words, question, facts, today):
            return self._otherwise(question, facts)
        return UNKNOWN if denies(words) else words

    def request(self, question: str, facts: Sequence[Fact], today: date) -> Request:
        """What the model is asked."""
        from datetime import datetime

        now = datetime(today.year, today.month, today.day)
        lines = [f"- {told(fact, today)}" for fact in facts]
        asked = unmarked(storable("\n".join(["Facts about the user:", *lines, f"Question of the user: {question}"])))
        messages = [Message("system", "boot", self._instruction, now), Message("user", "user", asked, now)]
        return Request(messages, [_FORM], force=NAME, max_tokens=WORDS)


def answered(
    known: Known, question: str, today: date, *, llm: LLM | None, instruction: str, otherwise: Answerer | None = None
) -> str:
    """The answer to a question from what is known: in a model's words, as far as the facts bear it out, or without."""
    if llm is not None:
        return ModelAnswerer(llm, instruction, plainly).answer(question, recalled(known, question, today), today)
    holding = known.search(question, size=LOOKED_AT).matches
    past = known.search(question, size=LOOKED_AT, states=("past",)).matches
    return (otherwise or PlainAnswerer()).answer(question, holding, past)


def told(fact: Fact, today: date) -> str:
    """A fact as it is told to a model: with what it can't see from its words."""
    if fact.state == "past" and fact.how != "expired":
        return f"In the past, not any more: {fact.text}"
    return f"Over since {fact.until}: {fact.text}" if over(fact.until, today) else fact.text


def denies(words: str) -> bool:
    """Whether an answer says that it does not know."""
    return bool(_DONT_KNOW.search(words)) and len(words.split()) < 25


def invents(words: str, question: str, facts: Sequence[Fact], today: date) -> bool:
    """Whether an answer names somebody or a number that neither the facts nor the question tell."""
    known = [*(f"{told(fact, today)} {fact.about} {fact.since or ''} {fact.until or ''}" for fact in facts), question]
    said = set().union(*map(telling, known)) | {beginning(word) for text in known for word in plain(text).split()}
    return not names_in(words) <= said


def _read(answer: Answer) -> str:
    calls = answer.calls or split_calls(answer.text, [NAME])[1]
    if not calls:
        return " ".join(storable(answer.text).split())
    try:
        words = mend(calls[0].arguments).get("answer")
    except JSONParseError:
        return ""
    return " ".join(storable(words).split()) if isinstance(words, str) else ""
