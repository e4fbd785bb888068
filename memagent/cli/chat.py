"""A chat in the terminal: reads a line, lets the agent take a turn, shows what happens, until the user leaves.

Errors in a turn are told and the chat goes on. Knows nothing of how an agent is made.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from memagent.agent import Agent
from memagent.cli.keyboard import hushed
from memagent.cli.opened import working
from memagent.context import parts
from memagent.errors import MemagentError
from memagent.events import ApprovalAsked, Happening, Reply
from memagent.messages import Message, heartbeat

if TYPE_CHECKING:
    from memagent.cli.console import Console
    from memagent.cli.printer import Printer
    from memagent.meanwhile import Meanwhile
    from memagent.memory.core import Edit

log = logging.getLogger(__name__)

SAVING = "Writing the journal; Ctrl-C leaves at once, and nothing is lost"
AWAY = timedelta(hours=12)
"""Who comes back after so long is greeted."""


@dataclass
class Chat:
    """One chat with one agent at a time. `reopen` loads an agent, with another model if one is named;
    `command` carries out a line that begins with a slash, and a word of `leave` ends the chat. An agent that `greets`
    speaks first when its user was away for long.
    """

    agent: Agent
    printer: Printer
    console: Console
    reopen: Callable[[str, str], Agent]
    command: Callable[[Chat, str], None]
    leave: Collection[str] = ()
    heartbeat_minutes: float = 0.0
    approve_all: bool = False
    debug: bool = False
    meanwhile: Meanwhile | None = None
    leaving: bool = False
    arriving: bool = True
    greets: bool = False

    def run(self) -> None:
        """Talk until the user leaves."""
        self._take_up()
        self._arrive()
        self._warm_up()
        self.agent.behind.start()  # what a process that ended early has left
        while not self.leaving:
            try:
                line = self._read()
            except EOFError:
                break
            except KeyboardInterrupt:
                continue
            self._guarded(partial(self._take, line))

    def _arrive(self) -> None:
        """What was said before, and is in no journal yet, was another conversation. After long, the agent begins the
        new one: it greets with what it wakes with.
        """
        if self.meanwhile:
            self._guarded(partial(self.meanwhile.arrive, self.agent))
        if self.greets and self._was_away() and self.agent.wakes_with():
            self.greet()

    def _was_away(self) -> bool:
        """Whether nothing was said for long, and nothing is left to be gone on with."""
        state = self.agent.state
        said = [message.created for message in state.window if message.said]
        return bool(said) and state.clock() - max(said) >= AWAY and not state.unfinished()

    def _read(self) -> str | None:
        """The next message; meanwhile, what nobody waits for is done."""
        wake_after = self.heartbeat_minutes * 60 or None
        if self.meanwhile is None:
            return self.console.read(wake_after=wake_after)
        with self.meanwhile.beside(self.agent):
            return self.console.read(wake_after=wake_after)

    def part(self) -> None:
        """The conversation is over: it goes into the journal."""
        if self.meanwhile:
            self._guarded(partial(self.meanwhile.leave, self.agent, self.tell, partial(working, SAVING)))

    def _take(self, line: str | None) -> None:
        """What the user typed; `None` when they were silent for so long that the agent may speak up."""
        if line is None:
            state = self.agent.state
            if not state.quiet() and state.unfinished() != "waiting":  # a turn would be a no to what is asked elsewhere
                self.turn(self.agent.turn(heartbeat("The user has been silent for a while.", state.clock())))
        elif line.strip().lower() in self.leave:
            self.leaving = True
        elif line.startswith("/"):
            self.command(self, line.strip())
        elif line.strip():
            arriving, self.arriving = self.arriving, False
            self.turn(self.agent.turn(line, arriving=arriving))

    def turn(self, events: Happening[None]) -> None:
        """Show a turn; ask for the approvals that it needs; Ctrl-C ends the turn and not the chat."""
        while True:
            try:
                with hushed():
                    shown = self.printer.show(events)
            except KeyboardInterrupt:
                self.tell("Stopped. Finished steps are kept, an unfinished reply is not; /retry asks again.")
                return
            finally:
                events.close()
                self.agent.behind.start()
            if not shown.pending:
                return
            asked = shown.pending[-1]
            events = self.agent.decide(asked.call_id, asked.digest, self._approves(asked))

    def _approves(self, asked: ApprovalAsked) -> bool:
        self.printer.show_approval(asked)
        if self.approve_all:
            return True
        return self.console.confirm(f"Let {self.agent.state.entry.name} do this?")

    def _take_up(self) -> None:
        """Go on with a turn that was cut when the last process ended."""
        unfinished = self.agent.state.unfinished()
        if unfinished == "running":
            self.tell("The last turn was cut off; going on with it.")
        elif unfinished:
            self.tell("The last turn waits for your word.")
        if unfinished:
            self._guarded(lambda: self.turn(self.agent.resume()))

    def greet(self) -> None:
        """Let the agent speak first."""
        self.arriving = False
        self._guarded(lambda: self.turn(self.agent.greet()))

    def retell(self) -> None:
        """Show what an agent that nobody has answered yet has said already: a character from a card has."""
        window = self.agent.state.window
        said = [message.said for message in window if message.said]
        if said and all(message.turn == 0 for message in window):
            self.printer.show(map(Reply, said))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except MemagentError as error:
            if self.debug:
                raise
            self.printer.show_error(error)
        except KeyboardInterrupt:
            self.tell("Stopped.")

    def _warm_up(self) -> None:
        """Load what the model needs while the user types."""
        warm_up = getattr(self.agent.llm, "warm_up", None)
        if warm_up:
            threading.Thread(target=_quietly, args=(warm_up,), daemon=True).start()

    def switch(self, name: str, model: str = "") -> None:
        """Go on with another agent, or the same one with another model."""
        before, self.agent = self.agent, self.reopen(name, model)
        before.close()
        self.arriving = name != self.agent.state.entry.name or not model
        self.tell(f"You are talking to {self.agent.state.entry.name} ({self.agent.llm.model}).")
        self._warm_up()
        if not model:
            self._take_up()
            self._arrive()
        self.agent.behind.start()

    def use_model(self, model: str) -> None:
        """The same agent with another model, from now on."""
        self.switch(self.agent.state.entry.name, model)

    def tell(self, text: str) -> None:
        """Say something that is not the agent's."""
        self.printer.tell(text)

    def tell_edits(self, edits: Sequence[Edit]) -> None:
        """Tell what was changed in core memory."""
        for edit in edits:
            self.tell(f"{edit.label} is now at version {edit.version}:\n{edit.diff()}")
        if not edits:
            self.tell("There is nothing left to take back.")

    def tell_messages(self, messages: Sequence[Message]) -> None:
        """Tell messages as a person reads them."""
        from rich.text import Text

        from memagent.cli.dump import lines
        from memagent.log import harmless

        for line in lines(messages, self.agent.state.entry.name):
            self.printer.console.print(Text(harmless(line.text), "dim" if line.aside else ""))

    def show_context(self) -> None:
        """Show what fills the context window."""
        agent = self.agent
        counts = parts(
            agent.system, agent.core_in_view(), agent.compiled()[1:], agent.schemas, agent.gauge, agent.wakes_with()
        )
        self.printer.show_context(counts, agent.limits.window)


def _quietly(work: Callable[[], None]) -> None:
    try:
        work()
    except MemagentError:
        log.debug("warming up failed; the first turn will tell why")
