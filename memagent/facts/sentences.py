"""What the messages of a talk state, sentence by sentence.

Knows nothing of what is taken from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memagent.facts import Said
from memagent.facts.grounds import stated
from memagent.facts.subjects import who_is_meant
from memagent.memory.days import named
from memagent.messages import storable


@dataclass(frozen=True)
class Sentence:
    """Something that a message states."""

    text: str
    said: Said
    whom: str = ""
    """Who is meant by "he" or "she", where that is known."""

    @property
    def compared(self) -> str:
        """Its words, with the days that it speaks of written out."""
        days = named(self.text, self.said.when.date())
        return " ".join(filter(None, (self.text, self.whom, f"{days.shown} {days.first}" if days else "")))


def sentences_of(talk: Sequence[Said]) -> list[Sentence]:
    """What the messages state; what the agent said is not among it."""
    found = list[Sentence]()
    for said in talk:
        texts = stated(storable(said.text)) if said.who != "agent" else []
        found += [Sentence(text, said, who_is_meant(text, texts[:at])) for at, text in enumerate(texts)]
    return found
