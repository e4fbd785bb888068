"""Keeps two processes from writing to one file. The system lets go of the lock when its holder dies, however that
happens.

Knows nothing of the file.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from memagent.errors import UserError


class Lock:
    """A file beside the one that is meant, with the number of the process that holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}.lock")
        while True:
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as error:
                raise UserError(
                    f"{self._path} can't be made: {error.strerror}.", hint="Give another --output."
                ) from error
            if not _locked(self._file):
                holder = os.read(self._file, 20).decode("ascii", "replace").strip()
                os.close(self._file)
                raise UserError(
                    f"Another process writes to {path}{holder and f' ({holder})'}.",
                    hint="Wait until it is done, or give another --output.",
                )
            if self._still_there():
                break
            os.close(self._file)  # its holder has just let go of it, and removed it
        with suppress(OSError):  # on a full disk it is locked all the same; only who has it can't be told
            os.ftruncate(self._file, 0)
            os.write(self._file, b"%d\n" % os.getpid())

    def release(self) -> None:
        """Let others have it."""
        if sys.platform == "win32":
            os.close(self._file)
            with suppress(OSError):  # somebody else has it by now
                self._path.unlink()
        else:
            self._path.unlink(missing_ok=True)
            os.close(self._file)

    def _still_there(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(self._file)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _locked(file: int) -> bool:
    """Lock a file, if nobody else has."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(file, 1 << 20, os.SEEK_SET)  # not where the number stands: others may read that
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
