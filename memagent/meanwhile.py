"""What is done for an agent while nobody waits for it, and as the user leaves: the journal is written, memory tidied.

It stops as soon as somebody talks, and what it has not come to is done the next time; nothing is lost by that. Knows
nothing of how an entry comes to be, or of who talks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from memagent.errors import MemagentError
from memagent.facts.behind import CalledAway, Leaving

if TYPE_CHECKING:
    from memagent.agent import Agent
    from memagent.journal import JournalWriter
    from memagent.llm import LLM
    from memagent.settings import Settings

log = logging.getLogger(__name__)

Halt = threading.Event
Work = Callable[[Halt], Generator[object]]
"""Something to do, in small steps: it is asked to stop between two of them."""

QUIET = 20.0
"""Seconds without a word until what was left undone is taken up: a model that is asked aside answers nobody else."""
A_LITTLE = 0.2
"""Seconds more, so that by the clock of the messages it has been silent for long enough."""
LONGEST_GOODBYE = 20.0
"""Seconds that somebody who leaves may have to wait for the journal."""
LEFT = "The conversation is in the journal; its entry will be worded the next time."


class Worker:
    """One piece of work in a thread of its own. What `llm` is asked then, it can leave at once."""

    def __init__(self, work: Work, llm: Leaving) -> None:
        self._work = work
        self._llm = llm
        self._halt = Halt()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self, patience: float = 0.2) -> None:
        """Let it stop; what goes on then is waited for no longer than a moment."""
        if not self._thread.is_alive():
            return
        self._halt.set()
        self._llm.leave()
        self._thread.join(patience)

    @property
    def busy(self) -> bool:
        """Whether it is not done yet."""
        return self._thread.is_alive()

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        steps = self._work(self._halt)
        try:
            for _ in steps:
                if self._halt.is_set():
                    break
        except CalledAway:
            pass
        except MemagentError as error:
            log.warning("what is done meanwhile failed: %s", error)
        except Exception:  # the outermost door of a thread: logged whole, and it keeps nobody from talking
            log.exception("what is done meanwhile failed")
        finally:
            steps.close()


class Meanwhile:
    """What is done beside the chat with an agent."""

    def __init__(self, settings: Settings, *, quiet: float = QUIET, goodbye: float = LONGEST_GOODBYE) -> None:
        self._settings = settings
        self._quiet = quiet
        self._goodbye = goodbye

    def arrive(self, agent: Agent, *, over: bool = True) -> None:
        """What was said before, and is in no entry, was a conversation that was left, or whose process was killed; if
        that is not certain (`over`), long silence tells.
        """
        if self._settings.journal:
            self._writer(agent, agent.llm).close(over=over)

    @contextmanager
    def beside(self, agent: Agent) -> Iterator[None]:
        """While the block lasts, and the user is silent, do what is to be done."""
        llm = Leaving(lambda: agent.llm)
        worker = Worker(lambda halt: self._chores(agent, llm, halt), llm)
        try:
            yield
        finally:
            worker.stop()

    def leave(
        self, agent: Agent, tell: Callable[[str], None],
        saving: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:  # fmt: skip
        """The conversation is over. Its entry is written while the user looks on (and `saving` is shown), unless that
        takes too long.
        """
        if not self._settings.journal:
            return
        llm = Leaving(lambda: agent.llm)
        writer = self._writer(agent, llm.opened())
        writer.close(over=True)
        if not writer.waiting():
            return
        agent.behind.leave()
        worker = Worker(lambda _: _written(writer), llm)
        try:
            with saving():
                done = worker.wait(self._goodbye)
        except KeyboardInterrupt:
            done = False
        worker.stop()
        if not done or writer.waiting():
            tell(LEFT)

    def _writer(self, agent: Agent, llm: LLM) -> JournalWriter:
        from memagent.upkeep import open_journal

        return open_journal(self._settings, agent.state, llm)

    def soon(self, agent: Agent, llm: LLM) -> Generator[object]:
        """What earlier conversations left undone."""
        if self._settings.journal:
            yield from _written(self._writer(agent, llm))

    def later(self, agent: Agent, llm: LLM) -> Generator[object]:
        """What is to be done when a conversation is over, after long silence."""
        if self._settings.journal and (writer := self._writer(agent, llm)).close():
            yield from _written(writer)
        if self._settings.tidy:
            yield from self._tidied(agent, llm)

    @property
    def quiet(self) -> float:
        """Seconds of silence until `soon`."""
        return min(self._quiet, self._settings.idle_minutes * 60)

    @property
    def idle(self) -> float:
        """Seconds of silence until `later`."""
        return self._settings.idle_minutes * 60 + A_LITTLE

    def _chores(self, agent: Agent, llm: Leaving, halt: Halt) -> Generator[object]:
        if halt.wait(self.quiet):
            return
        while agent.behind.busy:  # one after the other
            if halt.wait(A_LITTLE):
                return
        yield from self.soon(agent, llm.opened())
        if halt.wait(self.idle - self.quiet):
            return
        yield from self.later(agent, llm.opened())

    def _tidied(self, agent: Agent, llm: LLM) -> Generator[object]:
        from memagent.upkeep import open_tidying

        for step in open_tidying(self._settings, agent.state, llm).tidy():
            if step:
                log.info("tidied %s: %s", step.kind, step.told)
            yield step


def _written(writer: JournalWriter) -> Generator[object]:
    for entry in writer.waiting():
        yield from writer.write(entry)
