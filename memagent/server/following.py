"""A run as it happens, for one who looks on: its events, until it is over. Who comes late is told what was.

To stop looking stops nothing. Knows nothing of how events are sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from memagent.errors import NotFound
from memagent.events import Delta, Discarded, Event, Failed, Notice, TurnEnded, Waiting
from memagent.server.channel import Gone
from memagent.server.house import House
from memagent.server.retold import retold
from memagent.server.runs import STOPPED, Run

FLEETING = (Delta, Discarded, Waiting, Notice)
"""What is told as it happens, and not stored."""
LOOK_AGAIN = 0.1
"""Seconds until one who is too far behind looks again whether it is over."""
LOOK_ELSEWHERE = 0.25
"""Seconds until one who waits for a run of another server looks again whether it is over."""
STOPS: Sequence[Event] = (Failed(STOPPED, "", "Stopped"), TurnEnded("interrupted", 0))
"""How one who looks on is told that this server stops, and the run goes on."""


async def happening(house: House, run: Run) -> AsyncIterator[Event]:
    """The events of a run, from its beginning to its end; of one that another server plays, when it is over."""
    while run.elsewhere and not house.runs.stopping:
        await asyncio.sleep(LOOK_ELSEWHERE)
        run = await asyncio.to_thread(house.runs.find, run.owner, run.id)  # it may be this server's by now
    if run.first is None:
        for event in STOPS if run.elsewhere else await told(house, run.id):
            yield event
        return
    async with aclosing(_here(house, run, run.first)) as events:
        async for event in events:
            yield event


async def _here(house: House, run: Run, first: int) -> AsyncGenerator[Event]:
    """The events of a run of this server, as they happen; also when it was over before anybody could look."""
    channel, seen = house.runs.channel(run.of), 0
    try:
        async for items in channel.follow(first):
            for item in items:
                if item.run == run.id:
                    seen += not isinstance(item.event, FLEETING)
                    yield item.event
                    if isinstance(item.event, TurnEnded):
                        return
    except Gone:  # more happened meanwhile than the line holds: what is stored is told when it is over
        while not run.over.is_set():
            await asyncio.sleep(LOOK_AGAIN)
        *stored, end = await told(house, run.id)
        for event in (*stored[seen:], end):
            yield event
    else:
        for event in STOPS:
            yield event


async def told(house: House, run: str) -> list[Event]:
    """What happened in a run that is over, from storage."""
    stored = await asyncio.to_thread(house.runs.ledger.find, run)
    if stored is None:
        raise NotFound(f"There is no run {run[:80]!r}.")
    return await asyncio.to_thread(retold, house.database, stored)
