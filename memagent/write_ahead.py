"""Has SQLite write changes to a log before the file, so that readers never wait.

While another process brings that about, SQLite says that the file is busy, and does not wait for it by itself: with
several that make the same file at once, one would fail. Knows nothing of what is in the file.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

MOMENT = 0.01


def write_ahead(connection: sqlite3.Connection, seconds: float) -> None:
    """Turn the log on, and wait so long for others who do. Raises what SQLite does if it can't be."""
    end = time.monotonic() + seconds
    while not _turned_on(connection, at_last=time.monotonic() > end):
        time.sleep(MOMENT)


def _turned_on(connection: sqlite3.Connection, *, at_last: bool) -> bool:
    import sqlite3

    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if at_last or error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
