"""What can happen in a turn: the one vocabulary that every interface consumes.

An event is yielded only after what it tells has been committed. The two exceptions are marked: `Delta` (words as the
model writes them, a preview) and `Waiting` (a pause before another try). Knows nothing of who listens.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

DeltaKind = Literal["thought", "reply"]
Ending = Literal["done", "waiting", "interrupted", "failed"]


@dataclass(frozen=True)
class Event:
    """One thing that happened in a turn."""


@dataclass(frozen=True)
class TurnStarted(Event):
    """The incoming message is stored (`seq`); the agent begins to work on it."""

    turn: int
    seq: int


@dataclass(frozen=True)
class Delta(Event):
    """A piece of a thought or reply as the model writes it. Preview: not stored yet; the whole follows as its own
    event.
    """

    kind: DeltaKind
    text: str


@dataclass(frozen=True)
class Discarded(Event):
    """What the deltas since the last stored event showed does not hold (the stream broke, the answer was refused)."""

    reason: str


@dataclass(frozen=True)
class Waiting(Event):
    """Nothing happens for `seconds`, and why: a rate limit, a service that is down. Not stored."""

    seconds: float
    reason: str


@dataclass(frozen=True)
class Thought(Event):
    """What the agent thinks; private, shown only where asked for."""

    text: str


@dataclass(frozen=True)
class Called(Event):
    """The agent calls a function; the call is stored, the function has not run yet."""

    call_id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class ApprovalAsked(Event):
    """The call waits for a person. `digest` names exactly these arguments: it must be given back to approve them."""

    call_id: str
    name: str
    arguments: dict[str, Any]
    digest: str


@dataclass(frozen=True)
class Returned(Event):
    """A function has returned, or failed; its result is stored."""

    call_id: str
    name: str
    ok: bool
    text: str


@dataclass(frozen=True)
class MemoryEdited(Event):
    """A block of core memory was changed, by whom (`cause`), from what to what."""

    label: str
    before: str
    after: str
    version: int
    cause: str


@dataclass(frozen=True)
class Reply(Event):
    """What the agent says to the user."""

    text: str


@dataclass(frozen=True)
class Heartbeat(Event):
    """The agent goes on without the user, and why."""

    reason: str


@dataclass(frozen=True)
class Compacted(Event):
    """Older messages left the context window for a summary; they stay in recall memory."""

    hidden: int
    before: int
    after: int
    summary: str


@dataclass(frozen=True)
class Notice(Event):
    """Something the person at the other end should know; the turn goes on."""

    text: str


@dataclass(frozen=True)
class Failed(Event):
    """The turn ended without what was asked for: `message` says why, `hint` what to do."""

    message: str
    hint: str = ""
    kind: str = "error"


@dataclass(frozen=True)
class TurnEnded(Event):
    """The agent rests. `usage` counts tokens over all steps of the turn."""

    ending: Ending
    steps: int
    usage: dict[str, int] = field(default_factory=dict)


T = TypeVar("T")
Happening = Generator[Event, None, T]
"""Events as they happen, and what has come of them in the end."""


def as_dict(event: Event) -> dict[str, Any]:
    """An event as JSON-ready data, its kind under `event`."""
    return {"event": type(event).__name__, **vars(event)}
