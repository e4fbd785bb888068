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
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar

from memagent.agent import Agent
from memagent.errors import AgentBusy, MemagentError, NotFound
from memagent.events import Ending, Event, Failed, Happening, TurnEnded
from memagent.roster import Entry
from memagent.server.channel import Channel
from memagent.server.idle import Idle
from memagent.server.ledger import UNENDED, RunLedger, Stored
from memagent.server.problems import UNFORESEEN, Refused
from memagent.server.residents import Residents
from memagent.server.threads import Threads
from memagent.server.works import asked_for

log = logging.getLogger(__name__)
T = TypeVar("T")

MOST_AT_ONCE = 600
"""So many turns run at once; most of them wait for a model."""
MOST_WAITING = 32
"""So many runs of one agent may wait for each other; who comes then is told that it is busy."""
PATIENCE = 0.5
"""Seconds that a run which is cancelled is given to hear of it; then the agent is taken from it."""
MOST_LINES = 2000
"""Lines of so many agents are kept that nothing happens with, so that who comes back finds what it missed."""
CANCELLED = "This was cancelled."
STOPPED = "The server was stopped; this goes on when it is there again."


@dataclass(eq=False)
class Run:
    """A turn that somebody asked `of` an agent. What happens in it stands in the channel after `first`, unless another
    server sees to it, `elsewhere`.
    """

    id: str
    owner: str
    of: str
    work: str
    told: Mapping[str, Any]
    first: int = 0
    agent: Agent | None = None
    cancelled: bool = False
    ending: bool = False
    taken: bool = False
    elsewhere: bool = False
    over: threading.Event = field(default_factory=threading.Event)
    context: Context = field(default_factory=copy_context)
    """What held where it was asked for, such as the trace that it belongs to."""


@dataclass(eq=False)
class Line:
    """The runs of one agent that are not over; the first one is running once a thread is there to drain the line.
    `coming` are being stored.
    """

    channel: Channel
    drained: bool = False
    coming: int = 0
    runs: deque[Run] = field(default_factory=deque)
    asking: threading.Lock = field(default_factory=threading.Lock)

    def needed(self) -> bool:
        """Whether something happens there, or somebody looks."""
        return bool(self.runs or self.coming or self.channel.lookers)


class Runs:
    """All runs of a server. What writes or waits is called in a thread."""

    def __init__(self, residents: Residents, ledger: RunLedger, loop: asyncio.AbstractEventLoop) -> None:
        self.residents = residents
        self.ledger = ledger
        self.idle = Idle(residents, self.take_up)
        self.stopping = False
        self.allow: Callable[[Entry], None] = lambda _: None
        """Raises what is to be told when a turn may not be asked for."""
        self.heard: Callable[[Event], None] = lambda _: None
        """Told of all that happens, by whichever thread it happens in."""
        self.loop = loop
        self._lines: dict[str, Line] = {}
        self._lock = threading.Lock()
        self._threads = Threads(MOST_AT_ONCE, "turn")
        self._own = threading.local()
        """`lines`: those that a thread is going to drain itself."""

    # Asking -----------------------------------------------------------------------------------------------------------

    def channel(self, agent: str) -> Channel:
        """What happens with an agent, to follow."""
        with self._lock:
            return self._line(agent).channel

    def tell(self, agent: str, event: Event) -> None:
        """Something happened with an agent outside of all runs."""
        self.channel(agent).publish("", event)
        if not self.busy(agent):
            self.channel(agent).rest()

    def running(self) -> list[Run]:
        """All runs that are not over."""
        with self._lock:
            return [run for line in self._lines.values() for run in line.runs]

    def busy(self, agent: str) -> bool:
        """Whether a run of an agent is not over."""
        line = self._lines.get(agent)
        return line is not None and bool(line.runs or line.coming)

    def find(self, owner: str, run: str) -> Run:
        """A run that one of the owner's agents was asked for, over or not."""
        if (stored := self.ledger.find(run)) is None or stored.owner != owner:
            raise NotFound(f"There is no run {run[:80]!r}.")
        return self.found(stored)

    def start(
        self, entry: Entry, work: str, told: Mapping[str, Any], *, key: str = "", otid: str | None = None,
        waits: bool = True, whole: bool = False, allowed: bool = False,
    ) -> Run:  # fmt: skip
        """Ask for a turn; returns when that is stored. It waits for others of the same agent, if it `waits` at all. The
        same `otid` again is the same run. Who hears of it only when it is over, and is told it `whole` then, need not
        wait for the disk: the turn itself does. `allowed` if that was looked at already.
        """
        if self.stopping:
            raise Refused(503, "The server is about to stop. Try again in a moment.", {"retry-after": "5"})
        if otid and (stored := self.ledger.asked(entry.id, otid)):
            return self.found(stored)
        if not allowed:
            self.allow(entry)
        with self._lock:
            line = self._line(entry.id)
            ahead = len(line.runs) + line.coming
            if ahead > MOST_WAITING or (ahead and not waits):
                raise AgentBusy(f"The agent {entry.name!r} is busy.", hint="Try again when it rests.")
            line.coming += 1
        try:
            with line.asking:  # in memory they stand in the order in which they are stored
                stored, new = self.ledger.add(entry, key, work, told, otid, hasty=whole)
                return self._queue(stored) if new else self.found(stored)
        finally:
            with self._lock:
                line.coming -= 1

    async def asked(self, ask: Callable[[], T]) -> T:
        """What `ask` returns, which starts a run or waits for the database. It is called in a thread that then plays
        that run itself: so none has to wake another.
        """
        if self._threads.all_busy():
            return await asyncio.to_thread(ask)
        told: Future[T] = Future()
        here = copy_context()

        def work() -> None:
            if not told.set_running_or_notify_cancel():
                return
            lines = self._own.lines = list[Line]()
            try:
                told.set_result(here.run(ask))
            except BaseException as error:  # noqa: BLE001  # whoever asks is told, whatever it is
                told.set_exception(error)
            self._own.lines = None
            for line in lines:
                self._drain(line)

        self._threads.give(work)
        return await asyncio.wrap_future(told)

    def take_up(self) -> int:
        """Go on with what a server that is gone has left; returns how many runs that are."""
        if self.stopping:
            return 0
        left = self.ledger.take_over()
        for stored in left:
            self._queue(stored)
        return len(left)

    def cancel(self, run: Run) -> None:
        """End a run now, whatever it waits for."""
        if run.elsewhere and not self.is_over(run):
            raise AgentBusy("Another server sees to this run.", hint="Cancel it there.")
        run.cancelled = True
        with self._lock:
            line = self._line(run.of)
            waiting = run in line.runs and line.runs[0] is not run
            if waiting:
                line.runs.remove(run)
        if waiting:
            self._tell_end(run, line, self._ended(run, "interrupted", Failed(CANCELLED, "", "Cancelled")))
        elif not run.over.wait(PATIENCE):
            self._take_from(run, line, CANCELLED)

    def stop(self, seconds: float, hurried: Callable[[], bool] = lambda: False) -> int:
        """Let no more turns begin; those that run are given some seconds, unless it is hurried, and are cut then: they
        go on when the server is there again. Returns how many were cut.
        """
        self.stopping = True
        end = time.monotonic() + seconds
        with self._lock:
            current = [(line.runs[0], line) for line in self._lines.values() if line.runs and line.drained]
        while any(not run.over.is_set() for run, _ in current) and time.monotonic() < end and not hurried():
            time.sleep(0.02)
        late = [(run, line) for run, line in current if not run.over.is_set()]
        for run, line in late:
            self._take_from(run, line, STOPPED)
        self._threads.close()
        with self._lock:
            channels = [line.channel for line in self._lines.values()]
        with suppress(RuntimeError):  # the loop has ended, and nobody looks any more
            for channel in channels:
                self.loop.call_soon_threadsafe(channel.close)
        self.ledger.let_go()
        self.idle.close()
        return len(late)

    def _line(self, agent: str) -> Line:
        """The line of an agent; who asks has the lock."""
        line = self._lines.pop(agent, None) or Line(Channel(agent, self.loop))
        self._lines[agent] = line  # the last one now
        if len(self._lines) > MOST_LINES:
            idle = (of for of, each in self._lines.items() if each is not line and not each.needed())
            if (oldest := next(idle, None)) is not None:
                del self._lines[oldest]
        return line

    def found(self, stored: Stored) -> Run:
        """A run that was asked for before, to be followed."""
        with self._lock:
            for run in self._line(stored.agent).runs:
                if run.id == stored.id:
                    return run
        run = Run(stored.id, stored.owner, stored.agent, stored.work, stored.told, elsewhere=stored.state in UNENDED)
        if not run.elsewhere:
            run.over.set()
        return run

    def is_over(self, run: Run) -> bool:
        """Whether a run has come to its end, by what is stored, if another server sees to it."""
        if run.elsewhere and ((stored := self.ledger.find(run.id)) is None or stored.state not in UNENDED):
            run.over.set()
        return run.over.is_set()

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
            if (mine := getattr(self._own, "lines", None)) is None:
                self._threads.give(lambda: self._drain(line))
            else:
                mine.append(line)

    # In a thread ------------------------------------------------------------------------------------------------------

    def _drain(self, line: Line) -> None:
        """Play the runs of an agent, one after the other, until none is left."""
        while True:
            with self._lock:
                line.drained = bool(line.runs) and not self.stopping
                if not line.drained:
                    break
                run = line.runs[0]
            if not run.context.run(self._play, run, line):
                return  # the agent was taken from this thread, and another one goes on
        line.channel.rest()

    def _play(self, run: Run, line: Line) -> bool:
        """Let a turn happen; False if somebody else ends it, and sees to the line."""
        end: Failed | TurnEnded
        told: Sequence[Event]
        agent, why = None, ""
        try:
            entry = self.residents.roster(run.owner).by_id(run.of)
            agent = run.agent = self.residents.agent(entry, self.busy)
            agent.state.run = self.ledger.of(run.id)
            self.idle.wakes(entry, agent)
            with closing(asked_for(agent, run.work, run.told)) as happening:
                end, why = self._heard_out(run, line, happening)
        except MemagentError as error:
            end = Failed(error.message, error.hint, type(error).__name__)
        except Exception as error:  # the outermost door of a thread: logged whole, and told in a line
            log.exception("a run failed")
            end = Failed(UNFORESEEN, "", type(error).__name__)
        if not self._claim(run, line):
            return False
        if isinstance(end, Failed):
            told = self._ended(run, "interrupted" if run.cancelled else "failed", end)
        else:
            told = [end]
            if why:
                self._store_end(run, end.ending, why)
        self._leave(run, line, told)
        if agent is not None and not line.runs:  # nobody waits
            self.idle.rests(agent.state.entry, agent)
        return True

    def _heard_out(self, run: Run, line: Line, happening: Happening[None]) -> tuple[Failed | TurnEnded, str]:
        """Tell what happens, but for the end, which is returned, with what went wrong before it."""
        why = ""
        for event in () if run.cancelled else happening:
            if isinstance(event, TurnEnded):
                return event, why
            if run.cancelled or run.taken:
                break
            if isinstance(event, Failed):
                why = f"{event.message} {event.hint}".strip()
            self._publish(run, line, event)
        return Failed(CANCELLED, "", "Cancelled"), ""

    def _publish(self, run: Run, line: Line, event: Event) -> None:
        line.channel.publish(run.id, event)
        self.heard(event)

    def _claim(self, run: Run, line: Line) -> bool:
        """A run comes to its end. False if somebody else sees to that already."""
        with self._lock:
            ours = bool(line.runs) and line.runs[0] is run and not run.ending
            run.ending = run.ending or ours
        return ours

    def _leave(self, run: Run, line: Line, told: Sequence[Event]) -> None:
        """The end of a run is stored: nobody who hears of it finds the agent busy with it."""
        with self._lock:
            line.runs.popleft()
        self._tell_end(run, line, told)

    def _tell_end(self, run: Run, line: Line, told: Sequence[Event]) -> None:
        for event in told:
            self._publish(run, line, event)
        run.over.set()

    def _ended(self, run: Run, ending: Ending, why: Failed) -> Sequence[Event]:
        """The end of a run that did not come to it by itself, stored; and how it is told."""
        self._store_end(run, ending, f"{why.message} {why.hint}".strip())
        return [why, TurnEnded(ending, 0)]

    def _store_end(self, run: Run, ending: Ending, why: str) -> None:
        try:
            self.ledger.end(run.id, ending, why, of=(*UNENDED, ending))
        except MemagentError:
            log.warning("the end of %s could not be stored", run.id)

    def _take_from(self, run: Run, line: Line, why: str) -> None:
        """Take an agent from a run whose thread waits for something that does not come: it can store nothing any more,
        and the next run goes on with a fresh one.
        """
        if not self._claim(run, line):
            return
        self.residents.forget(run.of)
        if run.agent is not None:
            run.agent.state.let_go()
        try:
            self._settle(run, why)
        except MemagentError as error:
            log.warning("%s could not be settled: %s", run.id, error)
        run.taken = True  # not before: its thread ends the turn when it hears of that, and may not do so any more
        self._leave(run, line, [Failed(why, "", "Cancelled"), TurnEnded("interrupted", 0)])
        with self._lock:
            line.drained = False
            self._see_to(line)

    def _settle(self, run: Run, why: str) -> None:
        """End the turn of a run that was taken from its thread; one that is only stopped stays as one that was cut."""
        stopped = why == STOPPED
        if not stopped and self.ledger.end(run.id, "interrupted", why, of=("queued",)):
            return  # it can't begin any more
        state = self.residents.state(self.residents.roster(run.owner).by_id(run.of))
        state.run = self.ledger.of(run.id)
        if state.unfinished() == "running" and not state.take_up() and not stopped:
            state.end("interrupted")
            self.ledger.end(run.id, "interrupted", why, of=("interrupted",))
        state.let_go()
