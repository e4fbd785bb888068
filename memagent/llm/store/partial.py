"""A model's file while it is being fetched: always the true beginning of the file, however often the fetching is cut.

What is added is checked piece by piece; a piece that is wrong is taken out again. Knows nothing of where it comes from.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

CHUNK = 1 << 20
Seen = Callable[[int], None]
"""Told how many bytes have been checked."""


class Damaged(Exception):
    """A piece came whole, and is not what it should be; it is taken out again."""


class Partial:
    """The beginning of a file that consists of pieces, each with its size and checksum. `done` are its bytes so far."""

    def __init__(self, path: Path, parts: Sequence[tuple[int, str]]) -> None:
        self.path = path
        self.total = sum(size for size, _ in parts)
        self.done = 0
        self._parts = parts
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, flags, 0o600)
        self._number, self._start, self._hash = 0, 0, hashlib.sha256()

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, _k: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        os.close(self._file)

    @property
    def full(self) -> bool:
        """Whether all pieces are here."""
        return self.done == self.total

    def check(self, seen: Seen) -> None:
        """Keep of what is there only what is right."""
        os.lseek(self._file, 0, os.SEEK_SET)
        self.done, self._number, self._start, self._hash = 0, 0, 0, hashlib.sha256()
        try:
            while not self.full and (data := os.read(self._file, min(CHUNK, self._room()))):
                self._take(data)
                seen(self.done)
        except Damaged:
            return
        self._cut(self.done)

    def write(self, data: bytes) -> int:
        """Add the next bytes. Returns how many belong to the file; raises `Damaged` when a piece turns out wrong."""
        taken = 0
        while taken < len(data) and not self.full:
            count = os.write(self._file, data[taken : taken + self._room()])
            self._take(data[taken : taken + count])
            taken += count
        return taken

    def begin_piece(self) -> int:
        """Go back to where a piece begins. Returns which one it is, counted from 0."""
        self._cut(self._start)
        return self._number

    def settle(self) -> None:
        """See to it that what was written is on the disk."""
        os.fsync(self._file)

    def _room(self) -> int:
        return self._start + self._parts[self._number][0] - self.done

    def _take(self, data: bytes) -> None:
        self._hash.update(data)
        self.done += len(data)
        if self._room():
            return
        if self._hash.hexdigest() != self._parts[self._number][1]:
            self._cut(self._start)
            raise Damaged
        self._number, self._start, self._hash = self._number + 1, self.done, hashlib.sha256()

    def _cut(self, size: int) -> None:
        os.ftruncate(self._file, size)
        os.lseek(self._file, size, os.SEEK_SET)
        if size == self._start:
            self._hash = hashlib.sha256()
        self.done = size
