"""What happens with one agent, for all who look: a line of events, each with its number, which any number of clients
follow at their own pace.

Nothing is kept for each client: one that is slow only lags behind, and one that comes back goes on after the last
number that it saw. What is too long ago has left the line, and is told from storage. Knows nothing of clients, or of
turns but that they end.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum

from memagent.events import Event, TurnEnded

KEPT = 5000
"""So many events of an agent stay in the line."""
REMEMBERED = 60.0
"""Seconds that they stay there when the agent rests: who comes back later is told from storage."""


@dataclass(frozen=True)
class Item:
    """One event of an agent with its number, and the run that it belongs to."""

    agent: str
    number: int
    run: str
    event: Event
    _written: dict[Form, str] = field(default_factory=dict, compare=False, repr=False)

    def written(self, form: Form) -> str:
        """The event as text, written once for all who look at it in this form."""
        if form not in self._written:
            self._written[form] = form(self)
        return self._written[form]


Form = Callable[[Item], str]


class Awaited(IntEnum):
    """What is waited for."""

    NOTHING = 0
    END = 1
    """That a turn is over."""
    ANYTHING = 2


class Gone(Exception):  # nothing is wrong, so it is no error
    """What was asked for has left the line."""


class Channel:
    """The line of one agent. `publish` and `rest` may be called from any thread, all else from the event loop's.

    Numbers begin at the time of day: so one that was told before the server was started again is never one to come.
    """

    def __init__(self, agent: str, loop: asyncio.AbstractEventLoop, kept: int = KEPT) -> None:
        self._agent = agent
        self._loop = loop
        self._items: deque[Item] = deque(maxlen=kept)
        self._changed = asyncio.Event()
        self._awaited = Awaited.NOTHING
        self._resting = False
        self._lock = threading.Lock()
        self.began = self.last = self._over = int(time.time() * 1000)
        self.lookers = 0
        self.closed = False

    def publish(self, run: str, event: Event) -> None:
        """Add an event to the line."""
        with self._lock:
            self.last += 1
            self._items.append(Item(self._agent, self.last, run, event))
            told = self._awaited >= (Awaited.END if isinstance(event, TurnEnded) else Awaited.ANYTHING)
            if told:  # once: many events may come before the loop gets to it
                self._awaited = Awaited.NOTHING
        if told:
            self._call(self._tell)

    def rest(self) -> None:
        """What was asked for is over: nobody comes back for it after a while, and it is forgotten."""
        with self._lock:
            self._over, resting, self._resting = self.last, self._resting, True
        if not resting:
            self._call(self._rest)

    def close(self) -> None:
        """Nothing will happen any more: those who look on see that."""
        self.closed = True
        self._tell()

    def _call(self, work: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody looks any more
            self._loop.call_soon_threadsafe(work)

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _rest(self) -> None:
        self._loop.call_later(REMEMBERED, self._forget, self._over)

    def _forget(self, last: int) -> None:
        with self._lock:
            while self._items and self._items[0].number <= last:
                self._items.popleft()
            self._resting = self._over > last
        if self._resting:
            self._rest()

    def since(self, after: int, awaited: Awaited = Awaited.NOTHING) -> list[Item]:
        """What came after a number, or nothing, in which case something is `awaited`; raises `Gone` if some of it has
        left the line.
        """
        with self._lock:
            new = self.last - after
            if new == 0:
                self._awaited = max(self._awaited, awaited)
                return []
            if not 0 < new <= len(self._items):
                raise Gone
            return [self._items[at] for at in range(-new, 0)]

    async def follow(self, after: int, awaited: Awaited = Awaited.ANYTHING) -> AsyncIterator[list[Item]]:
        """What came after a number, and then all that comes; raises `Gone` for who is too far behind. Who only awaits
        the end of a turn is told what came before it at once, for little.
        """
        self.lookers += 1
        try:
            while True:
                changed = self._changed
                if items := self.since(after, awaited):
                    after = items[-1].number
                    yield items
                elif self.closed:
                    return
                else:
                    await changed.wait()
        finally:
            self.lookers -= 1
