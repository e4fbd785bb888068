"""A run as it happens, for one who looks on: its events, until it is over. Who comes late is told what was.

To stop looking stops nothing. Knows nothing of how events are sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from memagent.errors import NotFound
from memagent.events import Delta, Discarded, Event, Failed, Notice, TurnEnded, Waiting
from memagent.server.channel import Awaited, Gone
from memagent.server.house import House
from memagent.server.retold import retold
from memagent.server.runs import STOPPED, Run

FLEETING = (Delta, Discarded, Waiting, Notice)
"""What is told as it happens, and not stored."""
LOOK_AGAIN = 0.1
"""Seconds until one who is too far behind looks again whether it is over."""


async def happening(house: House, run: Run, awaited: Awaited = Awaited.ANYTHING) -> AsyncIterator[Event]:
    """The events of a run, from its beginning to its end: each as it comes, or all when its end is what is awaited."""
    channel, seen = house.runs.channel(run.of), 0
    try:
        async for items in channel.follow(run.first, awaited):
            for item in items:
                if item.run == run.id:
                    seen += not isinstance(item.event, FLEETING)
                    yield item.event
                    if isinstance(item.event, TurnEnded):
                        return
    except Gone:  # it was long ago, or more happened than the line holds: what is stored is told when it is over
        while not run.over.is_set():
            await asyncio.sleep(LOOK_AGAIN)
        *stored, end = await told(house, run.id)
        for event in (*stored[seen:], end):
            yield event
    else:
        yield Failed(STOPPED, "", "Stopped")
        yield TurnEnded("interrupted", 0)


async def whole(house: House, run: Run) -> list[Event]:
    """The events of a run, when it is over: for who would make nothing of them before."""
    return [event async for event in happening(house, run, Awaited.END)]


async def told(house: House, run: str) -> list[Event]:
    """What happened in a run that is over, from storage."""
    stored = await asyncio.to_thread(house.runs.ledger.find, run)
    if stored is None:
        raise NotFound(f"There is no run {run[:80]!r}.")
    return await asyncio.to_thread(retold, house.database, stored)
