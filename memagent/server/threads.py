"""Threads for work that mostly waits: as many as are needed at once, up to a limit, and none for long that has nothing
to do.

A thread that waits for what never comes keeps nobody from ending the process. Knows nothing of the work.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

REST = 10.0
"""Seconds without work after which a thread ends."""

Work = Callable[[], None]


class Resting:
    """A thread that waits for work."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.work: Work | None = None


class Threads:
    """Does what it is given, each in a thread; what comes when all are busy waits in turn."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._count = 0
        self._lock = threading.Lock()
        self._resting: list[Resting] = []
        self._waiting: deque[Work] = deque()

    def give(self, work: Work) -> None:
        """Have something done."""
        with self._lock:
            if self._resting:  # who has rested for the shortest time: so those that are too many get to end
                resting = self._resting.pop()
                resting.work = work
                resting.called.set()
            elif self._count < self._most:
                self._count += 1
                threading.Thread(target=self._run, args=[work], name=self._name, daemon=True).start()
            else:
                self._waiting.append(work)

    def all_busy(self) -> bool:
        """Whether what comes now would have to wait."""
        return self._count >= self._most and not self._resting

    def close(self) -> None:
        """Begin nothing any more that waits."""
        with self._lock:
            self._waiting.clear()

    def _run(self, work: Work | None) -> None:
        while work is not None:
            work()
            work = self._next()

    def _next(self) -> Work | None:
        """The next work; None when there was none for a while: then the thread is not counted any more."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            resting = Resting()
            self._resting.append(resting)
        resting.called.wait(REST)
        with self._lock:
            if resting.work is None:
                self._resting.remove(resting)
                self._count -= 1
            return resting.work
