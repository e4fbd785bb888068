"""What the messages of a talk state, sentence by sentence.

Knows nothing of what is taken from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memagent.facts import Said
from memagent.facts.grounds import stated
from memagent.memory.days import named
from memagent.messages import storable


@dataclass(frozen=True)
class Sentence:
    """Something that a message states."""

    text: str
    said: Said

    @property
    def compared(self) -> str:
        """Its words, with the days that it speaks of written out."""
        days = named(self.text, self.said.when.date())
        return f"{self.text} {days.shown} {days.first}" if days else self.text


def sentences_of(talk: Sequence[Said]) -> list[Sentence]:
    """What the messages state; what the agent said is not among it."""
    return [Sentence(text, said) for said in talk if said.who != "agent" for text in stated(storable(said.text))]
