"""Bytes as text, whatever wrote them: UTF-8, UTF-16 and UTF-32 with their marks or without, else Windows-1252.

Knows nothing of files.
"""

from __future__ import annotations

import codecs
import re

from memagent.sources import Unreadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is how this one begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
HEAD = 8192
"""So many bytes of the beginning tell in which way a text is written."""

_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\b\x1b")) + b"\x7f"
_NEWLINES = re.compile("\r\n?")


def encoding_of(head: bytes) -> tuple[str, int]:
    """How a text is encoded of which this is the beginning, and how many bytes its mark has. "" when only the whole
    can tell UTF-8 from Windows-1252; raises `Unreadable` when it is no text.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    head = head[:HEAD]
    if 4 * head.count(0) > len(head) > 3:  # every other byte of most languages' UTF-16 is one
        even, odd = head[::2].count(0), head[1::2].count(0)
        if min(even, odd) * 20 < max(even, odd) and (utf16 := "utf-16-le" if odd > even else "utf-16-be"):
            return utf16, 0
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls > 1 and 20 * controls > len(head):
        raise Unreadable("is not text")
    return "", 0


def text_of(data: bytes, encoding: str = "") -> str:
    """The text that these bytes are, with "\\n" at the ends of its lines."""
    if not encoding:
        encoding, mark = encoding_of(data)
        data = data[mark:]
    text = data.decode(encoding, "replace") if encoding else _guessed(data)
    return _NEWLINES.sub("\n", text) if "\r" in text else text


def encoding_named(charset: str) -> str:
    """The encoding that a page or a letter names; "" when there is no such one, or none that a text is written in."""
    try:
        encoding = codecs.lookup(charset).name if charset else "utf-8"
        b"a".decode(encoding)
    except (LookupError, UnicodeError):  # Python has some that make bytes of bytes, and one that always fails
        return ""
    if encoding in ("utf-8", "punycode", "idna"):
        return ""
    return "cp1252" if encoding in ("iso8859-1", "ascii") else encoding  # what browsers take for it


def _guessed(data: bytes) -> str:
    """UTF-8 if it is that, also with a few broken letters; else Windows-1252, as most other texts of the West are."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    sound = len(text) - broken - len(text.encode("ascii", "ignore"))
    if sound > 4 * broken:
        return text
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:  # five bytes mean nothing there
        return data.decode("latin-1")
