"""A run as it happens, for one who looks on: its events, until it is over. Who comes late is told what was.

To stop looking stops nothing. Knows nothing of how events are sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from memagent.errors import NotFound
from memagent.events import Delta, Discarded, Event, Failed, Notice, TurnEnded, Waiting
from memagent.server.channel import Awaited, Gone
from memagent.server.house import House
from memagent.server.retold import retold
from memagent.server.runs import STOPPED, Run

FLEETING = (Delta, Discarded, Waiting, Notice)
"""What is told as it happens, and not stored."""
LOOK_AGAIN = 0.1
"""Seconds until one who can't see a run looks again whether it is over."""
CUT_OFF: tuple[Event, ...] = (Failed(STOPPED, "", "Stopped"), TurnEnded("interrupted", 0))
"""What is told in the place of the end, when the server stops before it comes."""


async def happening(house: House, run: Run, awaited: Awaited = Awaited.ANYTHING) -> AsyncIterator[Event]:
    """The events of a run, from its beginning to its end: each as it comes, or all when its end is what is awaited.
    Those of a run that another server sees to come when it is over.
    """
    seen = 0
    if not run.elsewhere:
        try:
            async for items in house.runs.channel(run.of).follow(run.first, awaited):
                for event in (item.event for item in items if item.run == run.id):
                    seen += not isinstance(event, FLEETING)
                    yield event
                    if isinstance(event, TurnEnded):
                        return
        except Gone:  # it was long ago, or more happened than the line holds: what is stored is told when it is over
            pass
        else:
            for event in CUT_OFF:
                yield event
            return
    for event in await _told(house, run, seen):
        yield event


async def whole(house: House, run: Run) -> list[Event]:
    """The events of a run, when it is over: for who would make nothing of them before."""
    return [event async for event in happening(house, run, Awaited.END)]


async def _told(house: House, run: Run, seen: int) -> Sequence[Event]:
    """What happened in a run after the events that were seen, from storage, when it is over."""
    while not await asyncio.to_thread(house.runs.is_over, run):
        if run.elsewhere and house.runs.stopping:
            return CUT_OFF
        await asyncio.sleep(LOOK_AGAIN)
    stored = await asyncio.to_thread(house.runs.ledger.find, run.id)
    if stored is None:
        raise NotFound(f"There is no run {run.id[:80]!r}.")
    *events, end = await asyncio.to_thread(retold, house.database, stored)
    return [*events[seen:], end]
