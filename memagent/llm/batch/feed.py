"""The calls of a batch as they are read: in a thread of their own, and only a few ahead of those that are asked.

So a file of any size takes little memory, and a pipe that is slow does not keep answers waiting. Knows nothing of
what is done with them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from contextlib import suppress

from memagent.llm.batch.call import Call

MOST_BYTES = 256_000_000
"""The size of all bodies that are held at once; a single one may be larger."""


class Feed:
    """Gives out one call after the other. What is given out counts until it is `finished`."""

    def __init__(self, calls: Iterable[Call], most: int) -> None:
        self._calls = calls
        self._most = most
        self._held = self._bytes = 0
        self._stopped = False
        self._room = threading.Condition()
        self._ready: asyncio.Queue[Call | Exception | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, name="reading requests", daemon=True).start()

    async def next(self) -> Call | None:
        """The next call; None when that was all. Raises what reading them raised."""
        item = await self._ready.get()
        if item is None:
            self._ready.put_nowait(None)  # for the others who wait
        elif isinstance(item, Exception):
            raise item
        return item

    def finished(self, call: Call) -> None:
        """It need not be kept any longer."""
        with self._room:
            self._held -= 1
            self._bytes -= len(call.body)
            self._room.notify()

    def stop(self) -> None:
        """Read no more."""
        with self._room:
            self._stopped = True
            self._room.notify()

    def _read(self) -> None:
        try:
            for call in self._calls:
                if not self._make_room(len(call.body)):
                    return
                self._give(call)
        except Exception as error:  # noqa: BLE001  # whatever it is, it belongs to the thread that waits for calls
            self._give(error)
        else:
            self._give(None)

    def _make_room(self, size: int) -> bool:
        with self._room:
            while not self._stopped and self._held and (self._held >= self._most or self._bytes + size > MOST_BYTES):
                self._room.wait()
            self._held += 1
            self._bytes += size
            return not self._stopped

    def _give(self, item: Call | Exception | None) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._ready.put_nowait, item)
