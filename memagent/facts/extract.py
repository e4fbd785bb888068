"""Takes facts from talk by asking a model: one form to fill in, for one message or for many.

What can't tell anything (questions, what-ifs, orders) is not even shown to the model; where nothing is left, it is not
asked. What it notes is checked against what was said (see noted.py). Knows nothing of how facts are kept.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memagent.errors import JSONParseError
from memagent.facts import Draft, Fact, Said
from memagent.facts.noted import drafts
from memagent.facts.sentences import Sentence, sentences_of
from memagent.facts.whose import told
from memagent.facts.wording import LONGEST, in_short
from memagent.library import Library
from memagent.llm import LLM, Answer, Request, Usage
from memagent.llm.repair import mend, split_calls
from memagent.messages import Message, storable, unmarked

NAME = "note_facts"
MOST_NEW = 24
MOST_KNOWN = 8
"""Known facts that the model is shown: the nearest ones."""
ROOM = 6000
"""Characters of talk that are read in one call."""
WORDS = 400
"""Tokens that an answer may have."""
_EXAMPLE = re.compile(r"^> (?P<said>.*)\n= (?P<answer>.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Prompt:
    """What a model is told: an instruction, and examples of what was said and what is noted of it. `terse` asks for
    bare statements, for models that write slowly; else for all that is known of each.
    """

    instruction: str
    examples: Sequence[tuple[str, str]]
    terse: bool

    @classmethod
    def of(cls, text: str) -> Prompt:
        """A prompt from its file: the instruction, then examples as lines "> what was said" and "= what is noted"."""
        examples = [(found["said"].replace("\\n", "\n"), found["answer"]) for found in _EXAMPLE.finditer(text)]
        first = _EXAMPLE.search(text)
        instruction = (text[: first.start()] if first else text).strip()
        return cls(instruction, examples, not any('"text"' in answer for _, answer in examples))


def prompt_for(llm: LLM, library: Library | None = None) -> Prompt:
    """The prompt for a model: facts_small where it is asked one small thing after the other, else facts."""
    library = library or Library(Path(__file__).parent)  # where nobody keeps prompts of their own: the shipped ones
    return Prompt.of(library.text("prompts", "facts_small" if asked_in_steps(llm) else "facts"))


def asked_in_steps(llm: LLM) -> bool:
    """Whether a model is so small that it is asked one small thing after the other."""
    return getattr(getattr(llm, "wrapper", None), "name", "") == "steps"


class ModelExtractor:
    """Asks a model. `asked` counts the calls, `spent` are the tokens of the last one."""

    def __init__(self, llm: LLM, prompt: Prompt | None = None, *, room: int = ROOM) -> None:
        self._llm = llm
        self._prompt = prompt or prompt_for(llm)
        self._room = room
        self.asked = 0
        self.spent: Usage | None = None

    def extract(self, talk: Sequence[Said], known: Sequence[Fact]) -> Sequence[Draft]:
        """What these messages tell. Raises `LLMError` when the model can't be had."""
        reading = self.reading(talk, known)
        while True:
            try:
                next(reading)
            except StopIteration as ended:
                found: Sequence[Draft] = ended.value
                return found

    def reading(self, talk: Sequence[Said], known: Sequence[Fact]) -> Generator[None, None, Sequence[Draft]]:
        """The same in steps: to stop the model at once, since somebody else needs it, close this."""
        sentences = self._fitting(sentences_of(talk))
        if not sentences:
            return []
        shown = list(known[:MOST_KNOWN])
        answer: Answer | None = None
        self.asked += 1
        hearing = self._llm.ask(self.request(sentences, talk, shown))
        try:
            for heard in hearing:
                answer = heard if isinstance(heard, Answer) else answer
                yield
        finally:
            if isinstance(hearing, Generator):
                hearing.close()
        self.spent = answer.usage if answer else None
        return drafts(_read(answer), sentences, shown) if answer else []

    def request(self, sentences: Sequence[Sentence], talk: Sequence[Said], known: Sequence[Fact]) -> Request:
        """What the model is asked."""
        when = sentences[-1].said.when
        messages = [Message("system", "boot", self._prompt.instruction, when)]
        for said, answer in self._prompt.examples:
            messages += [Message("user", "user", said, when), Message("assistant", "answer", answer, when)]
        messages.append(Message("user", "user", _told(sentences, talk, known), when))
        form = _form(len(known), terse=self._prompt.terse)
        return Request(messages, [form], force=NAME, max_tokens=WORDS, weighed=self._prompt.terse)

    def _fitting(self, sentences: Sequence[Sentence]) -> list[Sentence]:
        """The newest sentences, as many as there is room for."""
        left, kept = self._room, list[Sentence]()
        for sentence in reversed(sentences):
            left -= len(sentence.text)
            if left < 0:
                break
            kept.append(sentence)
        return kept[::-1]


def _told(sentences: Sequence[Sentence], talk: Sequence[Said], known: Sequence[Fact]) -> str:
    """What is known and what was said, for the model to read."""
    lines = []
    if known:
        lines.append("Known: " + "; ".join(f"{n}. {in_short(fact.text)}" for n, fact in enumerate(known, 1)))
    before: Said | None = None
    for sentence in sentences:
        if sentence.said is before:
            lines[-1] += f" {sentence.text}"
            continue
        before = sentence.said
        asked = _asked_before(talk, sentence)
        lines.append(f"{asked}Said: {sentence.text}")
    return unmarked(storable("\n".join(lines)))


SHORT = 4
"""Words of an answer that is not to be understood without what was asked."""


def _asked_before(talk: Sequence[Said], sentence: Sentence) -> str:
    """The agent's question that a short answer answers."""
    at = next((at for at, said in enumerate(talk) if said is sentence.said), 0)
    before = talk[at - 1] if at else None
    if before is None or before.who != "agent" or len(sentence.said.text.split()) > SHORT:
        return ""
    question = re.split(r"(?<=[.!?]) ", before.text.strip())[-1]
    return f"(Asked: {question[:LONGEST]}) " if question.endswith("?") else ""


def _form(known: int, *, terse: bool) -> dict[str, Any]:
    """What is to be filled in; the numbers are those of what was shown."""
    text = {"type": "string", "minLength": 3, "maxLength": 120 if terse else LONGEST}
    numbers = {"type": "array", "items": {"type": "integer", "enum": [*range(1, known + 1)]}, "maxItems": known}
    day = {"type": "string", "description": "YYYY, YYYY-MM or YYYY-MM-DD", "maxLength": 10}
    whole = {
        "type": "object",
        "properties": {
            "text": text,
            "about": {"type": "string", "description": "user, or the name of who it is about", "maxLength": 60},
            "subject": {"type": "string", "description": "what it is about, in two or three words", "maxLength": 60},
            "quote": {"type": "string", "description": "the user's own words, copied exactly", "maxLength": 400},
            "since": day,
            "until": day,
            **({"ends": numbers} if known else {}),
        },
        "required": ["text", "about", "subject", "quote"],
    }
    new = {"type": "array", "items": text if terse else whole, "maxItems": MOST_NEW}
    ended = {"ended": {**numbers, "description": "numbers of known facts that hold no longer"}} if known else {}
    parameters = {"type": "object", "properties": {"new": new, **ended}, "required": ["new", *ended]}
    return {"name": NAME, "description": "Note what was told, and what of the known holds no longer.",
            "parameters": parameters}  # fmt: skip


def _read(answer: Answer) -> Mapping[str, Any]:
    """The form as it was filled in; nothing if that can't be read."""
    calls = answer.calls or split_calls(answer.text, [NAME])[1]
    try:
        found = mend(calls[0].arguments if calls else answer.text)
    except JSONParseError:
        return {}
    return {**found, "new": told(found.get("new", found.get("facts")), answer.written)}
