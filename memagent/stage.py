"""What one call of a function does to its agent, held back until the result is stored: all of it, or nothing.

`Stage` is the facade that functions receive as `self`. Knows nothing of transactions: the PersistenceManager takes
what is staged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

from memagent.errors import ToolError
from memagent.memory.archival import ArchivalMemory, Prepared
from memagent.memory.core import Draft
from memagent.memory.recall import RecallMemory
from memagent.messages import storable
from memagent.storage import Page

LONGEST_PAUSE = 7 * 24 * 60


class StagedRecall:
    """The conversation before this turn."""

    def __init__(self, recall: RecallMemory, before_seq: int) -> None:
        self._recall = recall
        self._before = before_seq

    def search(self, query: str, page: int = 0) -> Page:
        return self._recall.search(query, page, before_seq=self._before)

    def search_dates(self, start: date | None, end: date | None, page: int = 0) -> Page:
        return self._recall.search_dates(start, end, page, before_seq=self._before)


class StagedArchive:
    """Archival memory, with what this call adds to it kept aside."""

    def __init__(self, archival: ArchivalMemory) -> None:
        self._archival = archival
        self.prepared: list[Prepared] = []

    def insert(self, text: str, tags: Sequence[str] = ()) -> int:
        prepared = self._archival.prepare(text, tags)
        self.prepared.append(prepared)
        return len(prepared.parts)

    def search(self, query: str, page: int = 0) -> Page:
        return self._archival.search(query, page)


@dataclass
class Stage:
    """All that a function can reach of its agent (see `tools.AgentFacade`), and what it did there so far."""

    name: str
    now: datetime
    files: Path
    idempotency_key: str
    allowed_hosts: Sequence[str]
    core: Draft
    recall: StagedRecall
    archival: StagedArchive
    ask: Callable[[str], str]
    said: list[str] = field(default_factory=list)
    quiet_until: datetime | None = None
    closed: bool = False

    def say(self, text: str) -> None:
        """Speak to the user; shown once the call is stored."""
        if not text.strip():
            raise ToolError("The message is empty. Write what you want to say to the user.")
        self.said.append(storable(text))

    def pause_heartbeats(self, minutes: int) -> None:
        """Send no timed heartbeats for a while."""
        if not 0 <= minutes <= LONGEST_PAUSE:
            raise ToolError(f"minutes must be between 0 and {LONGEST_PAUSE}.")
        self.quiet_until = self.now + timedelta(minutes=minutes)

    def ask_model(self, text: str) -> str:
        """Ask the agent's model something aside, without memory or tools."""
        if self.closed:
            raise ToolError("The time for this call is over.")
        return self.ask(text)

    def close(self) -> None:
        """The call is over: what comes later from it has no effect."""
        self.closed = True
