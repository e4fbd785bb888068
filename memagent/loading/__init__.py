"""Loading: what a reader gives is cut, embedded and stored as a source, or as conversations of an agent.

`Load` carries it out and yields what comes of each document, once that is stored; so whoever listens can stop at any
instant, or die, and what was told of is kept: the next time it is passed over. Knows nothing of readers' kinds, of
agents' turns, or of how progress is shown.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Came", "CatchingUp", "Embedded", "Event", "Outcome", "Tally", "Told"]

Outcome = Literal["new", "changed", "unchanged", "copy", "unreadable", "gone"]
"""A `copy` has the same content as another document of the source, which alone has the passages."""


@dataclass(frozen=True)
class Came:
    """What came of one document or conversation; `passages` (or messages) and `tokens` are those that are new."""

    place: str
    outcome: Outcome
    passages: int = 0
    tokens: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Embedded:
    """So many passages more have their vectors; they may not be stored yet."""

    passages: int


@dataclass(frozen=True)
class CatchingUp:
    """So many stored passages get their vectors from now on; `earlier` of them were there before this load."""

    passages: int
    earlier: int


@dataclass(frozen=True)
class Told:
    """Something that a person should know, told once."""

    text: str


Event = Came | CatchingUp | Embedded | Told


@dataclass
class Tally:
    """Counts what comes of a load."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    passages: int = 0
    tokens: int = 0
    embedded: int = 0
    left: CatchingUp = CatchingUp(0, 0)
    caught_up: int = 0
    """How many of those that were left are embedded: the earliest come first."""
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    """For each reason for which something could not be read, the first place."""
    told: list[str] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, Embedded):
            self.embedded += event.passages
            self.caught_up += event.passages if self.left.passages else 0
        elif isinstance(event, CatchingUp):
            self.left = event
        elif isinstance(event, Told):
            self.told.append(event.text)
        else:
            self.outcomes[event.outcome] += 1
            self.passages += event.passages
            self.tokens += event.tokens
            if event.outcome == "unreadable":
                self.reasons[event.reason] += 1
                self.examples.setdefault(event.reason, event.place)

    @property
    def seen(self) -> int:
        """How many documents were listed."""
        return self.outcomes.total() - self.outcomes["gone"]

    @property
    def in_vain(self) -> bool:
        """Whether there was something to load, and none of it could be read."""
        return 0 < self.outcomes["unreadable"] == self.seen
