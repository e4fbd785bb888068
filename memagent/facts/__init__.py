"""Facts: what is held true of somebody or something, from one time to another, with where that comes from.

They are taken from talk (`Extractor`), held against what is known (`reconcile`), and kept with all that ever became of
them (`ledger`). Whatever takes part is handed in, behind a small protocol. Knows nothing of agents or of the loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

USER = "user"
"""Whom a fact is about, when it is who talks to the agent."""
SELF = "self"
"""… and when it is the agent."""

Origin = Literal["user", "agent", "talk", "policy", "tidy"]
"""Who brought something about: a person by hand, the agent by a function, extraction from talk, a rule that nobody has
to ask for, or tidying.
"""
State = Literal["holds", "past", "forgotten"]
How = Literal["ended", "refined", "contradicted", "corrected", "merged", "expired", "forgotten", "undone"]
"""Why a fact does not hold any more."""
What = Literal[
    "learned",
    "confirmed",
    "ended",
    "refined",
    "contradicted",
    "corrected",
    "merged",
    "expired",
    "forgotten",
    "undone",
    "restored",
]
"""What became of a fact."""
BY_HAND: frozenset[Origin] = frozenset({"user", "agent"})
"""Origins that outrank what was taken from talk."""


@dataclass(frozen=True)
class Cause:
    """Why a fact is changed: by whom, and because of which message of which agent."""

    origin: Origin
    why: str = ""
    agent: str | None = None
    message: int | None = None


@dataclass(frozen=True)
class Fact:
    """One thing that is held true. `subject` says of what it tells (like "productivity tools"), `about` of whom, `said`
    when it was said, `since` and `until` (ISO dates, as exact as they are known) when it holds. `confirmed` counts how
    often it was said, `renewed` when that was last. Facts of one `line` are versions of one another.
    """

    text: str
    said: datetime
    kind: str = "fact"
    about: str = USER
    subject: str = ""
    since: str | None = None
    until: str | None = None
    confidence: float = 0.8
    details: Mapping[str, Any] = field(default_factory=dict)
    """What declared kinds hold besides, field by field."""
    quote: str = ""
    """The words that it was taken from."""
    cause: Cause = field(default_factory=lambda: Cause("user"))
    """How it came to be known."""
    id: int = 0
    line: int = 0
    confirmed: int = 1
    renewed: datetime | None = None
    state: State = "holds"
    ended: datetime | None = None
    how: How | None = None
    heir: int | None = None
    """The fact that took its place."""


@dataclass(frozen=True)
class Change:
    """Something that became of a fact. `details` tell what was changed, such as the confidence before."""

    fact: int
    what: What
    when: datetime
    cause: Cause
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Said:
    """One message that facts may be taken from; `seq` is its number, `who` "user", "agent", or a name."""

    who: str
    text: str
    when: datetime
    seq: int = 0


@dataclass(frozen=True)
class Draft:
    """What an extractor found in talk: a fact that holds (`holds`), or that one does not hold any more. `message` is
    the number of the message it was taken from; `replaces` are the texts of known facts that it puts an end to, if the
    extractor can tell.
    """

    text: str
    holds: bool = True
    kind: str = "fact"
    about: str = USER
    subject: str = ""
    since: str | None = None
    until: str | None = None
    confidence: float = 0.8
    quote: str = ""
    message: int = 0
    replaces: Sequence[str] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


class Chooser(Protocol):
    """Asked where words leave open which known statement a new one takes the place of, or whether it does so at all."""

    def against(self, statement: str, known: Sequence[str]) -> Sequence[float]:
        """How far that speaks for each of the known ones, above or below nothing; no answer where it can't be had."""
        ...


class Extractor(Protocol):
    """Takes facts from talk: one call of a model at the most, or none."""

    def extract(self, talk: Sequence[Said], known: Sequence[Fact]) -> Sequence[Draft]:
        """What can be learned from these messages; the newest of them last, and what is known of the same already.
        Raises `LLMError` when the model can't be had; what it says that is of no use is left out.
        """
        ...
