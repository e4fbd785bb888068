"""A folder and all that is below it, or a single file: each file is a document.

Hidden files, what ignore files name, what programs keep for themselves and links are left out, unless asked for. A
folder that can't be opened is an item that is `Unreadable`, so that it is told of. Very large files are several items,
as far as their kind can be read piece by piece. Knows nothing of what is in the files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from memagent.errors import MissingExtra, NotFound
from memagent.sources import Document, Unreadable
from memagent.sources.apart import Apart
from memagent.sources.decode import HEAD, encoding_of
from memagent.sources.formats import HARMLESS, SEPARATORS, format_of, kind_of
from memagent.sources.ignore import Ignored, Patterns

LARGEST = 100_000_000
"""Files with more bytes are read piece by piece if their kind allows, else not at all."""
PIECE = 16_000_000
MADE = frozenset({"__pycache__", "node_modules"})
"""Folders of what programs have made or fetched for themselves, left out with what ignore files name."""


class Directory:
    """Reads the files of a folder. `include` and `exclude` are patterns as in a `.gitignore`, such as "*.md"."""

    kind = "directory"

    def __init__(
        self,
        path: Path,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        hidden: bool = False,
        links: bool = False,
        ignore_files: bool = True,
        largest: int | None = None,
    ) -> None:
        self._path = path.expanduser().absolute()
        if not self._path.exists():
            raise NotFound(f"There is no folder or file {str(path)!r}.")
        self._include = Patterns(include) if include else None
        self._exclude = Patterns(exclude) if exclude else None
        self._hidden = hidden
        self._links = links
        self._ignore_files = ignore_files
        self._largest = LARGEST if largest is None else largest
        self._apart = Apart()
        self.about = shown(str(self._path))

    def items(self) -> Iterator[FileItem]:
        """All files that are to be read, each folder's in the order of their names."""
        if self._path.is_dir():
            yield from self._below(self._path, "", Ignored(), frozenset())
        else:
            yield from _files(self._path, self._path.name, self._apart, self._largest)

    def close(self) -> None:
        """End the process that reads what is risky, if there is one."""
        self._apart.close()

    def _below(
        self, folder: Path, prefix: str, ignored: Ignored, above: frozenset[tuple[int, int]]
    ) -> Iterator[FileItem]:
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
            here = folder.stat()
        except OSError as error:
            yield FileItem(folder, shown(prefix) or "./", broken=_why(error))
            return
        if (here.st_dev, here.st_ino) in above:  # a link that leads back up
            return
        above |= {(here.st_dev, here.st_ino)}
        if self._ignore_files:
            ignored = ignored.below(folder, prefix, [entry.name for entry in entries])
        for entry in entries:
            path = prefix + entry.name
            if (entry.name.startswith(".") and not self._hidden) or (entry.is_symlink() and not self._links):
                continue
            if entry.is_dir():
                if self._ignore_files and entry.name in MADE:
                    continue
                if f"{path}/" not in ignored and not (self._exclude and self._exclude.says(f"{path}/")):
                    yield from self._below(Path(entry.path), f"{path}/", ignored, above)
            elif self._wanted(path) and path not in ignored:
                yield from _files(Path(entry.path), path, self._apart, self._largest)

    def _wanted(self, path: str) -> bool:
        if self._include and not self._include.says(path):
            return False
        return not (self._exclude and self._exclude.says(path))


@dataclass(frozen=True)
class FileItem:
    """One file, or a piece of a very large one, counted from 1. `broken` says why it can't be read, where that is known
    before.
    """

    path: Path
    place: str
    stamp: str = ""
    size: int = 0
    broken: str = ""
    piece: int = 0
    apart: Apart | None = None

    def read(self) -> Document:
        """The document that the file is."""
        if self.broken:
            raise Unreadable(self.broken)
        try:
            with self.path.open("rb") as file:
                head = file.read(HEAD)
                kind = kind_of(self.path.name, head)
                data = _piece(file, self.piece, SEPARATORS[kind]) if self.piece else head + file.read(LARGEST)
        except OSError as error:
            raise Unreadable(_why(error)) from error
        name = shown(self.path.name if kind in ("code", "csv") else self.path.stem)
        if not data.strip():
            return Document(name, ())
        if self.piece > 1 and kind == "csv":  # the names of the columns
            data = head.partition(b"\n")[0] + b"\n" + data
        try:
            if kind in HARMLESS or self.apart is None:
                return format_of(kind)(data, name)
            return self.apart.read(kind, data, name)
        except MissingExtra as error:
            raise Unreadable(f"can't be read: {error.message}", hint=error.hint) from error


def _piece(file: BinaryIO, number: int, separator: bytes) -> bytes:
    """A piece of a large file: from the first line (or message) that begins in it to the first of the next one."""
    start, end = (_begin(file, n * PIECE, separator) for n in (number - 1, number))
    file.seek(start)
    return file.read(end - start)


def _begin(file: BinaryIO, at: int, separator: bytes) -> int:
    """Where the next piece can begin; `at` itself where no end is in sight, as in an endless line."""
    if not at:
        return 0
    file.seek(at - 1)
    return at + max(0, file.read(PIECE).find(separator))


def _files(path: Path, place: str, apart: Apart, largest: int) -> Iterator[FileItem]:
    """The items that a file is: one, or several if it is very large."""
    whole = FileItem(path, shown(place), apart=apart)
    try:
        found = path.stat()
        whole = replace(whole, stamp=f"{found.st_mtime_ns}-{found.st_size}", size=found.st_size)
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, a device never ends
            raise Unreadable("is not a file")
        if found.st_size <= largest:
            yield whole
            return
        with path.open("rb") as file:
            head = file.read(HEAD)
        if kind_of(path.name, head) not in SEPARATORS or encoding_of(head)[0] not in ("", "utf-8"):
            raise Unreadable(f"is larger than {LARGEST // 1_000_000} MB")
    except OSError as error:
        yield replace(whole, broken=_why(error))
    except Unreadable as error:
        yield replace(whole, broken=error.message)
    else:
        for number in range(1, -(-found.st_size // PIECE) + 1):
            yield replace(whole, place=f"{whole.place}, part {number}", size=PIECE, piece=number)


def shown(path: str) -> str:
    """A path as text that can be shown and stored: what is no letter in its name is escaped."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _why(error: OSError) -> str:
    return f"can't be opened: {error.strerror or error}"
