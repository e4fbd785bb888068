"""Calls that wait for a person: which there are, to ask about them, and to answer.

Knows nothing of how they are asked about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memagent.memory.log import MessageLog
from memagent.storage import Database
from memagent.verdict import open_calls


@dataclass(frozen=True)
class Pending:
    """A call that waits. `digest` names exactly these arguments, and is given back with the answer."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]
    digest: str

    def decided(self, approve: bool) -> dict[str, Any]:
        """What a run of the work `decide` is told."""
        return {"call_id": self.call_id, "digest": self.digest, "approve": approve}


def pending(database: Database, agent: str) -> list[Pending]:
    """The calls of an agent that wait, in their order."""
    rows = database.rows("SELECT call_id, digest FROM calls WHERE agent = ? AND state = 'waiting'", agent)
    if not rows:
        return []
    waiting = {call: digest for call, digest in rows}
    turn = max(message.turn for message in MessageLog(database, agent).last(1))
    return [
        Pending(call.id, call.name, json.loads(call.arguments), waiting[call.id])
        for call in open_calls(MessageLog(database, agent).of_turn(turn)) if call.id in waiting
    ]  # fmt: skip
