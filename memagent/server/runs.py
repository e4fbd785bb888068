"""Turns that were asked for, one at a time for each agent, each in a thread: a run is stored before anything else is
done about it, and goes on whether whoever asked for it looks on or not.

What happens in a run goes into the channel of its agent. A run that a stop of the server left waiting, or cut, is taken
up when it starts again. Knows nothing of who asks, or of how events are sent.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from memagent import events
from memagent.agent import Agent
from memagent.errors import AgentBusy, MemagentError, UserError
from memagent.events import Happening
from memagent.roster import Entry
from memagent.server.channel import Channel
from memagent.server.ledger import RunLedger, Stored
from memagent.server.residents import Residents

log = logging.getLogger(__name__)

MOST_AT_ONCE = 600
"""So many turns run at once; most of them wait for a model."""
MOST_WAITING = 32
"""So many runs of one agent may wait for each other; who comes then is told that it is busy."""
PATIENCE = 0.5
"""Seconds that a run which is cancelled is given to hear of it; then the agent is taken from it."""
CANCELLED = "This was cancelled."
UNFORESEEN = "Something went wrong that was not foreseen; the server's log tells what."


@dataclass(eq=False)
class Run:
    """A turn that somebody asked `of` an agent. What happens in it stands in the channel after `first`."""

    id: str
    owner: str
    of: str
    work: str
    told: Mapping[str, Any]
    first: int = 0
    agent: Agent | None = None
    cancelled: bool = False
    over: threading.Event = field(default_factory=threading.Event)


@dataclass(eq=False)
class Line:
    """The runs of one agent that are not over; the first one is running once a thread is there to drain the line."""

    channel: Channel
    drained: bool = False
    runs: deque[Run] = field(default_factory=deque)


class Runs:
    """All runs of a server. What writes or waits is called in a thread."""

    def __init__(self, residents: Residents, ledger: RunLedger, loop: asyncio.AbstractEventLoop) -> None:
        self.residents = residents
        self.ledger = ledger
        self.stopping = False
        self._loop = loop
        self._lines: dict[str, Line] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, "turn")

    # Asking -----------------------------------------------------------------------------------------------------------

    def channel(self, agent: str) -> Channel:
        """What happens with an agent, to follow."""
        return self._line(agent).channel

    def running(self) -> list[Run]:
        """All runs that are not over."""
        with self._lock:
            return [run for line in self._lines.values() for run in line.runs]

    def busy(self, agent: str) -> bool:
        """Whether a run of an agent is not over."""
        return bool(self._line(agent).runs)

    def start(
        self, entry: Entry, work: str, told: Mapping[str, Any], *, key: str = "", otid: str | None = None,
        waits: bool = True,
    ) -> Run:  # fmt: skip
        """Ask for a turn; returns when that is stored. It waits for others of the same agent, if it `waits` at all. The
        same `otid` again is the same run.
        """
        ahead = len(self._line(entry.id).runs)
        if self.stopping:
            raise AgentBusy("The server is about to stop.", hint="Try again in a moment.")
        if ahead > MOST_WAITING or (ahead and not waits):
            raise AgentBusy(f"The agent {entry.name!r} is busy.", hint="Try again when it rests.")
        stored, new = self.ledger.add(entry, key, work, told, otid)
        return self._queue(stored) if new else self.found(stored)

    def take_up(self) -> int:
        """Go on with what a server that is gone has left; returns how many runs that are."""
        left = self.ledger.take_over()
        for stored in left:
            self._queue(stored)
        return len(left)

    def cancel(self, run: Run) -> None:
        """End a run now, whatever it waits for."""
        run.cancelled = True
        with self._lock:
            line = self._line(run.of)
            waiting = run in line.runs and line.runs[0] is not run
            if waiting:
                line.runs.remove(run)
        if waiting:
            self._end_alone(run, "interrupted", CANCELLED)
        elif not run.over.wait(PATIENCE):
            self._take_from(run)

    def stop(self, seconds: float) -> int:
        """Let no more turns begin; those that run are given some seconds, and are cut then. Returns how many were."""
        self.stopping = True
        end = time.monotonic() + seconds
        with self._lock:
            current = [line.runs[0] for line in self._lines.values() if line.runs]
        late = [run for run in current if not run.over.wait(max(0.0, end - time.monotonic()))]
        for run in late:
            self.cancel(run)
        self._pool.shutdown(wait=False, cancel_futures=True)
        return len(late)

    def found(self, stored: Stored) -> Run:
        """A run that was asked for before, to be followed."""
        with self._lock:
            for run in self._line(stored.agent).runs:
                if run.id == stored.id:
                    return run
        run = Run(stored.id, stored.owner, stored.agent, stored.work, stored.told)
        run.over.set()
        return run

    def _line(self, agent: str) -> Line:
        return self._lines.get(agent) or self._lines.setdefault(agent, Line(Channel(agent, self._loop)))

    def _queue(self, stored: Stored) -> Run:
        work = "resume" if stored.state == "running" else stored.work
        run = Run(stored.id, stored.owner, stored.agent, work, stored.told)
        with self._lock:
            line = self._line(stored.agent)
            run.first = line.channel.last
            line.runs.append(run)
            self._see_to(line)
        return run

    def _see_to(self, line: Line) -> None:
        """Have a thread drain a line, if none does."""
        if line.runs and not line.drained and not self.stopping:
            line.drained = True
            self._pool.submit(self._drain, line)

    # In a thread ------------------------------------------------------------------------------------------------------

    def _drain(self, line: Line) -> None:
        """Play the runs of an agent, one after the other, until none is left."""
        while True:
            with self._lock:
                line.drained = bool(line.runs) and not self.stopping
                if not line.drained:
                    return
                run = line.runs[0]
            self._play(run, line)
            if not self._leave(run, line):
                return  # the agent was taken from this thread, and another one goes on

    def _leave(self, run: Run, line: Line) -> bool:
        """A run is over. False if somebody else has seen to that."""
        with self._lock:
            ours = bool(line.runs) and line.runs[0] is run
            if ours:
                line.runs.popleft()
        run.over.set()
        return ours

    def _play(self, run: Run, line: Line) -> None:
        publish = line.channel.publish
        try:
            entry = self.residents.roster(run.owner).by_id(run.of)
            agent = run.agent = self.residents.agent(entry, self.busy)
            agent.state.run = run.id
            with closing(_happening(agent, run)) as happening:
                for event in happening:
                    if run.over.is_set():
                        return
                    if run.cancelled:
                        break
                    publish(run.id, event)
            if run.cancelled:
                self._tell_end(run, line, CANCELLED)
            elif len(line.runs) == 1:  # nobody waits
                agent.behind.start()
        except MemagentError as error:
            self._fail(run, line, error)
        except Exception as error:  # the outermost door of a thread: logged whole, and told in a line
            log.exception("a run failed")
            self._fail(run, line, MemagentError(UNFORESEEN), type(error).__name__)

    def _fail(self, run: Run, line: Line, error: MemagentError, kind: str = "") -> None:
        """A run that could not become a turn."""
        if run.over.is_set():
            return
        line.channel.publish(run.id, events.Failed(error.message, error.hint, kind or type(error).__name__))
        line.channel.publish(run.id, events.TurnEnded("failed", 0))
        self._store_end(run, "failed", str(error))

    def _tell_end(self, run: Run, line: Line, why: str) -> None:
        line.channel.publish(run.id, events.Failed(why, "", "Cancelled"))
        line.channel.publish(run.id, events.TurnEnded("interrupted", 0))

    def _end_alone(self, run: Run, state: str, why: str) -> None:
        """A run ends that has never begun."""
        self._tell_end(run, self._line(run.of), why)
        self._store_end(run, state, why)
        run.over.set()

    def _store_end(self, run: Run, state: str, why: str) -> None:
        try:
            self.ledger.end(run.id, state, why)
        except MemagentError:
            log.warning("the end of %s could not be stored", run.id)

    def _take_from(self, run: Run) -> None:
        """Take an agent from a run whose thread waits for something that does not come: it can store nothing any more,
        and the next run goes on with a fresh one.
        """
        line = self._line(run.of)
        if not self._leave(run, line):
            return
        self.residents.forget(run.of)
        try:
            if run.agent is not None:
                run.agent.state.let_go()
                state = self.residents.agent(run.agent.state.entry).state
                state.run = run.id
                if state.unfinished() == "running" and not state.take_up():
                    state.end("interrupted")
        finally:
            self._tell_end(run, line, CANCELLED)
            with self._lock:
                line.drained = False
                self._see_to(line)


def _happening(agent: Agent, run: Run) -> Happening[None]:
    """The turn that a run asks for."""
    told = run.told
    if run.work == "greet":
        return agent.greet()
    if run.work == "resume":
        return agent.resume()
    if run.work == "summarize":
        return agent.summarize()
    if run.work == "decide":
        return agent.decide(told["call_id"], told["digest"], told["approve"])
    if run.work != "say":
        raise UserError(f"There is no work {run.work!r}.")
    return agent.turn(told["text"], arriving=bool(told.get("arriving")))
