"""What happens with one agent, for all who look: a line of events, each with its number, which any number of clients
follow at their own pace.

Nothing is kept for each client: one that is slow only lags behind, and one that comes back goes on after the last
number that it saw. What is too long ago has left the line, and is told from storage. Knows nothing of turns or clients.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from memagent.events import Event

KEPT = 5000
"""So many events of an agent stay in the line."""


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


class Gone(Exception):  # nothing is wrong, so it is no error
    """What was asked for has left the line."""


class Channel:
    """The line of one agent. `publish` may be called from any thread, all else from the event loop's."""

    def __init__(self, agent: str, loop: asyncio.AbstractEventLoop, kept: int = KEPT) -> None:
        self._agent = agent
        self._loop = loop
        self._items: deque[Item] = deque(maxlen=kept)
        self._changed = asyncio.Event()
        self.last = 0
        self.lookers = 0

    def publish(self, run: str, event: Event) -> None:
        """Add an event to the line."""
        self._loop.call_soon_threadsafe(self._append, run, event)

    def _append(self, run: str, event: Event) -> None:
        self.last += 1
        self._items.append(Item(self._agent, self.last, run, event))
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def since(self, after: int) -> list[Item]:
        """What came after a number; raises `Gone` if some of it has left the line."""
        if after >= self.last:
            return []
        if not self._items or self._items[0].number > after + 1:
            raise Gone
        return [self._items[at] for at in range(after + 1 - self._items[0].number, len(self._items))]

    async def follow(self, after: int) -> AsyncIterator[list[Item]]:
        """What came after a number, and then all that comes; raises `Gone` for who is too far behind."""
        self.lookers += 1
        try:
            while True:
                changed = self._changed
                if items := self.since(after):
                    after = items[-1].number
                    yield items
                else:
                    await changed.wait()
        finally:
            self.lookers -= 1
