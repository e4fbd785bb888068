"""Connections to SQLite that are lent: to one thread at a time, for a question or a transaction.

Those that were used last are lent first: they still know what is in the file, while one that has rested reads it again
once somebody else has written. SQLite's connections may be handed from thread to thread, but one that is closed while
it is asked something takes the whole process down. Knows nothing of what is asked.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from weakref import WeakSet

PATIENCE = 2.0
"""Seconds that closing waits for what is being asked; what takes longer is left to its thread, with the connection."""
MOST = 32
"""So many connections stay open that nobody uses."""


class Connections:
    """All connections to one file."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: WeakSet[Connection] = WeakSet()
        self._resting: list[Connection] = []

    @contextmanager
    def lent(self) -> Iterator[sqlite3.Connection]:
        """A connection for this thread alone; inside, it is the same one again."""
        held: Connection | None = getattr(self._local, "held", None)
        if held is not None:
            yield held.connection
            return
        resting = self._resting
        held = self._local.held = self._taken(resting)
        try:
            with held.using:
                yield held.connection
        finally:
            self._local.held = None
            if resting is self._resting and len(resting) < MOST and not held.connection.in_transaction:
                resting.append(held)  # else it is closed, since nobody knows it any more

    def _taken(self, resting: list[Connection]) -> Connection:
        with suppress(IndexError):
            return resting.pop()
        made = Connection(self._connect())
        with self._lock:
            self._open.add(made)
        return made

    def close(self) -> None:
        """Close all of them; who asks something after that gets a new one."""
        with self._lock:
            self._resting = []
            for connection in list(self._open):
                connection.close()
        self._local = threading.local()


class Connection:
    """A connection, `using` which is held while it is asked; closed when it is dropped."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.using = threading.RLock()

    def close(self) -> None:
        """Close it from any thread: what it is being asked ends first."""
        if not self.using.acquire(blocking=False):
            with suppress(sqlite3.ProgrammingError):  # who was asking has closed it
                self.connection.interrupt()
            if not self.using.acquire(timeout=PATIENCE):
                return
            with suppress(sqlite3.Error):
                self.connection.execute("SELECT 1")  # else closing, which brings the log into the file, is interrupted
        try:
            self.connection.close()
        finally:
            self.using.release()

    def __del__(self) -> None:
        self.connection.close()
