"""What one call of a function does to its agent, held back until the result is stored: all of it, or nothing.

`Stage` is the facade that functions receive as `self`. Knows nothing of transactions: the PersistenceManager takes
what is staged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import Lock

from memagent.errors import NotFound, ToolError
from memagent.facts import Cause as FactCause
from memagent.facts import Fact
from memagent.facts.keeping import FactMemory
from memagent.memory.archival import ArchivalMemory, Prepared
from memagent.memory.core import Change, Draft
from memagent.memory.recall import RecallMemory
from memagent.messages import Message, storable
from memagent.storage import Found, Page, Readable, Stretch, Transaction
from memagent.tools import Known

LONGEST_PAUSE = 7 * 24 * 60


class Door:
    """Open while a call runs. A thread that a function left behind finds it shut, and is not halfway through then."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._shut = False

    @contextmanager
    def passed(self) -> Iterator[None]:
        with self._lock:
            if self._shut:
                raise ToolError("The time for this call is over.")
            yield

    def shut(self) -> None:
        with self._lock:
            self._shut = True


class StagedCore:
    """Core memory, with what this call changes in it kept aside."""

    def __init__(self, draft: Draft, door: Door) -> None:
        self._draft = draft
        self._door = door

    def labels(self) -> Sequence[str]:
        return self._draft.labels()

    def read(self, label: str) -> str:
        return self._draft.read(label)

    def append(self, label: str, text: str) -> str:
        with self._door.passed():
            return self._draft.append(label, text)

    def replace(self, label: str, old: str, new: str) -> str:
        with self._door.passed():
            return self._draft.replace(label, old, new)

    def changes(self) -> list[Change]:
        return self._draft.changes()


class StagedRecall:
    """The conversation before this turn."""

    def __init__(self, recall: RecallMemory, before_seq: int) -> None:
        self._recall = recall
        self._before = before_seq

    def search(self, query: str, page: int = 0) -> Page:
        return self._recall.search(query, page, before_seq=self._before)

    def search_dates(self, start: date | None, end: date | None, page: int = 0) -> Page:
        return self._recall.search_dates(start, end, page, before_seq=self._before)

    def around(self, message: int, before: int = 0, after: int = 0) -> Sequence[Found]:
        return self._recall.around(message, before, after, before_seq=self._before)


class StagedArchive:
    """Archival memory, with what this call adds to it kept aside."""

    def __init__(self, archival: ArchivalMemory, door: Door) -> None:
        self._archival = archival
        self._door = door
        self.prepared: list[Prepared] = []

    def insert(self, text: str, tags: Sequence[str] = ()) -> int:
        prepared = self._archival.prepare(text, tags)
        with self._door.passed():
            self.prepared.append(prepared)
        return len(prepared.parts)

    def search(self, query: str, page: int = 0, *, source: str = "") -> Page:
        return self._archival.search(query, page, source=source)

    def around(self, passage: int, before: int = 1, after: int = 1) -> Stretch:
        return self._archival.around(passage, before, after)

    def sources(self) -> Sequence[Readable]:
        return self._archival.sources()


class StagedFacts:
    """What is known, with what this call changes in it kept aside. `came` are the messages of the turn."""

    def __init__(self, facts: FactMemory | None, agent: str, came: Sequence[Message], door: Door) -> None:
        self._facts = facts
        self._cause = FactCause("agent", "by a function", agent, came[-1].seq if came else None)
        self._door = door
        self._changes: list[tuple[Fact, str]] = []

    def search(self, query: str, *, past: bool = False) -> Sequence[Known]:
        found = self._kept().search(query, states=("holds", "past") if past else ("holds",)).matches
        return [
            Known(fact.id, fact.text, fact.said, fact.since, fact.until, fact.state == "holds")
            for fact in (match.fact for match in found)
        ]

    def correct(self, fact: int, text: str) -> str:
        if not (words := " ".join(storable(text).split())):
            raise ToolError("The new text is empty. To take a fact away, call fact_forget.")
        return self._change(fact, words)

    def forget(self, fact: int) -> str:
        return self._change(fact, "")

    def store(self, tx: Transaction, now: datetime) -> None:
        """Carry out what was kept aside; a fact that a person has changed meanwhile stays as it is."""
        for fact, text in self._changes:
            ledger = self._kept().ledger
            ledger.hold(tx)
            there = ledger.seen(tx, fact.id)
            if there and there.state == "holds":
                if text:
                    ledger.replace(tx, there, text, self._cause, now)
                else:
                    ledger.end(tx, there, "forgotten", self._cause, now)

    def _change(self, number: int, text: str) -> str:
        try:
            fact = self._kept().ledger.get(number)
        except NotFound:
            raise ToolError(f"There is no fact {number}. Find its number with fact_search.") from None
        if fact.state != "holds":
            raise ToolError(f"Fact {number} does not hold any more: {fact.text}")
        if text and fact.details:
            raise ToolError(f"Fact {number} is a {fact.kind}, told by its fields: {fact.text}")
        with self._door.passed():
            self._changes.append((fact, text))
        return fact.text

    def _kept(self) -> FactMemory:
        if self._facts is None:
            raise ToolError("No facts are kept here: the setting facts is off.")
        return self._facts


@dataclass
class Stage:
    """All that a function can reach of its agent (see `tools.AgentFacade`), and what it did there so far."""

    name: str
    now: datetime
    files: Path
    idempotency_key: str
    allowed_hosts: Sequence[str]
    core: StagedCore
    recall: StagedRecall
    archival: StagedArchive
    facts: StagedFacts
    ask: Callable[[str], str]
    door: Door
    said: list[str] = field(default_factory=list)
    quiet_until: datetime | None = None

    def say(self, text: str) -> None:
        """Speak to the user; shown once the call is stored."""
        if not text.strip():
            raise ToolError("The message is empty. Write what you want to say to the user.")
        with self.door.passed():
            self.said.append(storable(text))

    def pause_heartbeats(self, minutes: int) -> None:
        """Send no timed heartbeats for a while."""
        if not 0 <= minutes <= LONGEST_PAUSE:
            raise ToolError(f"minutes must be between 0 and {LONGEST_PAUSE}.")
        with self.door.passed():
            self.quiet_until = self.now + timedelta(minutes=minutes)

    def ask_model(self, text: str) -> str:
        """Ask the agent's model something aside, without memory or tools."""
        with self.door.passed():
            ask = self.ask
        return ask(text)

    def close(self) -> None:
        """The call is over: what comes later from it is refused."""
        self.door.shut()
