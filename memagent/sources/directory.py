"""A folder and all that is below it, or a single file: each file is a document.

Hidden files, what ignore files name and links are left out, unless asked for. A folder that can't be opened is an item
that is `Unreadable`, so that it is told of. Knows nothing of what is in the files but how large they may be.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from memagent.errors import NotFound
from memagent.sources import Document, Unreadable
from memagent.sources.decode import HEAD
from memagent.sources.formats import format_of, kind_of
from memagent.sources.ignore import Ignored, Patterns

LARGEST = 100_000_000


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
    ) -> None:
        self._path = path.expanduser().absolute()
        if not self._path.exists():
            raise NotFound(f"There is no folder or file {str(path)!r}.")
        self._include = Patterns(include) if include else None
        self._exclude = Patterns(exclude) if exclude else None
        self._hidden = hidden
        self._links = links
        self._ignore_files = ignore_files
        self.about = _shown(str(self._path))

    def items(self) -> Iterator[FileItem]:
        """All files that are to be read, each folder's in the order of their names."""
        if self._path.is_dir():
            yield from self._below(self._path, "", Ignored(), frozenset())
        else:
            yield _file(self._path, self._path.name)

    def close(self) -> None:
        """Nothing stays open."""

    def _below(
        self, folder: Path, prefix: str, ignored: Ignored, above: frozenset[tuple[int, int]]
    ) -> Iterator[FileItem]:
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
            here = folder.stat()
        except OSError as error:
            yield FileItem(folder, _shown(prefix) or "./", broken=_why(error))
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
                if f"{path}/" not in ignored and not (self._exclude and self._exclude.says(f"{path}/")):
                    yield from self._below(Path(entry.path), f"{path}/", ignored, above)
            elif self._wanted(path) and path not in ignored:
                yield _file(Path(entry.path), path)

    def _wanted(self, path: str) -> bool:
        if self._include and not self._include.says(path):
            return False
        return not (self._exclude and self._exclude.says(path))


@dataclass(frozen=True)
class FileItem:
    """One file. `broken` says why it can't be read, where that is known before."""

    path: Path
    place: str
    stamp: str = ""
    size: int = 0
    broken: str = ""

    def read(self) -> Document:
        """The document that the file is."""
        if self.broken:
            raise Unreadable(self.broken)
        try:
            with self.path.open("rb") as file:
                head = file.read(HEAD)
                kind = kind_of(self.path.name, head)
                if self.size > LARGEST:
                    raise Unreadable(f"is larger than {LARGEST // 1_000_000} MB")
                data = head + file.read(LARGEST)
        except OSError as error:
            raise Unreadable(_why(error)) from error
        return format_of(kind)(data, _shown(self.path.stem))


def _file(path: Path, place: str) -> FileItem:
    try:
        found = path.stat()
    except OSError as error:
        return FileItem(path, _shown(place), broken=_why(error))
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, a device never ends
        return FileItem(path, _shown(place), broken="is not a file")
    return FileItem(path, _shown(place), f"{found.st_mtime_ns}-{found.st_size}", found.st_size)


def _shown(path: str) -> str:
    """A path as text that can be shown and stored: what is no letter in its name is escaped."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _why(error: OSError) -> str:
    return f"can't be opened: {error.strerror or error}"
