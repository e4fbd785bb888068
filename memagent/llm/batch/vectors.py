"""Passages with their vectors in a file of JSON Lines: a vector is there as soon as it is known, and is never asked for
again.

A line begins with the passage's id, the model's name and the vector; what else the passage tells follows. A kill costs
at most a torn last line, which is dropped. Knows nothing of how vectors are made.
"""

from __future__ import annotations

import json
import os
import re
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, Self

from memagent.errors import StorageError, UserError
from memagent.llm.batch.lock import Lock
from memagent.llm.batch.results import FULL, SYNC_EVERY

_LINE = re.compile(rb'\{"id":"([0-9a-f]{16})(?:-\d+)?","model":("(?:[^"\\]|\\.)*"),("vector":\[[^]]*\]),')
_BEGIN = b'{"id":"'


class Passage(Protocol):
    """A passage that gets a vector: what its text is known by, and all that it tells, its id among that."""

    @property
    def key(self) -> str: ...
    @property
    def fields(self) -> Mapping[str, Any]: ...


class VectorFile:
    """A file of vectors of one model that is open for writing; `with` closes it."""

    def __init__(self, path: Path, model: str) -> None:
        self.path = path
        self.before = 0
        """How many texts had their vectors already."""
        self._model = json.dumps(model, ensure_ascii=False).encode()
        self._places: dict[str, int] = {}
        self._synced = time.monotonic()
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is not a file that vectors could be kept in.", hint="Give another --output.")
        self._lock = Lock(path)
        try:
            with self._writing():
                self._file = self._opened()
            try:
                self._end = self._read()
            except BaseException:
                os.close(self._file)
                raise
        except BaseException:
            self._lock.release()
            raise
        self.before = len(self._places)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            with self._writing():
                os.fsync(self._file)
        finally:
            os.close(self._file)
            self._lock.release()

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def add(self, passages: Sequence[Passage], vectors: Iterable[bytes]) -> None:
        """Write down the vectors of some passages, as little-endian float32."""
        lines: list[bytes] = []
        places: dict[str, int] = {}
        end = self._end
        for passage, vector in zip(passages, vectors, strict=True):
            places[passage.key] = end
            lines.append(self._line(passage, _numbers(vector)))
            end += len(lines[-1])
        with self._writing():
            try:
                left = memoryview(b"".join(lines))
                while left:
                    left = left[os.write(self._file, left) :]
            except OSError:
                with suppress(OSError):
                    os.ftruncate(self._file, self._end)
                raise
            if time.monotonic() - self._synced > SYNC_EVERY:
                os.fsync(self._file)
                self._synced = time.monotonic()
        self._end = end
        self._places |= places

    def tidy(self, passages: Iterable[Passage]) -> int:
        """Leave a line for each of these passages, in their order, and nothing else; returns how many they are."""
        new = self.path.with_name(f"{self.path.name}.new")
        count = end = 0
        places: dict[str, int] = {}
        with self._writing():
            os.fsync(self._file)
            try:
                with self.path.open("rb") as old, new.open("wb") as kept:
                    for passage in passages:
                        old.seek(self._places[passage.key])
                        found = _LINE.match(old.readline())
                        assert found, "all were read or written before"
                        line = self._line(passage, found[3])
                        places.setdefault(passage.key, end)
                        end += kept.write(line)
                        count += 1
                    kept.flush()
                    os.fsync(kept.fileno())
                os.close(self._file)  # on Windows, an open file is not replaced
                try:
                    new.replace(self.path)
                finally:
                    self._file = self._opened()
            finally:
                new.unlink(missing_ok=True)
        self._places, self._end = places, end
        return count

    def _line(self, passage: Passage, vector: bytes) -> bytes:
        fields = json.dumps({k: v for k, v in passage.fields.items() if k != "id"}, ensure_ascii=False)
        name = json.dumps(passage.fields["id"]).encode()
        return b'{"id":%s,"model":%s,%s,%s\n' % (name, self._model, vector, fields[1:].encode("utf-8", "replace"))

    def _opened(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)

    def _read(self) -> int:
        """Take in what is there; returns where it ends."""
        end = 0
        with open(os.dup(self._file), "rb") as file:  # noqa: PTH123
            file.seek(0)
            for number, raw in enumerate(file, 1):
                found = _LINE.match(raw) if raw.endswith(b"}\n") else None
                if found is None:
                    if b"\0" in raw or (not raw.endswith(b"\n") and raw[: len(_BEGIN)] == _BEGIN[: len(raw)]):
                        break  # what a kill or a power cut leaves behind
                    raise UserError(
                        f"{self.path}, line {number} is no passage with its vector.", hint="Give another --output."
                    )
                if found[2] != self._model:
                    raise UserError(
                        f"{self.path} holds vectors of the model {found[2].decode()}.",
                        hint="Give another --output, or take that model again.",
                    )
                self._places.setdefault(found[1].decode(), end)
                end += len(raw)
        with self._writing():
            os.ftruncate(self._file, end)
        return end

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                hint = "Free some space, then give the same command again: it goes on from here."
                raise StorageError(f"The disk is full: {self.path} can't be written.", hint=hint) from error
            raise UserError(f"{self.path} can't be written: {error.strerror or error}.") from error


def _numbers(vector: bytes) -> bytes:
    """A vector as JSON, with as many digits as its numbers have."""
    numbers = struct.unpack(f"<{len(vector) // 4}f", vector)
    return b'"vector":[%s]' % ",".join(f"{number:.9g}" for number in numbers).encode()
