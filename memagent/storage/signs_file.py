"""Keeps `Signs` in a file that is mapped into memory: opening it costs nothing, and what is not looked at is not read.

A file is written beside its place and renamed, so it is whole or it is not there. What it holds is a copy of what is
in a database; so whatever is wrong with it, it is only made again. Knows nothing of that database.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from memagent.storage.signs import Signs

MAGIC = b"memagent signs 1"
HEAD = 1 << 14  # room for the header
PAGE = 1 << 14  # where each array begins: a multiple of what any system maps at once
UNCHECKED = "fine"  # by far the largest; a wrong bit there makes a vector seem a little nearer, or farther


def load(path: Path, about: Mapping[str, Any]) -> tuple[Signs, dict[str, Any]] | None:
    """What is in a file, if it is whole and is about this very thing, and what its header tells besides."""
    try:
        with path.open("rb") as file:
            head = _head(file.read(HEAD))
            if head is None or any(head.get(name) != value for name, value in about.items()):
                return None
            room, size = head["room"], head["size"]
            places = _places(head["dimension"], room)
            if not 0 < size <= room or os.fstat(file.fileno()).st_size != _length(places):
                return None
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if _checksum(content, places) != head.get("checksum"):
        return None
    if hasattr(mmap, "MADV_WILLNEED"):  # soon, and here and there: read in one go, that takes the least time
        content.madvise(mmap.MADV_WILLNEED, places[UNCHECKED][0])
    return Signs(**_arrays(content, places)).shortened(size), head


def about(path: Path) -> dict[str, Any] | None:
    """What a file's header tells, if it has one."""
    try:
        with path.open("rb") as file:
            return _head(file.read(HEAD))
    except (OSError, ValueError):
        return None


def written(path: Path | None, about: Mapping[str, Any], room: int, fill: Callable[[Signs], int]) -> Signs:
    """Have `fill` put vectors where there is room for so many, and keep them in a file; it returns how many it had.

    Where there can be no file, they are in memory.
    """
    if path is None:
        return _in_memory(about["dimension"], room, fill)
    part = path.with_name(f"{path.name}.{token_hex(8)}.part")
    places = _places(about["dimension"], room)
    try:
        content = _reserved(part, _length(places))
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        return _in_memory(about["dimension"], room, fill)
    try:
        signs = Signs(**_arrays(content, places))
        size = fill(signs)
        head = {**about, "room": room, "size": size, "checksum": _checksum(content, places)}
        told = json.dumps(head, ensure_ascii=False).encode()
        told = MAGIC + len(told).to_bytes(4, "little") + zlib.crc32(told).to_bytes(4, "little") + told
        content[: len(told)] = told
        with suppress(OSError):  # Windows replaces no file that somebody has open; then it stays as it is in memory
            part.replace(path)
        return signs.shortened(size)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _in_memory(dimension: int, room: int, fill: Callable[[Signs], int]) -> Signs:
    signs = Signs.made([0.0] * dimension, room)
    return signs.shortened(fill(signs))


def _reserved(path: Path, length: int) -> mmap.mmap:
    """A new file of that length, mapped for writing. It has all its room: on a full disk, writing would kill."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, length)
        else:
            empty = bytes(1 << 20)
            for start in range(0, length, len(empty)):
                os.write(file, empty[: length - start])
        return mmap.mmap(file, length)
    finally:
        os.close(file)


def _head(content: bytes) -> dict[str, Any] | None:
    start = len(MAGIC) + 8
    length, checksum = (int.from_bytes(content[at : at + 4], "little") for at in (start - 8, start - 4))
    told = content[start : start + length]
    if not content.startswith(MAGIC) or len(told) != length or zlib.crc32(told) != checksum:
        return None
    head = json.loads(told)
    return head if isinstance(head, dict) else None


def _places(dimension: int, room: int) -> dict[str, tuple[int, int, str, tuple[int, ...]]]:
    """Where each array begins and ends, and what it is."""
    import numpy as np

    places, start = {}, HEAD
    for name, (kind, shape) in Signs.shapes(dimension, room).items():
        end = start + np.dtype(kind).itemsize * math.prod(shape)
        places[name] = (start, end, kind, shape)
        start = -(-end // PAGE) * PAGE
    return places


def _length(places: Mapping[str, tuple[int, int, str, tuple[int, ...]]]) -> int:
    return max(end for _, end, _, _ in places.values())


def _arrays(content: mmap.mmap, places: Mapping[str, tuple[int, int, str, tuple[int, ...]]]) -> dict[str, Any]:
    import numpy as np

    return {
        name: np.frombuffer(content, kind, math.prod(shape), start).reshape(shape)
        for name, (start, _, kind, shape) in places.items()
    }


def _checksum(content: mmap.mmap, places: Mapping[str, tuple[int, int, str, tuple[int, ...]]]) -> int:
    checksum = 0
    with memoryview(content) as view:
        for name, (start, end, _, _) in places.items():
            if name != UNCHECKED:
                checksum = zlib.crc32(view[start:end], checksum)
    return checksum
