"""A file of lines that only grows, and that one process at a time writes: what is in it is not done again.

A line is written whole or taken back; a kill costs at most a torn last one, a power cut at most the last second. Knows
nothing of what the lines say.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from memagent.errors import StorageError, UserError
from memagent.llm.batch.lock import Lock

FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
SYNC_EVERY = 1.0


class Appended:
    """The file, open for writing; `with` closes it. What is in it is taken in by `_read`, which each kind has."""

    holds = "lines"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._synced = time.monotonic()
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is not a file that {self.holds} could be kept in.", hint="Give another --output.")
        self._lock = Lock(path)
        try:
            with self._writing():
                self._file = self._opened()
            try:
                self._end = self._read()
                with self._writing():
                    os.ftruncate(self._file, self._end)
            except BaseException:
                os.close(self._file)
                raise
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Make sure that all of it is on the disk, and let others have the file."""
        try:
            with self._writing():
                os.fsync(self._file)
        finally:
            os.close(self._file)
            self._lock.release()

    def _read(self) -> int:
        """Take in what is there; returns where the last whole line ends."""
        raise NotImplementedError

    def _append(self, lines: bytes) -> None:
        """Write whole lines at the end: all of them, or none."""
        with self._writing():
            try:
                left = memoryview(lines)
                while left:
                    left = left[os.write(self._file, left) :]
            except OSError:
                with suppress(OSError):
                    os.ftruncate(self._file, self._end)
                raise
            if time.monotonic() - self._synced > SYNC_EVERY:
                os.fsync(self._file)
                self._synced = time.monotonic()
        self._end += len(lines)

    @contextmanager
    def _replaced_by(self) -> Iterator[Path]:
        """Where to write what shall stand in the file instead, once the block has ended well."""
        new = self.path.with_name(f"{self.path.name}.new")
        with self._writing():
            os.fsync(self._file)
            try:
                yield new
                os.close(self._file)  # on Windows, an open file is not replaced
                try:
                    new.replace(self.path)
                finally:
                    self._file = self._opened()
            finally:
                new.unlink(missing_ok=True)

    def _opened(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                hint = "Free some space, then give the same command again: it goes on from here."
                raise StorageError(f"The disk is full: {self.path} can't be written.", hint=hint) from error
            raise UserError(f"{self.path} can't be written: {error.strerror or error}.") from error
