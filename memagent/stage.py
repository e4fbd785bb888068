"""What one call of a function does to its agent, held back until the result is stored: all of it, or nothing.

`Stage` is the facade that functions receive as `self`. Knows nothing of transactions: the PersistenceManager takes
what is staged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from memagent.errors import NotFound, ToolError, UserError
from memagent.facts import SELF, USER, Fact
from memagent.facts import Cause as FactCause
from memagent.memory.archival import ArchivalMemory, Prepared
from memagent.memory.core import Change, Draft
from memagent.memory.recall import RecallMemory
from memagent.messages import Message, storable
from memagent.storage import Found, Page, Readable, Stretch, Transaction
from memagent.tools import Known

if TYPE_CHECKING:
    from memagent.facts.keeping import FactMemory
    from memagent.facts.records import Record, Records

log = logging.getLogger(__name__)

LONGEST_PAUSE = 7 * 24 * 60
MOST_FACTS = 20
"""So many facts are told about a person."""
OpenRecords = Callable[[bool], "Records"]
"""Opens typed memories: those of the user, or the agent's own."""


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


class StagedRecords:
    """People, events and other typed memories: those of the user, and the agent's own (`open(True)`), which are opened
    when they are needed. What this call changes is kept aside.
    """

    def __init__(self, open: OpenRecords | None, cause: FactCause, door: Door) -> None:
        self._open = open
        self._cause = cause
        self._door = door
        self._changes: list[Callable[[Transaction], object]] = []

    def kinds(self) -> Sequence[str]:
        with _told():
            return [
                f"{kind.name}: {'; '.join(f'{name} ({form.wants})' for name, form in kind.forms.items())}"
                for kind in self._records().kinds.all()
            ]

    def find(self, name: str) -> Sequence[str]:
        from memagent.facts.fields import told
        from memagent.facts.people import facts_about, related, relations

        with _told():
            records, found = self._find(name)
            fields = [(field, told(getattr(found.value, field))) for field in found.kind.forms]
            lines = [f"{found.kind.name} {found.number}", *(f"{field}: {value}" for field, value in fields if value)]
            if found.kind.name != "person":
                return lines
            people = records.people()
            ties = [f"{tie.other} is the {tie.what} of {tie.of}" for tie in related(found, relations(people))]
            facts, _ = facts_about(records.ledger, found, people, limit=MOST_FACTS)
            return [*lines, *ties, *(fact.text for fact in facts)]

    def add(self, kind: str, fields: Mapping[str, Any], about: str = USER) -> str:
        with _told():
            records = self._records(SELF in (about, fields.get("relation")))
            fact = records.drafted(kind, fields, self._cause, about=about)
        with self._door.passed():
            self._changes.append(lambda tx: records.keep(tx, fact))
        return fact.text

    def change(self, name: str, fields: Mapping[str, Any]) -> Sequence[str]:
        from memagent.facts.records import differences

        with _told():
            records, found = self._find(name)
            if found.fact.state != "holds":
                raise ToolError(f"{found.name!r} does not hold any more.")
            value = records.changed(found, fields)
            records.refuse_twin(records.ledger.database, value, found.number)
            new = replace(found, value=value)
        if value != found.value:
            with self._door.passed():
                self._changes.append(lambda tx: records.put(tx, found, value, self._cause))
        nothing = "(nothing)"
        pairs = differences(found, new).items()
        return [f"{field}: {was or nothing} → {now or nothing}" for field, (was, now) in pairs]

    def store(self, tx: Transaction) -> None:
        """Carry out what was kept aside; where a person was faster, theirs stays."""
        for change in self._changes:
            try:
                change(tx)
            except UserError as error:
                log.info("a memory was not changed: %s", error.message)

    def _find(self, name: str) -> tuple[Records, Record]:
        try:
            return (records := self._records()), records.find(name)
        except NotFound:
            return (own := self._records(True)), own.find(name)

    def _records(self, own: bool = False) -> Records:
        if self._open is None:
            raise ToolError("No memories are kept here: the setting facts is off.")
        return self._open(own)


@contextmanager
def _told() -> Iterator[None]:
    """What a person would have to mend, the model is told."""
    try:
        yield
    except UserError as error:
        raise ToolError(error.message) from error


class StagedFacts:
    """What is known, with what this call changes in it kept aside. `came` are the messages of the turn."""

    def __init__(
        self, facts: FactMemory | None, agent: str, came: Sequence[Message], door: Door,
        records: OpenRecords | None = None,
    ) -> None:  # fmt: skip
        self._facts = facts
        self._cause = FactCause("agent", "by a function", agent, came[-1].seq if came else None)
        self._door = door
        self.records = StagedRecords(records, self._cause, door)
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
        self.records.store(tx)
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
