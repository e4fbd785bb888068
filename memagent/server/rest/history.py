"""What was said and done, from the log, as messages of the client's world, page by page.

Knows nothing of requests.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from memagent.memory.log import MessageLog
from memagent.messages import SPEAK, Message
from memagent.persistence import MOST_STEPS
from memagent.server.approvals import pending
from memagent.server.rest.ids import CALLS, Part, number_of, place_of
from memagent.server.rest.telling import Writer
from memagent.storage import Database

FIRST, LAST = 1, 2**62


@dataclass
class History:
    """The log of one agent. `speech`: `send_message` is told as what it says; `kinds`: only these, if any are named."""

    database: Database
    agent: str
    speech: bool = True
    kinds: Collection[str] | None = None
    _steps: dict[int, dict[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log = MessageLog(self.database, self.agent)
        self._waiting = {call.call_id for call in pending(self.database, self.agent)}

    def page(self, *, after: str | None, before: str | None, rising: bool, limit: int) -> list[dict[str, Any]]:
        """Messages in that order: those after one, or before one."""
        forward = rising == bool(after or not before)
        anchor, found = after or before, list[dict[str, Any]]()
        start: int | None = FIRST if forward else LAST
        if anchor:
            start = self._number_of(anchor)
        if start is None:
            return []
        for message in self._from(start, forward, anchor):
            if len(found) == limit or (after and message["id"] == before):
                break
            found.append(message)
        return found if after or not before else found[::-1]

    def of_turn(self, turn: int) -> list[dict[str, Any]]:
        """The messages of one turn."""
        return [told for message in self.log.of_turn(turn) for told in self._wanted(message)]

    def beside(self, id: str) -> list[dict[str, Any]]:
        """The message of that id, and those that stand in the same one of the log; none if there is no such message."""
        number = self._number_of(id)
        for message in self.log.walk(number) if number is not None else ():
            told = [*self.told(message)] if message.seq == number else []
            known = any(each["id"] == id for each in told) or place_of("message", self.agent, id) == (0, number)
            return told if known else []
        return []

    def told(self, message: Message) -> Iterator[dict[str, Any]]:
        """The messages that one of the log is; an example of how to speak, which nobody ever heard, is none."""
        writer, date = Writer(self.agent), message.created
        if message.kind == "user":
            content = message.said
            yield writer.message("user_message", Part.SEEN, message.seq, date, content=content, name=message.name)
        elif message.kind in ("login", "heartbeat", "alert"):
            told = json.loads(message.content).get("message") if message.kind == "alert" else None
            yield writer.message("system_message", Part.SEEN, message.seq, date, content=told or message.content)
        elif message.kind == "summary":
            yield writer.summary(message.seq, str(json.loads(message.content)["message"]), date)
        elif message.kind == "answer":
            yield from self._answer(writer, message)
        elif message.kind == "result":
            yield from self._result(writer, message)

    # Inside -----------------------------------------------------------------------------------------------------------

    def _answer(self, writer: Writer, message: Message) -> Iterator[dict[str, Any]]:
        step = number_of(message.calls[0].id) // CALLS if message.calls else self._step(message)
        thoughts = [message.reasoning, "" if message.said else message.content]
        if any(thoughts):
            yield writer.thought(step, "\n\n".join(filter(None, thoughts)), message.created)
        if message.said:
            yield writer.spoken(step * CALLS, message.said, message.created, plain=True)
        for call in message.calls:
            if call.name != SPEAK or not self.speech:
                asks = call.id in self._waiting
                yield writer.call(call.id, call.name, call.arguments, message.created, asks=asks)

    def _result(self, writer: Writer, message: Message) -> Iterator[dict[str, Any]]:
        call, name = message.call_id or "", message.name or SPEAK
        told = json.loads(message.content)
        ok = told.get("status") == "OK"
        if name != SPEAK or not self.speech or not ok:
            yield writer.returned(call, name, str(told.get("message", "")), message.created, ok=ok)
        if message.said and (name != SPEAK or self.speech):
            yield writer.spoken(number_of(call), message.said, message.created)

    def _step(self, message: Message) -> int:
        """The number of an answer that calls nothing: how many there were before it in its turn."""
        if message.turn not in self._steps:
            answers = [each.seq for each in self.log.of_turn(message.turn) if each.kind == "answer"]
            self._steps[message.turn] = {seq: at for at, seq in enumerate(answers)}
        return message.turn * MOST_STEPS + self._steps[message.turn].get(message.seq, 0)

    def _wanted(self, message: Message) -> list[dict[str, Any]]:
        return [told for told in self.told(message) if self.kinds is None or told["message_type"] in self.kinds]

    def _from(self, start: int, forward: bool, anchor: str | None) -> Iterator[dict[str, Any]]:
        """Message after message, or back, beyond the anchor."""
        passed = anchor is None
        for message in self.log.walk(start, backwards=not forward):
            told = [*self.told(message)]
            for each in told if forward else told[::-1]:
                if passed and (self.kinds is None or each["message_type"] in self.kinds):
                    yield each
                passed = passed or each["id"] == anchor
            passed = passed or message.seq != start

    def _number_of(self, id: str) -> int | None:
        """Where in the log a message is, by its id."""
        place = place_of("message", self.agent, id)
        if place is None:
            return None
        part, number = place
        if part is Part.SEEN:
            return min(number, LAST)
        turn = number // CALLS // MOST_STEPS
        if turn > 2**40:
            return None
        for message in self.log.of_turn(turn):
            if any(told["id"] == id for told in self.told(message)):
                return message.seq
        return None
