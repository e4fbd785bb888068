"""What things are called by clients: every id is a kind and a UUID, made from what the thing is, so that it is the same
whenever it is told, and leads back to it.

Knows nothing of requests.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import sha256
from uuid import NAMESPACE_URL, UUID, uuid5

_OF_AGENT = 12
"""So many digits of the agent's id stand in the ids of what it has."""
CALLS = 36
"""A call's number is that of its step, times this, and its place in the answer (see `next_call_id`)."""


class Part(IntEnum):
    """Which part of what an agent says or does a message of the client's world is."""

    SEEN = 0
    CALL = 1
    RETURN = 2
    SPOKEN = 3
    THOUGHT = 4
    PLAIN = 5
    APPROVAL = 6
    STEP = 7
    PASSAGE = 8
    SUMMARY = 9


def shown(kind: str, digits: str) -> str:
    """The id of a thing that has one of its own."""
    return f"{kind}-{UUID(digits)}"


def digits_of(kind: str, id: str) -> str:
    """The thing's own id, from what a client calls it; empty if that can't be one."""
    try:
        return UUID(id.removeprefix(f"{kind}-")).hex
    except ValueError:
        return ""


def named(kind: str, name: str) -> str:
    """The id of a thing that has only a name."""
    return f"{kind}-{uuid5(NAMESPACE_URL, f'memagent:{kind}:{name}')}"


def placed(kind: str, agent: str, part: Part, number: int) -> str:
    """The id of a thing by its number within an agent."""
    return shown(kind, f"{agent[:_OF_AGENT]}{part:04x}{number:016x}")


def place_of(kind: str, agent: str, id: str) -> tuple[Part, int] | None:
    """The part and the number of such a thing; none if the id is not of this agent."""
    digits = digits_of(kind, id)
    if not digits or not digits.startswith(agent[:_OF_AGENT]):
        return None
    part = int(digits[_OF_AGENT:16], 16)
    return (Part(part), int(digits[16:], 16)) if part in {*Part} else None


def number_of(call_id: str) -> int:
    """The number of a call: ours count, others are taken for what they are."""
    try:
        if len(call_id) == 9:
            return int(call_id, CALLS)
    except ValueError:
        pass
    return int(sha256(call_id.encode()).hexdigest()[:15], 16)
