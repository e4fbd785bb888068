"""Reads and appends to text files of one directory, and can't be led out of it.

A name is looked up part by part from the open directory, and a link is never followed, so nothing that changes between
a check and its use leads elsewhere. Only regular files are touched, and only so much of them. Knows nothing of agents.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from memagent.errors import ToolError
from memagent.messages import storable

__all__ = ["FILE_LIMIT", "SCAN_LIMIT", "SHOWN_LIMIT", "Lines", "append", "read_lines"]

FILE_LIMIT = 10_000_000
"""How many bytes a file may grow to."""
SCAN_LIMIT = 64_000_000
"""How many bytes into a file a line may begin."""
SHOWN_LIMIT = 65_536
"""How many bytes are read at once; what goes beyond is cut."""

_ALLOWED = "Give a plain name such as notes.txt or trips/rome.txt: only files of your own directory can be used."
_DEVICES = re.compile(r"(?i)(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])\s*(?:\..*)?")
_FORBIDDEN = re.compile(r'[<>:"|?*\\]')


@dataclass(frozen=True)
class Lines:
    """Lines of a file, counted from `first`. `more` follow; the last one is `cut` when it was too long."""

    first: int
    lines: Sequence[str]
    more: bool
    cut: bool


def read_lines(root: Path, name: str, start: int, count: int = 1) -> Lines:
    """Read up to `count` lines of a file under `root`; the first line of a file is number 1."""
    if start < 1 or count < 1:
        raise ToolError("Lines are counted from 1, and at least one must be asked for.")
    with _opened(root, name, os.O_RDONLY) as file:
        _skip_lines(file, name, start - 1)
        block = b""
        while len(block) <= SHOWN_LIMIT and (chunk := os.read(file, SHOWN_LIMIT + 1 - len(block))):
            block += chunk
    if b"\0" in block:
        raise ToolError(f"{name!r} is not a text file.")
    full = len(block) > SHOWN_LIMIT
    lines = block[:SHOWN_LIMIT].split(b"\n")
    if ended := not lines[-1]:
        lines.pop()
    if not lines:
        raise ToolError(f"{name!r} is empty." if start == 1 else f"{name!r} has only {start - 1} lines.")
    cut = full and not ended and len(lines) <= count
    shown = [line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines[:count]]
    if cut:
        shown[-1] = shown[-1].rstrip("\ufffd")
    if start == 1:
        shown[0] = shown[0].removeprefix("\ufeff")
    return Lines(start, shown, more=full or len(lines) > count, cut=cut)


def append(root: Path, name: str, text: str) -> int:
    """Add text as whole lines to the end of a file under `root`, made if there is none; returns the size it has now."""
    data = storable(text).encode()
    if not data.endswith(b"\n"):
        data += b"\n"
    _check_size(name, 0, data)
    with _opened(root, name, os.O_RDWR | os.O_APPEND | os.O_CREAT) as file:
        status = os.fstat(file)
        if status.st_nlink > 1:
            raise ToolError(f"{name!r} is also a file elsewhere (a hard link), so it can only be read.", hint=_ALLOWED)
        size = status.st_size
        if size and _byte_at(file, size - 1) != b"\n":
            data = b"\n" + data
        _check_size(name, size, data)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(file, size)  # all of it or nothing
            raise
    return size + len(data)


def _check_size(name: str, size: int, data: bytes) -> None:
    if size + len(data) > FILE_LIMIT:
        what = f"{name!r} has {size} bytes; {len(data)} more would go over the limit of {FILE_LIMIT}."
        raise ToolError(what, hint="Write less, or begin another file.")


def _byte_at(file: int, position: int) -> bytes:
    os.lseek(file, position, os.SEEK_SET)
    return os.read(file, 1)


def _skip_lines(file: int, name: str, count: int) -> None:
    """Move to the beginning of the line after `count` lines."""
    skipped = position = 0
    while skipped < count:
        if position >= SCAN_LIMIT:
            raise ToolError(
                f"Line {count + 1} of {name!r} is too far inside: after {SCAN_LIMIT} bytes it had not come."
            )
        chunk = os.read(file, 1 << 20)
        if not chunk:
            raise ToolError(f"{name!r} has only {skipped + _last_is_open(file, position)} lines.")
        found = chunk.count(b"\n")
        if skipped + found >= count:
            after = chunk.split(b"\n", count - skipped)[-1]
            os.lseek(file, position + len(chunk) - len(after), os.SEEK_SET)
        skipped += found
        position += len(chunk)


def _last_is_open(file: int, size: int) -> bool:
    return size > 0 and _byte_at(file, size - 1) != b"\n"


@contextmanager
def _opened(root: Path, name: str, flags: int) -> Iterator[int]:
    """A regular file, open. O_NONBLOCK: a pipe without a writer must not keep us waiting before we see what it is."""
    parts = _parts(name)
    flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = -1
    try:
        if flags & os.O_CREAT:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = _open_beneath(root, parts, flags) if os.open in os.supports_dir_fd else _open_checked(root, parts, flags)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise ToolError(f"{name!r} is not a regular file.", hint=_ALLOWED)
        yield file
    except OSError as failure:
        raise _explained(root, name, failure) from failure
    finally:
        if file >= 0:
            os.close(file)


def _parts(name: str) -> list[str]:
    """The parts of a name that means the same on every system and shows what it is."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    odd = (
        name.startswith("/")
        or name.endswith("/")
        or not parts
        or not name.isprintable()
        or _FORBIDDEN.search(name)
        or any(part.startswith("~") or part.endswith((".", " ")) or _DEVICES.fullmatch(part) for part in parts)
    )
    if odd:
        raise ToolError(f"{name[:200]!r} is not a name that a file can have here.", hint=_ALLOWED)
    return parts


def _open_beneath(root: Path, parts: Sequence[str], flags: int) -> int:
    """Open step by step from `root`; the system itself refuses a link at every step."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            if flags & os.O_CREAT:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=folder)
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(parts[-1], flags | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    finally:
        os.close(folder)


def _open_checked(root: Path, parts: Sequence[str], flags: int) -> int:
    """The same for systems that can't open from a directory (Windows): compare where the path really leads."""
    root = root.resolve(strict=True)
    path = root.joinpath(*parts)
    if _leads_elsewhere(path):
        raise OSError(errno.ELOOP, "a link")
    if flags & os.O_CREAT:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(path, flags, 0o600)
    try:
        # Once more, now that it is open: was it swapped in between?
        if _leads_elsewhere(path) or not os.path.samestat(os.fstat(file), path.stat()):
            raise OSError(errno.ELOOP, "a link")
    except OSError:
        os.close(file)
        raise
    return file


def _leads_elsewhere(path: Path) -> bool:
    return Path(os.path.realpath(path)) != path  # not `resolve`, which raises RuntimeError where links go in circles


def _explained(root: Path, name: str, failure: OSError) -> ToolError:
    match failure.errno:
        case errno.ENOENT:
            return ToolError(f"There is no file {name!r}.", hint=_there_are(root))
        case errno.ELOOP | errno.ENOTDIR | errno.EMLINK:
            return ToolError(f"{name!r} leads through a link, or through what is not a directory.", hint=_ALLOWED)
        case errno.EISDIR | errno.ENXIO | errno.ENODEV:
            return ToolError(f"{name!r} is not a regular file.", hint=_ALLOWED)
        case errno.ENOSPC | errno.EDQUOT:
            return ToolError(f"The disk is full; nothing was written to {name!r}.", hint="Tell the user.")
    return ToolError(f"{name!r} can't be used: {failure.strerror}.", hint=_ALLOWED)


def _there_are(root: Path) -> str:
    try:
        names = sorted(entry.name for entry in root.iterdir() if entry.name.isprintable())
    except OSError:
        names = []
    if not names:
        return "There are no files yet."
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"There are: {', '.join(names[:20])}{more}."
