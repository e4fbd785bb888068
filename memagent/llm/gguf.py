"""What a GGUF file says of the model in it, read from its head; whatever the file holds, in bounded time and memory.

Knows nothing of where such files come from, or of how a model is run.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from memagent.errors import UserError

MAGIC = b"GGUF"
LONGEST_HEAD = 40_000_000
"""Bytes; that of a model with 250,000 words in its vocabulary is a tenth of it."""
LONGEST_TEXT = 1_000_000
WANTED = ("general.name", "general.architecture", "general.size_label", "tokenizer.chat_template")

_NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _LIST = 8, 9


@dataclass(frozen=True)
class Header:
    """What the file says of its model; empty or 0 where it says nothing."""

    name: str = ""
    architecture: str = ""
    size: str = ""
    window: int = 0
    template: str = ""


class _Broken(Exception):
    """The head of the file is not what it should be; says why."""


def read(path: Path) -> Header:
    """The header of a model file. Raises `UserError` where it is none."""
    try:
        with path.open("rb") as file:
            found = dict(_Reader(file, path.stat().st_size).pairs())
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.", hint="Check the path.") from error
    except _Broken as error:
        raise UserError(f"{path} is not a model file (GGUF) that can be read: {error}.", hint=_HINT) from None
    name, architecture, size, template = (_text(found.get(key)) for key in WANTED)
    window = found.get(f"{architecture}.context_length")
    return Header(name, architecture, size, window if isinstance(window, int) and window > 0 else 0, template)


_HINT = "Was it fetched whole? A model file begins with the letters GGUF."


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


class _Reader:
    """Goes through the head of a file, and never further than the file and the limits allow."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = min(size, LONGEST_HEAD)

    def pairs(self) -> list[tuple[str, Any]]:
        """Keys and values, without the long lists among them."""
        if self._bytes(4) != MAGIC:
            raise _Broken("it begins with other letters")
        version = self._number("<I")
        if version not in (2, 3):
            raise _Broken(f"its version is {version}, and 2 and 3 are known")
        self._number("<Q")
        count = self._number("<Q")
        if count * 13 > self._left:
            raise _Broken("it promises more than it holds")
        return [(self._short_text(), self._value(self._number("<I"))) for _ in range(count)]

    def _value(self, kind: int) -> Any:
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind == _TEXT:
            return self._short_text()
        if kind != _LIST:
            raise _Broken(f"a value is of the unknown type {kind}")
        inner, count = self._number("<I"), self._number("<Q")
        if inner in _NUMBERS:
            self._skip(count * struct.calcsize(_NUMBERS[inner]))
        elif inner == _TEXT and count * 8 <= self._left:
            for _ in range(count):
                self._skip(self._number("<Q"))
        else:
            raise _Broken("a list is longer than the file, or holds lists")
        return None

    def _short_text(self) -> str:
        length = self._number("<Q")
        if length > LONGEST_TEXT:
            raise _Broken("a text in it is too long")
        return self._bytes(length).decode("utf-8", "replace")

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._bytes(struct.calcsize(form)))[0]

    def _bytes(self, count: int) -> bytes:
        self._take(count)
        found = self._file.read(count)
        if len(found) < count:
            raise _Broken("it ends too early")
        return found

    def _skip(self, count: int) -> None:
        self._take(count)
        self._file.seek(count, 1)

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise _Broken("it ends too early, or its head is too long")
