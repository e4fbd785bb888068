"""How it stands with an agent: its newest turn, who has it, what waits for a person. Only to read.

Knows nothing of what is said or remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from memagent.lease import Holder, held_by_another
from memagent.messages import ToolCall
from memagent.roster import Entry
from memagent.storage import Database, Transaction


class Standing:
    """An agent as others find it; `turn` is the one that is ours."""

    def __init__(self, database: Database, entry: Entry, clock: Callable[[], datetime]) -> None:
        self.database = database
        self.entry = entry
        self.clock = clock
        self.turn = 0
        self._now = database.dialect.now
        self._holder = Holder.new()

    def spent(self) -> tuple[int, dict[str, int]]:
        """Steps and tokens of the current turn."""
        rows = self.database.rows(
            "SELECT steps, prompt_tokens, completion_tokens FROM turns WHERE agent = ? AND turn = ?",
            self.entry.id, self.turn,
        )  # fmt: skip
        steps, prompt, completion = rows[0] if rows else (0, 0, 0)
        return steps, {"prompt_tokens": prompt, "completion_tokens": completion}

    def last_login(self) -> datetime | None:
        """When the user last opened the chat."""
        rows = self.database.rows("SELECT last_login FROM agents WHERE id = ?", self.entry.id)
        return datetime.fromisoformat(rows[0][0]) if rows and rows[0][0] else None

    def unfinished(self) -> str:
        """The state of the newest turn, if it did not come to an end: "running" (it was cut) or "waiting"."""
        turn, state = self.newest_turn()
        return state if turn and state in ("running", "waiting") and not self.held_by() else ""

    def held_by(self) -> str:
        """Who has the agent now, in words; empty when it is free."""
        rows = self.database.rows(f"SELECT holder, lease_until, {self._now} FROM agents WHERE id = ?", self.entry.id)
        return held_by_another(rows[0], self._holder) if rows else ""

    def quiet(self) -> bool:
        """Whether the agent asked for no timed heartbeats now."""
        rows = self.database.rows("SELECT quiet_until FROM agents WHERE id = ?", self.entry.id)
        until = rows[0][0] if rows else None
        return until is not None and self.clock() < datetime.fromisoformat(until)

    def call_state(self, call: ToolCall) -> str:
        """What is known of a call without a result: "", "waiting", "approved", "denied" or "started"."""
        rows = self.database.rows("SELECT state FROM calls WHERE agent = ? AND call_id = ?", self.entry.id, call.id)
        return str(rows[0][0]) if rows else ""

    def newest_turn(self, tx: Transaction | None = None) -> tuple[int, str]:
        """The number and the state of the newest turn; 0 before the first."""
        rows = (tx or self.database).rows(
            "SELECT turn, state FROM turns WHERE agent = ? ORDER BY turn DESC LIMIT 1", self.entry.id
        )
        return (rows[0][0], rows[0][1]) if rows else (0, "")
