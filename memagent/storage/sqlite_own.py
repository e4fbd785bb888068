"""A thread's own connection to SQLite, which another thread may close.

SQLite's connections may be handed from thread to thread, but one that is closed while it is asked something takes the
whole process down. Knows nothing of what is asked.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress

PATIENCE = 2.0
"""Seconds that closing waits for what is being asked; what takes longer is left to its thread, with the connection."""


class OwnConnection:
    """A connection, `using` which is held while it is asked; closed when its thread ends: functions run in threads, and
    there are many of them.
    """

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
