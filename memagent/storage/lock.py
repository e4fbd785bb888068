"""A lock between processes, on a file: the system lets go of it when its holder ends, however that happens.

It is a lock of SQLite's, which is the same on every system. Knows nothing of what is guarded.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from memagent.errors import StorageError


class FileLock:
    """Held from the moment it is made until it is let go."""

    def __init__(self, path: Path, patience: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._held = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
        try:
            self._held.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            self._held.close()
            raise StorageError(f"Another process holds {path} ({error}).", hint="End it, and try again.") from error

    def let_go(self) -> None:
        """Let others have it."""
        self._held.close()
