"""The server's own clock: what is done for agents with which nobody talks, each after its own silence.

A few agents at a time, each in a thread that is called away when somebody talks with it. Knows nothing of what is done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import partial

from memagent.agent import Agent
from memagent.errors import MemagentError, NotFound
from memagent.facts.behind import Leaving
from memagent.meanwhile import Halt, Meanwhile, Worker
from memagent.roster import Entry
from memagent.server.residents import Residents

log = logging.getLogger(__name__)

LOOK = 0.5
"""Seconds between two looks at the clock."""
MINUTE = 60.0
MOST_AT_ONCE = 4
"""So many agents are seen to at once: what models are asked aside, they are asked while others talk."""


@dataclass(eq=False)
class Rest:
    """An agent that rests, since when, and how often it was seen to: soon, after some `quiet`, and later when it was
    `idle` for so long that the conversation is over. Very many may rest, so no more is kept of them.
    """

    owner: str
    agent: str
    quiet: float
    idle: float
    since: float
    seen_to: int = 0
    worker: Worker | None = None

    @property
    def due(self) -> float:
        """When it is to be seen to next."""
        return self.since + (self.idle if self.seen_to else self.quiet)

    @property
    def busy(self) -> bool:
        """Whether it is seen to now."""
        return self.worker is not None and self.worker.busy


class Idle:
    """All agents that rest. `minutely` is done once a minute."""

    def __init__(self, residents: Residents, minutely: Callable[[], object]) -> None:
        self._residents = residents
        self._minutely = minutely
        self._resting: dict[str, Rest] = {}
        self._met: set[str] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def start(self, lately: Iterable[tuple[str, str]]) -> None:
        """Begin; `lately` are owner and id of agents that an earlier server may have left something undone for."""
        threading.Thread(target=self._run, args=[lately], name="idle", daemon=True).start()

    def wakes(self, entry: Entry, agent: Agent) -> None:
        """Somebody talks with an agent: whatever is done for it stops. What was said long ago is a conversation of its
        own, which it remembers as such.
        """
        with self._lock:
            rest = self._resting.pop(entry.id, None)
            new = entry.id not in self._met
            self._met.add(entry.id)
        if rest and rest.worker:
            rest.worker.stop()
        if new:
            try:
                Meanwhile(self._residents.settings(entry)).arrive(agent, over=False)
            except MemagentError as error:
                log.warning("the journal of %s waits: %s", entry.name, error)

    def rests(self, entry: Entry, agent: Agent) -> None:
        """Nobody waits for an agent any more: what was said is read, and in a while it is seen to."""
        if self._closed.is_set():
            return
        agent.behind.start()
        self._add(entry)

    def close(self) -> None:
        """See to nobody any more."""
        self._closed.set()
        with self._lock:
            workers = [rest.worker for rest in self._resting.values() if rest.worker]
            self._resting.clear()
        for worker in workers:
            worker.stop()

    def _add(self, entry: Entry) -> None:
        settings = self._residents.settings(entry)
        if settings.journal or settings.tidy:
            meanwhile = Meanwhile(settings)
            rest = Rest(entry.owner, entry.id, meanwhile.quiet, meanwhile.idle, time.monotonic())
            with self._lock:
                self._resting[entry.id] = rest

    def _add_one(self, owner: str, agent: str) -> None:
        self._add(self._residents.roster(owner).by_id(agent))

    def _run(self, lately: Iterable[tuple[str, str]]) -> None:
        for owner, agent in lately:
            self._guarded(partial(self._add_one, owner, agent))
        minute = time.monotonic() + MINUTE
        while not self._closed.wait(LOOK):
            for rest in self._due():
                self._guarded(partial(self._see_to, rest))
            if time.monotonic() > minute:
                minute = time.monotonic() + MINUTE
                self._guarded(self._minutely)

    def _guarded(self, work: Callable[[], object]) -> None:
        """What fails for one agent keeps nobody from seeing to the others."""
        try:
            work()
        except NotFound:
            pass  # it was deleted
        except MemagentError as error:
            log.warning("what is done meanwhile failed: %s", error)
        except Exception:  # the outermost door of a thread: logged whole, and the clock goes on
            log.exception("what is done meanwhile failed")

    def _due(self) -> list[Rest]:
        """Who is to be seen to now."""
        now = time.monotonic()
        with self._lock:
            for number in [number for number, rest in self._resting.items() if rest.seen_to > 1 and not rest.busy]:
                del self._resting[number]
            free = MOST_AT_ONCE - sum(rest.busy for rest in self._resting.values())
            due = [rest for rest in self._resting.values() if rest.seen_to < 2 and rest.due <= now and not rest.busy]
        return sorted(due, key=lambda rest: rest.due)[: max(0, free)]

    def _see_to(self, rest: Rest) -> None:
        rest.seen_to += 1
        entry = self._residents.roster(rest.owner).by_id(rest.agent)
        agent, meanwhile = self._residents.agent(entry), Meanwhile(self._residents.settings(entry))
        llm = Leaving(lambda: agent.llm)
        do = meanwhile.soon if rest.seen_to == 1 else meanwhile.later

        def work(halt: Halt) -> Generator[object]:
            if rest.seen_to == 1:
                meanwhile.arrive(agent, over=False)
            while agent.behind.busy and not halt.wait(LOOK):  # one after the other
                pass
            if not halt.is_set():
                yield from do(agent, llm.opened())

        with self._lock:
            if self._resting.get(rest.agent) is rest:  # else somebody talks with it
                rest.worker = Worker(work, llm)
