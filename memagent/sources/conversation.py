"""Conversations out of other chat programs: their exports as a zip, a folder or a single file.

Knows nothing of what their records mean (see chats.py), but how to find them.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

from memagent.errors import NotFound
from memagent.sources import Conversation, Unreadable, chats, json_stream
from memagent.sources.directory import Directory, FileItem

MOST_UNPACKED = 200
"""So many times its size a file may become when it is unpacked, if it is large then."""
LARGE = 50_000_000
MOST_MESSAGES = 1_000_000
"""A file of lines that are one conversation may have so many."""

_EXPORT = re.compile(r"(?:.*/)?conversations(?:[-_]\d+)?\.json", re.I)
_BROKEN = (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


class Conversations:
    """Reads the exports of other chat programs. `user` is the user's name, for files that have names but no roles."""

    kind = "conversation"

    def __init__(self, path: Path, *, user: str = "") -> None:
        self._path = path.expanduser().absolute()
        if not self._path.exists():
            raise NotFound(f"There is no file or folder {str(path)!r}.")
        self._user = user
        names = ("*.json", "*.jsonl", "*.ndjson", "*.zip") if self._path.is_dir() else ()
        self._files = Directory(self._path, include=names, largest=sys.maxsize)
        self.about = self._files.about

    def conversations(self) -> Iterator[Talk]:
        """All conversations, file by file. One that is broken says so when it is read; the others follow."""
        seen: dict[str, int] = {}
        for talk in chain.from_iterable(map(self._of_file, self._files.items())):
            count = seen[talk.place] = seen.get(talk.place, 0) + 1
            yield talk if count == 1 else Talk(f"{talk.place} ({count})", talk.make, talk.stamp, talk.size)

    def close(self) -> None:
        """Nothing stays open."""
        self._files.close()

    def _of_file(self, item: FileItem) -> Iterator[Talk]:
        try:
            if item.broken:
                raise Unreadable(item.broken)
            with ExitStack() as opened:
                if item.path.suffix.lower() == ".zip":
                    archive = opened.enter_context(ZipFile(item.path))
                    for name in _exports(archive):
                        yield from self._of_json(opened.enter_context(archive.open(name)), name, item)
                elif item.path.suffix.lower() in (".jsonl", ".ndjson"):
                    yield from self._of_lines(opened.enter_context(item.path.open("rb")), item)
                else:
                    yield from self._of_json(opened.enter_context(item.path.open("rb")), item.place, item)
        except Unreadable as error:
            yield Talk(item.place, _raising(error))
        except _BROKEN as error:
            yield Talk(item.place, _raising(Unreadable(f"is broken, or can't be opened: {error}")))

    def _of_json(self, file: IO[bytes], name: str, item: FileItem) -> Iterator[Talk]:
        """The conversations of a file of JSON: many in a list, a single one, or the messages of one."""
        found = json_stream.records(json_stream.decoded(file))
        number = 0
        for number, record in enumerate(found, 1):
            place = f"{name}, no. {number}"
            if read := chats.reader_of(record):
                made = _of_record(read, record, place, self._user)
                yield Talk(chats.place_of(record) or place, made, chats.stamp_of(record))
            elif number == 1 and isinstance(record, dict) and not _EXPORT.fullmatch(name):
                yield Talk(name, _of_messages([record, *found], name, self._user), item.stamp, item.size)
                return
            else:
                yield Talk(place, _raising(Unreadable("is no conversation of a kind that is known")))
        if not number:
            raise Unreadable("has no conversations")

    def _of_lines(self, file: IO[bytes], item: FileItem) -> Iterator[Talk]:
        lines = json_stream.lines(json_stream.decoded(file))
        first = next(lines, None)
        name = Path(item.place).stem
        if chats.is_sillytavern(first):
            messages = [first, *_limited(lines)]
            yield Talk(item.place, lambda: chats.sillytavern(messages, name), item.stamp, item.size)
        elif chats.reader_of(first):
            for number, record in enumerate(chain([first], lines), 1):
                place = f"{item.place}, line {number}"
                if read := chats.reader_of(record):
                    made = _of_record(read, record, place, self._user)
                    yield Talk(chats.place_of(record) or place, made, chats.stamp_of(record))
                else:
                    yield Talk(place, _raising(Unreadable("is no conversation of a kind that is known")))
        else:
            for key, group in chats.groups(chain([first], _limited(lines))):
                place = f"{item.place}, {key}" if key else item.place
                yield Talk(
                    place, _of_messages(group, key or item.place, self._user, key or name), item.stamp, item.size
                )


@dataclass(frozen=True)
class Talk:
    """One conversation of an export."""

    place: str
    make: Callable[[], Conversation]
    stamp: str = ""
    size: int = 0

    def read(self) -> Conversation:
        """The conversation; raises `Unreadable` if it is broken."""
        return self.make()


def _of_record(read: chats.Read, record: Any, place: str, user: str) -> Callable[[], Conversation]:
    return lambda: read(record, place, user)


def _of_messages(messages: list[Any], place: str, user: str, title: str = "") -> Callable[[], Conversation]:
    return lambda: chats.of_messages(messages, place, user, title)


def _raising(error: Unreadable) -> Callable[[], Conversation]:
    def read() -> Conversation:
        raise error

    return read


def _exports(archive: ZipFile) -> list[str]:
    """The files of an archive that hold conversations."""
    found = [info for info in archive.infolist() if _EXPORT.fullmatch(info.filename)]
    if not found:
        raise Unreadable("has no conversations.json in it: it is no export that is known")
    for info in found:
        if info.file_size > LARGE and info.file_size > MOST_UNPACKED * info.compress_size:
            raise Unreadable("unpacks to far more than a text can")
    return [info.filename for info in found]


def _limited(lines: Iterator[Any]) -> Iterator[Any]:
    for number, line in enumerate(lines):
        if number >= MOST_MESSAGES:
            raise Unreadable(f"has more than {MOST_MESSAGES:,} messages")
        yield line
