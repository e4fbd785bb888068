"""Memory as a library, without any agent: it is told things, keeps what holds, and answers.

    from memagent import Memory
    memory = Memory(user="ada")
    memory.add("I use Shram and Magnet as productivity tools")
    memory.ask("What productivity tools do I use?")

All parts can be handed in: what takes facts from talk, what makes vectors, where the nearest are found, where all is
kept, what answers. Knows nothing of agents.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from memagent import config, telemetry
from memagent.errors import NotFound, UserError
from memagent.facts import USER, Cause, Change, Chooser, Extractor, Fact, Said, State
from memagent.facts.finding import FactFinder, Matches, VectorStore
from memagent.facts.keeping import FactMemory, Outcome
from memagent.facts.ledger import Ledger, keeper
from memagent.facts.plain import PlainExtractor
from memagent.facts.policy import USUAL, Policy
from memagent.facts.telling import Answerer
from memagent.library import Library

if TYPE_CHECKING:
    from memagent.config import Settings
    from memagent.embeddings import Embedder
    from memagent.llm import LLM
    from memagent.storage import Database

T = TypeVar("T")
Said_ = str | Said | Mapping[str, Any]
BY_HAND = Cause("user")


class Facts(Sequence[Fact]):
    """Facts that were found or listed; printed, one stands in each line."""

    def __init__(self, facts: Sequence[Fact], total: int | None = None) -> None:
        self._facts = list(facts)
        self.total = len(self._facts) if total is None else total

    def __len__(self) -> int:
        return len(self._facts)

    @overload
    def __getitem__(self, at: int) -> Fact: ...
    @overload
    def __getitem__(self, at: slice) -> Facts: ...
    def __getitem__(self, at: int | slice) -> Fact | Facts:
        return Facts(self._facts[at], self.total) if isinstance(at, slice) else self._facts[at]

    def __repr__(self) -> str:
        return "\n".join(map(line_of, self._facts)) or "nothing"


@dataclass(frozen=True)
class Step:
    """Something that became of a fact, with the fact as it is now."""

    fact: Fact
    change: Change

    def __str__(self) -> str:
        why = f" ({self.change.cause.why})" if self.change.cause.why else ""
        return f"{self.change.when:%Y-%m-%d} {self.change.what}: {self.fact.text}{why}"


class History(Sequence[Step]):
    """What became of facts, in its order; printed, one step stands in each line."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = list(steps)

    def __len__(self) -> int:
        return len(self._steps)

    @overload
    def __getitem__(self, at: int) -> Step: ...
    @overload
    def __getitem__(self, at: slice) -> History: ...
    def __getitem__(self, at: int | slice) -> Step | History:
        return History(self._steps[at]) if isinstance(at, slice) else self._steps[at]

    def __repr__(self) -> str:
        return "\n".join(map(str, self._steps)) or "nothing"


class _Guarded:
    """Facts that are searched by one thread at a time; a model is asked outside."""

    def __init__(self, facts: FactMemory, guard: threading.RLock) -> None:
        self._facts = facts
        self._guard = guard

    def search(self, text: str, page: int = 0, size: int = 10, *, states: Sequence[State] = ("holds",)) -> Matches:
        with self._guard:
            return self._facts.search(text, page, size, states=states)


class Memory:
    """What is known of one user. Safe to use from several threads, and from several processes on one store."""

    def __init__(
        self, user: str = "", *, path: str | Path | None = None, url: str = "", agent: str | None = None,
        database: Database | None = None, embedder: Embedder | None = None, vectors: VectorStore | None = None,
        extractor: Extractor | None = None, answerer: Answerer | None = None, llm: LLM | None = None,
        policy: Policy = USUAL,
        clock: Callable[[], datetime] | None = None, settings: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Open the memory of a user: in the file at `path`, in PostgreSQL at `url`, or in the store of home.

        With an `llm`, facts are found and answers are put into words by that model; else by rules, for English.
        `settings` are those of docs/settings.md. A `database` that is handed in is not closed with the memory.
        """
        if sum(place not in (None, "") for place in (path, url, database)) > 1:
            raise UserError("A memory is in one place.", hint="Give one of path, url and database.")
        if url and not url.startswith(("postgresql://", "postgres://")):
            raise UserError("A memory can't be kept at that url.", hint="Give postgresql://USER@HOST/NAME, or a path.")
        place = str(Path(path).absolute()) if path is not None else url or None
        self._settings = config.load({**(settings or {}), **({"database": place} if place else {})})
        self.user = user or self._settings.user
        self._owned = database is None
        self._database = database if database is not None else _opened(self._settings)
        self._clock = clock or (lambda: datetime.now().astimezone())
        self._guard = threading.RLock()
        telemetry.begin(self._settings)
        llm = telemetry.watched(llm) if llm else None
        self._answerer, self._llm = answerer, llm if answerer is None else None
        self._parts = (embedder if embedder is not None else _embedder(self._settings), vectors)
        shelf = keeper(self._database, self.user, agent, self._clock())
        ledger = Ledger(self._database, shelf)
        finder = FactFinder(ledger, *self._parts)
        self.facts = FactMemory(ledger, finder, extractor or _extractor(llm), self._clock, policy, _chooser(llm))

    # Taking in --------------------------------------------------------------------------------------------------------

    def add(self, told: Said_ | Sequence[Said_]) -> Sequence[Outcome]:
        """Learn from something that was said: a text, a message ({"role": …, "content": …}), or several."""
        every = [told] if isinstance(told, str | Said | Mapping) or not isinstance(told, Sequence) else told
        talk = [self._said(one) for one in every]
        talk = [said for said in talk if said.text.strip()]
        if not talk:
            return []
        with self._guard:
            return self.facts.take(talk, Cause("talk"))

    def state(self, text: str) -> Fact:
        """Keep a fact as it is written here; it outranks what is taken from talk."""
        return self.facts.state(text, BY_HAND)

    def state_many(self, texts: Sequence[str]) -> int:
        """Keep many facts as they are written, such as those of another system, in batches; returns how many."""
        done = self.facts.state_many(texts, BY_HAND)
        while self.facts.finder.catch_up():
            pass
        return done

    def correct(self, which: int | str | Fact, text: str) -> Fact:
        """Put other words in the place of a fact."""
        return self.facts.correct(self._one(which).id, text, BY_HAND)

    def forget(self, which: int | str | Fact) -> Fact:
        """Forget a fact: no answer shows a trace of it. Its history does, and `restore` brings it back."""
        return self.facts.forget(self._one(which).id, BY_HAND)

    def end(self, which: int | str | Fact, until: str | None = None) -> Fact:
        """A fact does not hold any more."""
        return self.facts.end(self._one(which).id, BY_HAND, until)

    def restore(self, which: int | str | Fact) -> Fact:
        """Bring a fact back that ended or was forgotten."""
        return self.facts.restore(self._one(which, ("forgotten", "past")).id, BY_HAND)

    def sweep(self) -> int:
        """Let lapse what no longer holds by itself; `search` and `ask` do so for what had its day."""
        return self.facts.sweep()

    # Asking -----------------------------------------------------------------------------------------------------------

    def search(self, text: str, limit: int = 10, *, past: bool = False) -> Facts:
        """The facts with these words or this meaning, best first: what holds, or what held."""
        states: tuple[State, ...] = ("past",) if past else ("holds",)
        found = _Guarded(self.facts, self._guard).search(text, size=limit, states=states)
        return Facts([match.fact for match in found.matches], found.total)

    def ask(self, question: str) -> str:
        """An answer from what is known."""
        from memagent.facts.answer import answered

        instruction = Library(self._settings.home).text("prompts", "facts_answer") if self._llm else ""
        known, today = _Guarded(self.facts, self._guard), self._clock().date()
        return answered(known, question, today, llm=self._llm, instruction=instruction, otherwise=self._answerer)

    def list(self, *, past: bool = False, about: str = "", limit: int = 50) -> Facts:
        """What holds, or what held, the newest first."""
        states: tuple[State, ...] = ("past",) if past else ("holds",)
        ledger = self.facts.ledger
        return Facts(ledger.listed(states, about=about, limit=limit), ledger.count(states, about=about))

    def history(self, which: int | str | Fact) -> History:
        """All that became of a fact and its versions, or of whatever facts have this in their text."""
        ledger = self.facts.ledger
        some = ledger.named(which) if isinstance(which, str) else ledger.line(self._one(which).id)
        steps = [(change.when, number, Step(fact, change)) for fact in some
                 for number, change in enumerate(ledger.history(fact.id))]  # fmt: skip
        return History([step for *_, step in sorted(steps, key=lambda one: (one[0], one[2].fact.id, one[1]))])

    def why(self, which: int | str | Fact) -> str:
        """Where a fact is from, in a few words."""
        fact = self._one(which, ("holds", "past", "forgotten"))
        said = {"user": "written by hand", "agent": "written by an agent"}.get(fact.cause.origin, "said")
        quote = f": “{fact.quote}”" if fact.quote else ""
        times = f"; {fact.confirmed} times in all" if fact.confirmed > 1 else ""
        steps = "".join(f"\n{step}" for step in self.history(fact))
        return f"{fact.text}\n{said} on {fact.said:%Y-%m-%d}{quote}{times}{steps}"

    # Without blocking -------------------------------------------------------------------------------------------------

    async def aadd(self, told: Said_ | Sequence[Said_]) -> Sequence[Outcome]:
        """`add`, without blocking the event loop."""
        return await _apart(lambda: self.add(told))

    async def asearch(self, text: str, limit: int = 10, *, past: bool = False) -> Facts:
        """`search`, without blocking the event loop."""
        return await _apart(lambda: self.search(text, limit, past=past))

    async def aask(self, question: str) -> str:
        """`ask`, without blocking the event loop."""
        return await _apart(lambda: self.ask(question))

    async def ahistory(self, which: int | str | Fact) -> History:
        """`history`, without blocking the event loop."""
        return await _apart(lambda: self.history(which))

    async def aforget(self, which: int | str | Fact) -> Fact:
        """`forget`, without blocking the event loop."""
        return await _apart(lambda: self.forget(which))

    async def arestore(self, which: int | str | Fact) -> Fact:
        """`restore`, without blocking the event loop."""
        return await _apart(lambda: self.restore(which))

    # The store --------------------------------------------------------------------------------------------------------

    def of(self, user: str) -> Memory:
        """The memory of another user in the same store, with the same parts."""
        facts, (embedder, vectors) = self.facts, self._parts
        return Memory(
            user, database=self._database, embedder=embedder, vectors=vectors, extractor=facts.extractor,
            answerer=None if self._llm else self._answerer, llm=self._llm, policy=facts.policy, clock=self._clock,
        )  # fmt: skip

    def close(self) -> None:
        """Let go of the store."""
        if self._owned:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self.close()

    def __repr__(self) -> str:
        return f"Memory(user={self.user!r}, place={self._database.place!r})"

    def _said(self, told: Said_) -> Said:
        if isinstance(told, Said):
            return told
        if isinstance(told, str):
            return Said(USER, told, self._clock())
        if not isinstance(told, Mapping):
            raise UserError("That is no message.", hint=_MESSAGE)
        who = {"assistant": "agent", "user": USER}.get(str(told.get("role", USER)), "agent")
        return Said(who, _text_of(told.get("content")), self._clock())

    def _one(self, which: int | str | Fact, states: Sequence[State] = ("holds",)) -> Fact:
        """The fact that is meant: by its number, or the best that has these words."""
        if not isinstance(which, str):
            return self.facts.ledger.get(which if isinstance(which, int) else which.id)
        named = [fact for fact in self.facts.ledger.named(which) if fact.state in states]
        if not named:
            raise NotFound(f"There is no fact with {which!r} in it.", hint="See them all with list().")
        exact = [fact for fact in named if fact.text.lower() == which.lower()]
        if len(exact or named) > 1:
            listed = "; ".join(f"{fact.id}: {fact.text}" for fact in named[:5])
            raise UserError(f"{which!r} is in {len(named)} facts.", hint=f"Say which by its number: {listed}")
        return (exact or named)[0]


_MESSAGE = 'Give a text, or {"role": "user", "content": "…"}.'


def _text_of(content: object) -> str:
    """The text of a message, as services have it: whole, in parts, or none, where only functions are called."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list | tuple) else [None]
    texts = [part.get("text", "") if isinstance(part, Mapping) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise UserError("A message needs a text as its content.", hint=_MESSAGE)
    return "\n".join(str(text) for text in texts)


def line_of(fact: Fact) -> str:
    """A fact in one line, with its number and when it holds."""
    times = [f"since {fact.since}" if fact.since else "", f"until {fact.until}" if fact.until else ""]
    when = ", ".join(filter(None, [*times, f"said on {fact.said:%Y-%m-%d}"]))
    return f"{fact.id}  {fact.text} ({when})"


async def _apart(work: Callable[[], T]) -> T:
    import asyncio

    return await asyncio.to_thread(work)


def _extractor(llm: LLM | None) -> Extractor:
    if llm is None:
        return PlainExtractor()
    from memagent.facts.extract import ModelExtractor

    return ModelExtractor(llm)


def _chooser(llm: LLM | None) -> Chooser | None:
    if llm is None:
        return None
    from memagent.facts.choosing import ModelChooser

    return ModelChooser(lambda: llm)


def _opened(settings: Settings) -> Database:
    from memagent.assemble import open_database

    config.ensure_home(settings)
    return open_database(settings)


def _embedder(settings: Settings) -> Embedder | None:
    from memagent.assemble import open_embedder

    return open_embedder(settings)
