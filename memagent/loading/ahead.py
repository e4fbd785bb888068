"""Lets reading run ahead of storing: an iterator is gone through in a thread of its own, a little way ahead.

Knows nothing of what is read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")

MOST = 8
"""So many portions wait at most."""
PORTION = 64
PORTION_SECONDS = 0.05
GRACE = 2.0
"""Seconds that the thread has to stop in; what it asks of a slow host may take longer, and is not waited for."""
_LOOK = 0.2


def ahead(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """The same items, taken from an iterator in a thread. What is raised there is raised here."""
    return _Ahead(items).items()


class _Ahead(Generic[T]):
    """A thread that goes through an iterator, and what it has found so far."""

    def __init__(self, items: Generator[T, None, None]) -> None:
        self._items = items
        self._queue: Queue[list[T] | None] = Queue(MOST)
        self._given_up = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="reading ahead", daemon=True)

    def items(self) -> Generator[T, None, None]:
        """All that the thread finds; it stops when nobody wants more."""
        self._thread.start()
        try:
            while (portion := self._next()) is not None:
                yield from portion
            if self._error:
                raise self._error
        finally:
            self._given_up.set()
            self._thread.join(GRACE)

    def _next(self) -> list[T] | None:
        while True:
            try:
                return self._queue.get(timeout=_LOOK)  # with an end, so that Ctrl-C is heard on every system
            except Empty:
                continue

    def _work(self) -> None:
        portion: list[T] | None = []
        try:
            while portion is not None:
                portion = self._portion()
                if portion and not self._put(portion):
                    portion = None
        except BaseException as error:  # noqa: BLE001  # it is raised again where the items are waited for
            self._error = error
        finally:
            self._items.close()  # here, where it was gone through: what it has open may belong to this thread
        self._put(None)

    def _portion(self) -> list[T] | None:
        """Some items, as many as come quickly; none when there are no more."""
        found: list[T] = []
        until = time.monotonic() + PORTION_SECONDS
        for item in self._items:
            found.append(item)
            if len(found) == PORTION or time.monotonic() > until:
                return found
        return found or None

    def _put(self, portion: list[T] | None) -> bool:
        """Hand a portion on; False when nobody wants it any more."""
        while not self._given_up.is_set():
            try:
                self._queue.put(portion, timeout=_LOOK)
            except Full:
                continue
            return True
        return False
