"""What a character remembers: records with a type, content and metadata, in its own ledger; bounded, and nothing lost.

What becomes too much is put together into summaries, or moves to the past; the history shows it all. Knows nothing of
how a character talks, or of how a summary is worded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from memagent.characters.checking import MemoryConfig, check_data, check_memory_content, check_memory_type
from memagent.embeddings import Embedder
from memagent.errors import NotFound, UserError
from memagent.facts import SELF, Cause, Change, Fact, How, State
from memagent.facts.finding import FactFinder
from memagent.facts.ledger import Ledger, keeper
from memagent.facts.own import SUMMARY, counted, records
from memagent.storage import Database, Transaction

Summarise = Callable[[Sequence["Memory"]], str]
"""Puts memories, the oldest first, into a few words."""


@dataclass(frozen=True)
class Memory:
    """One thing that a character remembers. `message` is the number of the message in its log that it is of; a memory
    that is past or forgotten says `how` that came about, and which one is its `heir`.
    """

    id: int
    type: str
    content: Any
    metadata: Mapping[str, Any] = field(default_factory=dict)
    when: datetime = datetime.min
    text: str = ""
    message: int | None = None
    state: State = "holds"
    how: How | None = None
    heir: int | None = None
    ended: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """As it is written: without its number, which is another wherever it is read in."""
        found = {"type": self.type, "content": self.content, "metadata": dict(self.metadata)}
        return {**found, "when": self.when.isoformat(), "message": self.message}


def memory_of(fact: Fact) -> Memory:
    """A record of the ledger as a memory."""
    return Memory(
        fact.id, fact.kind, fact.details["content"], fact.details.get("metadata", {}), fact.said, fact.text,
        fact.cause.message, fact.state, fact.how, fact.heir, fact.ended,
    )  # fmt: skip


class Memories:
    """The memories of one character."""

    def __init__(
        self, database: Database, owner: str, agent: str, config: MemoryConfig, *, clock: Callable[[], datetime],
        embedder: Callable[[], Embedder | None], summarise: Summarise,
    ) -> None:  # fmt: skip
        self.config = config
        self._database = database
        self._owner = owner
        self._agent = agent
        self.clock = clock
        self._embedder = embedder
        self._summarise = summarise

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger that they are kept in."""
        return Ledger(self._database, keeper(self._database, self._owner, self._agent, self.clock()))

    @cached_property
    def _finder(self) -> FactFinder:
        return FactFinder(self.ledger, self._embedder())

    def prepare(self) -> None:
        """See to it that there is a ledger: from now on, reading writes nothing."""
        assert self.ledger

    # Reading ----------------------------------------------------------------------------------------------------------

    def listed(
        self, limit: int | None = None, types: Sequence[str] | None = None, states: Sequence[State] = ("holds",)
    ) -> list[Memory]:
        """The newest memories of some types, the newest last; a summary stands before what came after it."""
        return [memory_of(fact) for fact in records(self.ledger, states=states, kinds=types, limit=limit)]

    def search(self, words: str, limit: int = 10, types: Sequence[str] | None = None, *, past: bool = False,
    ) -> list[Memory]:  # fmt: skip
        """Memories with these words or this meaning, best first; also what is past, if it is asked for."""
        states: Sequence[State] = ("holds", "past") if past else ("holds",)
        found = self._finder.find(words, size=500 if types else max(1, min(500, 2 * limit)), states=states).matches
        facts = [match.fact for match in found if "content" in match.fact.details]
        return [memory_of(fact) for fact in facts if types is None or fact.kind in types][:limit]

    def get(self, number: int) -> Memory:
        """The memory of that number, whatever its state."""
        fact = self.ledger.get(number)
        if "content" not in fact.details:
            raise NotFound(f"There is no memory {number}.")
        return memory_of(fact)

    def history(self, number: int) -> list[Change]:
        """All that became of a memory."""
        return self.ledger.history(number)

    # Writing ----------------------------------------------------------------------------------------------------------

    def add(self, content: Any, kind: str, metadata: Mapping[str, Any] | None = None) -> Memory:
        """Keep a memory, and see to it that there are not too many."""
        fact = record(content, kind, metadata, self.clock())
        with self._database.write(self.ledger.keeper.shelf) as tx:
            kept = self.learn(tx, fact)
        self.tidy()
        return memory_of(kept)

    def learn(self, tx: Transaction, fact: Fact) -> Fact:
        """Keep a record, within a transaction."""
        if not tx.rows("SELECT 1 FROM keepers WHERE shelf = ?", self.ledger.keeper.shelf):
            raise NotFound("The character has been deleted.")
        return self.ledger.learn(tx, fact, self.clock())

    def forget(self, number: int) -> None:
        """Forget a memory: nothing finds it any more, but its history tells of it."""
        memory = self.ledger.get(self.get(number).id)
        with self._database.write(self.ledger.keeper.shelf) as tx:
            self.ledger.end(tx, memory, "forgotten", Cause("user"), self.clock())

    def tidy(self) -> None:
        """Put together what is too much, or move it to the past, until the bounds hold."""
        while (due := self._due()) and self._put_away(due):
            pass

    def _due(self) -> list[Fact]:
        """The oldest memories that must make room now."""
        config, (plain, summaries) = self.config, counted(self.ledger)
        if config.auto_summarize and plain > config.summary_threshold:
            held = [fact for fact in records(self.ledger) if fact.kind != SUMMARY]
            stays = config.summary_threshold + 1 - max(2, config.summary_threshold // 2)
            return held[:-stays]
        if (over := plain + summaries - config.max_memories) > 0:
            return records(self.ledger)[: over + 1 if config.auto_summarize else over]
        return []

    def _put_away(self, due: Sequence[Fact]) -> bool:
        """Make room of these; False when there is nothing more to do."""
        summary = self._summary(due) if self.config.auto_summarize else None
        ledger, now = self.ledger, self.clock()
        with self._database.write(ledger.keeper.shelf) as tx:
            if not tx.rows("SELECT 1 FROM keepers WHERE shelf = ?", ledger.keeper.shelf):
                return False
            now_held = [ledger.seen(tx, fact.id) for fact in due]
            if any(fact is None or fact.state != "holds" for fact in now_held):
                return True  # somebody else was quicker: look again
            heir = ledger.learn(tx, summary, now).id if summary else None
            for fact in due:
                how: How = "merged" if heir else "expired"
                ledger.end(tx, fact, how, Cause("policy", "memory is bounded"), now, heir=heir)
        return True

    def _summary(self, due: Sequence[Fact]) -> Fact:
        memories = [memory_of(fact) for fact in due]
        earlier = [_reach(memory) for memory in memories]
        content = {
            "summary": self._summarise(memories), "count": sum(count for count, _ in earlier),
            "from": earlier[0][1], "to": memories[-1].when.isoformat(),
        }  # fmt: skip
        fact = record(content, SUMMARY, {}, memories[-1].when, Cause("tidy", "memory is bounded"))
        return replace(fact, text=str(content["summary"]))


def _reach(memory: Memory) -> tuple[int, str]:
    """How many memories one stands for, and when the first of them was."""
    told = memory.content if memory.type == SUMMARY and isinstance(memory.content, dict) else {}
    count, first = told.get("count"), told.get("from")
    return count if isinstance(count, int) else 1, first if isinstance(first, str) else memory.when.isoformat()


def record(
    content: Any, kind: str, metadata: Mapping[str, Any] | None, when: datetime, cause: Cause | None = None
) -> Fact:
    """A memory as it is kept in a ledger; a UserError says what is wrong with it."""
    metadata = metadata or {}
    for fit in (check_memory_content(content), check_memory_type(kind), _check_metadata(metadata)):
        if not fit:
            raise UserError(fit.why)
    content, metadata = json.loads(json.dumps(content)), json.loads(json.dumps(metadata))
    text = rendered(content) + (f"\n({rendered(metadata, '; ')})" if metadata else "")
    details = {"content": content, "metadata": metadata}
    return Fact(text, when, kind, SELF, confidence=1.0, details=details, cause=cause or Cause("user"))


def _check_metadata(metadata: Any) -> Any:
    if not isinstance(metadata, Mapping):
        raise UserError("What is told of a memory is a mapping.")
    return check_data(metadata, "What is told of it")


def rendered(data: Any, between: str = "\n") -> str:
    """Data as a person reads it, and as words find it: a line for each name."""
    if isinstance(data, Mapping):
        return between.join(f"{key.replace('_', ' ')}: {rendered(value, '; ')}" for key, value in data.items())
    if isinstance(data, list):
        return ", ".join(rendered(each, "; ") for each in data)
    if data is None or isinstance(data, bool):
        return {None: "nothing", True: "yes", False: "no"}[data]
    return str(data)
