"""An agent of memagent as one of several in a chat: it is told who said what, and its turn is handed on as events.

A call that needs a person's word is decided by whoever brought the agent here; without them it is denied, and that is
told. Knows nothing of AutoGen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from threading import Condition
from typing import Any

from memagent.agent import Agent
from memagent.assemble import local_time, open_embedder
from memagent.bridges.autogen.joined import Denied, Heard
from memagent.config import Settings
from memagent.errors import UserError
from memagent.events import ApprovalAsked, Event, TurnStarted
from memagent.library import check_name
from memagent.loading import Tally
from memagent.loading.load import Load, Order
from memagent.loading.opening import reader_of, stamps, without_secrets
from memagent.memory.sources import Sources
from memagent.messages import Message, alert, heartbeat, told_by, user_message
from memagent.sources.chunk import TOKENS
from memagent.storage import Database

Policy = Callable[[ApprovalAsked], bool]
AsyncPolicy = Callable[[ApprovalAsked], Awaitable[bool]]

PATIENCE = 5.0
"""Seconds that letting an agent go may wait for the end of a turn."""
YOUR_TURN = "Nobody has said anything new, and it is your turn to speak."
ANEW = "Another conversation begins. What was said before is over; you remember it."


def deny(_: ApprovalAsked) -> bool:
    """Nobody is there to say yes."""
    return False


class Participant:
    """One agent in a chat, known there as `name`. What the one called `user` says is said by its own user."""

    def __init__(
        self, name: str, agent: Agent, user: str, settings: Settings, database: Database, *, owns_database: bool
    ) -> None:
        self.name = name
        self.agent = agent
        self._user = user
        self._settings = settings
        self._database = database
        self._owns_database = owns_database
        self._anew = False
        self._turns = 0
        self._resting = Condition()

    # Turns ------------------------------------------------------------------------------------------------------------

    def turn(self, heard: Sequence[Heard], approve: Policy) -> Generator[Event]:
        """One turn, to its end; it is told what others said since the last one."""
        with self._at_work():
            yield from self._turn(heard, approve)

    def _turn(self, heard: Sequence[Heard], approve: Policy) -> Generator[Event]:
        events = self.agent.turn(self._messages(heard))
        while True:
            asked: ApprovalAsked | None = None
            with closing(events):
                for event in events:
                    asked = event if isinstance(event, ApprovalAsked) else asked
                    self._anew &= not isinstance(event, TurnStarted)
                    yield event
            if asked is None:
                break
            approved = approve(asked)
            if not approved:
                yield Denied(f"{asked.name} would need a person's word, and is not done.")
            events = self.agent.decide(asked.call_id, asked.digest, approved)
        self.agent.behind.start()

    def _messages(self, heard: Sequence[Heard]) -> list[Message]:
        now = self.agent.state.clock()
        place = self.agent.location
        told = [
            user_message(said, now, place) if who == self._user else told_by(who, said, now)
            for who, said in heard
            if said.strip()
        ]
        begin = [alert(ANEW, now)] if self._anew else []
        return [*begin, *(told or [heartbeat(YOUR_TURN, now)])]

    def begin_anew(self) -> None:
        """Tell it, the next time, that another conversation begins. What it remembers stays."""
        self._anew = True

    def hang_up(self) -> None:
        """Break off what its model is asked now, where that can be done."""
        hang_up: Any = getattr(self.agent.llm, "hang_up", None)
        if hang_up is not None:
            hang_up()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._resting:
            self._turns += 1
        try:
            yield
        finally:
            with self._resting:
                self._turns -= 1
                self._resting.notify_all()

    def close(self) -> None:
        """Let the agent go; it is kept. A turn that was cancelled a moment ago is waited for, until it is stored."""
        with self._resting:
            self._resting.wait_for(lambda: not self._turns, PATIENCE)
        self.agent.close()
        if self._owns_database:
            self._database.close()

    # State ------------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Which agent this is, and how far it has come. All that it is and remembers is in memagent's own store."""
        entry = self.agent.state.entry
        last = self._database.rows("SELECT max(seq) FROM messages WHERE agent = ?", entry.id)[0][0]
        return {"type": "MemagentState", "agent": entry.id, "name": entry.name, "messages": last or 0}

    def check_state(self, state: Mapping[str, Any]) -> None:
        """Refuse the state of another agent. Its memory is not put back: it never forgets by being loaded."""
        entry = self.agent.state.entry
        if state.get("agent") != entry.id:
            raise UserError(
                f"This is the state of another agent than {entry.name!r}.",
                hint="To bring an agent here with its memory: memagent export, and memagent import.",
            )

    # Sources ----------------------------------------------------------------------------------------------------------

    def load(self, name: str, kind: str, tokens: int, remove: bool | None, options: dict[str, Any]) -> Tally:
        """Load what a reader of that kind gives into the source `name`."""
        sources, owner = Sources(self._database, self._settings.user), self._settings.user
        if kind == "conversation":
            raise UserError("A conversation is no source.", hint="Load it with: memagent load conversation")
        order = Order(
            check_name(name, "name of a source"), without_secrets(options), tokens, remove,
            bool(options.get("texts_only")),
        )  # fmt: skip
        there = next((entry for entry in sources.all() if entry.name == order.name), None)
        known = stamps(sources.documents(there.id), order.manner) if there else {}
        hosts = self._settings.allowed_hosts
        tally = Tally()
        with closing(reader_of(kind, options, known=known, allowed_hosts=hosts)) as reader:
            embedder = open_embedder(self._settings)
            load = Load(self._database, owner, reader, order, embedder=embedder, clock=local_time)
            for event in load.run():
                tally.take(event)
        if tally.in_vain:
            why, place = next(iter(tally.examples.items()))
            raise UserError(f"Nothing of it could be read, such as {place}: {why}")
        return tally

    def attach(self, names: Sequence[str]) -> None:
        """Let the agent search these sources, all of them or none."""
        Sources(self._database, self._settings.user).give(self.agent.state.entry.id, names, local_time())

    def detach(self, names: Sequence[str]) -> None:
        """Take these sources away from the agent; they are kept."""
        Sources(self._database, self._settings.user).take(self.agent.state.entry.id, names)


class ReadsSources:
    """What the agents of both kinds can be given to read."""

    participant: Participant

    def load(self, name: str, kind: str, *, tokens: int = TOKENS, remove: bool | None = None, **options: Any) -> Tally:
        """Load a source: `load("papers", "directory", path="~/papers")`. Again, and only what is new is loaded.

        Kinds and their options are those of `memagent load`, as the readers in memagent/sources name them.
        """
        return self.participant.load(name, kind, tokens, remove, options)

    def attach(self, *names: str) -> None:
        """Let the agent search sources that were loaded."""
        self.participant.attach(names)

    def detach(self, *names: str) -> None:
        """Take sources away from the agent. They are kept."""
        self.participant.detach(names)

    def load_and_attach(
        self, name: str, kind: str, *, tokens: int = TOKENS, remove: bool | None = None, **options: Any
    ) -> Tally:
        """Load a source, and let the agent search it."""
        tally = self.participant.load(name, kind, tokens, remove, options)
        self.participant.attach([name])
        return tally
