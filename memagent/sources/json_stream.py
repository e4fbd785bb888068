"""Reads the records of a large JSON file one by one: no more than one of them is in memory. Knows nothing of what they
are.
"""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator
from typing import IO, Any

from memagent.sources import Unreadable

LARGEST_RECORD = 200_000_000
"""So many characters a record may have."""
CHUNK = 1 << 16

_SPACE = " \t\r\n"


def decoded(file: IO[bytes]) -> IO[str]:
    """The text of a file of JSON: UTF-8, or as its mark says."""
    buffered = file if isinstance(file, io.BufferedIOBase) else io.BufferedReader(file)  # type: ignore[type-var]
    head = buffered.peek(4)[:4] if isinstance(buffered, io.BufferedReader) else b""
    marked = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return io.TextIOWrapper(buffered, "utf-16" if marked else "utf-8-sig", "replace")


def records(file: IO[str]) -> Iterator[Any]:
    """The elements of the list that a file holds; if it holds something else, that alone. Raises `Unreadable` where it
    is broken, after all that was sound.
    """
    source = _Source(file)
    if source.peek() != "[":
        yield source.value()
        return
    source.skip()
    first = True
    while True:
        mark = source.peek()
        if mark == "]":
            return
        if not first:
            if mark != ",":
                raise Unreadable(
                    "is broken JSON: " + ("it ends too early" if not mark else f"{mark!r} where ',' should be")
                )
            source.skip()
        first = False
        yield source.value()


def lines(file: IO[str]) -> Iterator[Any]:
    """The records of a file with one in each line; a line that is no JSON is None."""
    while line := file.readline(LARGEST_RECORD + 1):
        if len(line) > LARGEST_RECORD:
            raise Unreadable(f"has a line of more than {LARGEST_RECORD // 1_000_000} million characters")
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                yield None


class _Source:
    """A text that is read as far as it is needed."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._decode = json.JSONDecoder().raw_decode

    def peek(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            self._text, self._at = self._file.read(CHUNK), 0
            if not self._text:
                return ""

    def skip(self) -> None:
        """Go on after that character."""
        self._at += 1

    def value(self) -> Any:
        """The value that begins at the next character."""
        self.peek()
        wanted = CHUNK
        while True:
            try:
                found, end = self._decode(self._text, self._at)
            except RecursionError as error:
                raise Unreadable("is nested too deeply") from error
            except ValueError as error:
                if not self._more(wanted):
                    raise Unreadable(f"is broken JSON: {error}") from error
                wanted *= 2  # so that a long one is not tried at every piece of it
                continue
            if end == len(self._text) and not isinstance(found, (dict, list)) and self._more(wanted):
                continue  # a number that may go on
            self._at = end
            return found

    def _more(self, wanted: int) -> bool:
        self._text, self._at = self._text[self._at :], 0
        if len(self._text) > LARGEST_RECORD:
            raise Unreadable(f"has a record of more than {LARGEST_RECORD // 1_000_000} million characters")
        more = self._file.read(wanted)
        self._text += more
        return bool(more)
