"""Characters talk with each other: each speaks in its turn, and is told what the others said since it last spoke.

Each has its own turn in its own log, as with a person: what it thinks stays with it. A scene can end at any instant,
and nothing is lost. Knows nothing of who listens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from memagent.agent import Agent
from memagent.characters.scenes import SILENT, Line, Member, begin, cue, end, is_pass, renew, was_heard
from memagent.errors import UserError
from memagent.events import ApprovalAsked, Event, Failed, Notice, Reply
from memagent.lease import Holder
from memagent.messages import Message, storable
from memagent.roster import Entry
from memagent.storage import Database

log = logging.getLogger(__name__)

MOST_MEMBERS = 16
MOST_TURNS = 1000


@dataclass(frozen=True)
class Moment:
    """Something that happens in somebody's turn."""

    number: int
    who: str
    event: Event


@dataclass(frozen=True)
class Passed:
    """Somebody says nothing in its turn: because it passes, or because its turn failed."""

    number: int
    who: str
    failed: Failed | None = None


class Scene:
    """One scene. To go through it is to hear what is said, line by line; `play` tells all that happens."""

    def __init__(
        self, database: Database, owner: str, members: Sequence[tuple[Entry, Agent]], topic: str, turns: int, *,
        clock: Callable[[], datetime], approve: bool = False,
    ) -> None:  # fmt: skip
        names = [entry.name for entry, _ in members]
        if not 2 <= len(names) <= MOST_MEMBERS or len(set(names)) < len(names):
            raise UserError(f"A scene has 2 to {MOST_MEMBERS} characters, each once.", hint="Name each of them.")
        if not topic.strip():
            raise UserError("The scene has no topic.", hint="Say what it is about, or where it begins.")
        if not 1 <= turns <= MOST_TURNS:
            raise UserError(f"A scene has 1 to {MOST_TURNS:,} turns, not {turns}.")
        self.topic = storable(topic.strip())
        self.names = names
        self.lines: list[Line] = []
        """What was said so far."""
        self._database = database
        self._owner = owner
        self._agents = [agent for _, agent in members]
        self._entries = [entry for entry, _ in members]
        self._turns = turns
        self._clock = clock
        self._approve = approve

    def __iter__(self) -> Iterator[Line]:
        with closing(self.play()) as happening:
            for each in happening:
                if isinstance(each, Line):
                    yield each

    def play(self) -> Generator[Moment | Line | Passed]:
        """All that happens, to the end of the scene; however it ends, what was said is kept."""
        holder = Holder.new()
        agents = [(entry.id, entry.name) for entry in self._entries]
        number, members = begin(self._database, self._owner, self.topic, agents, holder, self._clock())
        try:
            yield from self._play(number, members, holder)
        finally:
            holder.let_go()
            end(self._database, number, self._clock())

    def _play(self, scene: int, members: Sequence[Member], holder: Holder) -> Iterator[Moment | Line | Passed]:
        told = [0] * len(members)  # up to which turn each has heard the others
        silent = 0
        for number in range(1, self._turns + 1):
            who = (number - 1) % len(members)
            renew(self._database, scene, holder)
            words = self._words(who, told[who])
            message = cue(scene, number, self.topic, words, self._clock())
            replies: list[str] = []
            failed: Failed | None = None
            for event in self._turn(self._agents[who], message):
                if isinstance(event, Reply):
                    replies.append(event.text)
                elif isinstance(event, Failed):
                    failed = event
                yield Moment(number, members[who].name, event)
            if was_heard(self._database.rows, scene, number, members[who]):
                told[who] = number
            text = "\n\n".join(replies)
            if is_pass(text):
                yield Passed(number, members[who].name, failed)
            else:
                line = Line(number, members[who].name, text)
                self.lines.append(line)
                yield line
            silent = silent + 1 if is_pass(text) else 0
            if silent == len(members):
                return

    def _turn(self, agent: Agent, message: Message) -> Iterator[Event]:
        """One turn; what would have to wait for a person is not done, unless it was allowed before."""
        events = agent.turn(message)
        while True:
            asked: ApprovalAsked | None = None
            try:
                for event in events:
                    asked = event if isinstance(event, ApprovalAsked) else asked
                    yield event
            finally:
                events.close()
            if asked is None:
                return
            if not self._approve:
                yield Notice(f"{asked.name} would need a person's word, and is not done.")
            events = agent.decide(asked.call_id, asked.digest, self._approve)

    def _words(self, who: int, told: int) -> str:
        """What somebody is told before its turn, who has heard the others up to that turn already."""
        others = [name for name in self.names if name != self.names[who]]
        heard = [_as_heard(line) for line in self.lines if line.number > told and line.who != self.names[who]]
        listed = " and ".join(filter(None, [", ".join(others[:-1]), others[-1]]))
        opening = (
            f"You are in a scene with {listed}, and what you say is heard by all. It is about this: {self.topic}\n"
            f"Speak as yourself, in a few sentences. If you have nothing to say now, answer only: {SILENT}"
        )
        if not heard:
            heard = ["You speak first." if not self.lines else "Nobody has said anything since."]
        return "\n\n".join([opening, *heard] if not told else heard)


def _as_heard(line: Line) -> str:
    """A line as others are told it: what is below its first line is moved in, so that it can't pass for another's."""
    return f"{line.who}: " + line.text.strip().replace("\n", "\n  ")
