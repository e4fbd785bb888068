"""One wait for the disk for all who have written meanwhile.

SQLite makes each commit wait for the disk by itself, one after the other. Here it only writes its log, and whoever has
committed waits until what the log held then is on the disk: many threads at once for the same wait, which is as safe,
and takes a fraction of the time when there are many. Knows nothing of what is written.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from memagent.errors import StorageError


class Flushing:
    """Brings a file that is only added to onto the disk."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._changed = threading.Condition()
        self._written = 0
        self._safe = 0
        self._busy = False

    def wait(self) -> None:
        """What this thread has written is on the disk when this returns."""
        with self._changed:
            self._written += 1
            mine = self._written
            while self._busy and self._safe < mine:
                self._changed.wait()
            if self._safe >= mine:
                return
            self._busy, until = True, self._written
        safe = 0
        try:
            self._flush()
            safe = until
        finally:
            with self._changed:
                self._busy, self._safe = False, max(self._safe, safe)
                self._changed.notify_all()

    def _flush(self) -> None:
        try:
            file = os.open(self._file, os.O_RDONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)
        except FileNotFoundError:
            return  # all that was in it was brought into the database, and is on the disk
        except OSError as error:
            raise StorageError(
                f"{self._file} could not be brought onto the disk: {error.strerror}.",
                hint="What was written last may be lost; look after the disk.",
            ) from error
