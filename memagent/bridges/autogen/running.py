"""A turn in a thread of its own, heard from an event loop that goes on meanwhile.

Whoever stops listening stops the turn, which is closed as any turn that nobody listens to any more. Knows nothing of
what happens in it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from concurrent.futures import CancelledError
from contextlib import closing, suppress
from inspect import isawaitable

from memagent.bridges.autogen.participant import AsyncPolicy, Policy
from memagent.events import ApprovalAsked, Event

log = logging.getLogger(__name__)

GLANCE = 0.1
"""Seconds between two looks whether somebody still listens, while a decision is waited for."""

Turn = Callable[[Policy], Generator[Event]]


class Running:
    """One turn. `turn` begins it, given what decides on calls; `hang_up` breaks off what it waits for."""

    def __init__(self, turn: Turn, approve: Policy | AsyncPolicy, hang_up: Callable[[], None]) -> None:
        self._turn = turn
        self._approve = approve
        self._hang_up = hang_up
        self._left = threading.Event()
        self._ended = threading.Event()
        self._heard: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    async def events(self) -> AsyncGenerator[Event]:
        """What happens, as it happens."""
        if self._left.is_set():
            raise asyncio.CancelledError
        threading.Thread(target=self._run, name="a turn", daemon=True).start()
        try:
            while (item := await self._heard.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._left.set()
            if not self._ended.is_set():
                self._hang_up()

    def cancel(self) -> None:
        """Stop it, from any thread."""
        self._left.set()
        self._tell(asyncio.CancelledError())

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            with closing(self._turn(self._approved)) as happening:
                for event in happening:
                    if self._left.is_set():
                        break
                    self._tell(event)
        except BaseException as error:  # the outermost door of a thread: raised where it is listened to
            end = error
            if self._left.is_set():
                log.warning("a turn failed that nobody listened to any more", exc_info=error)
        finally:
            self._ended.set()
            self._tell(end)

    def _tell(self, item: Event | BaseException | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self._heard.put_nowait, item)

    def _approved(self, asked: ApprovalAsked) -> bool:
        answer = self._approve(asked)
        if not isawaitable(answer):
            return bool(answer)
        future = asyncio.run_coroutine_threadsafe(_awaited(answer), self._loop)
        while not self._left.is_set():
            try:
                return bool(future.result(GLANCE))
            except TimeoutError:
                if future.done():
                    raise
            except CancelledError:
                return False
        future.cancel()
        return False


async def _awaited(answer: Awaitable[bool]) -> bool:
    return await answer
