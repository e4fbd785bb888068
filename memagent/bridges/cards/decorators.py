"""Decorators: lines at the beginning of an entry of a lore book that say when it is called to mind, such as
`@@scan_depth 4`.

Knows nothing of what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

Given = Mapping[str, tuple[str, ...]]
MOST_FALLBACKS = 20

_LINE = re.compile(r"(@{2,3})([a-z_0-9]+)(?![^ \t\r\n])([^\n]*)(?:\n|$)", re.ASCII | re.IGNORECASE)


def parted(content: str, known: Collection[str] = ()) -> tuple[Given, str]:
    """The decorators that are `known`, with their values, and the content without any of them.

    One that is not known is ignored, unless one of those that are given for that case (with three @) is known.
    """
    found: dict[str, list[str]] = {}
    at, taken, fallbacks = 0, False, 0
    while match := _LINE.match(content, _text_begins(content, at)):
        mark, name, value = match[1], match[2].lower(), match[3].strip()
        fallbacks = fallbacks + 1 if mark == "@@@" else 0
        if mark == "@@" or (not taken and fallbacks <= MOST_FALLBACKS):
            taken = name in known
            if taken:
                found.setdefault(name, []).append(value)
        at = match.end()
    return {name: tuple(values) for name, values in found.items()}, content[at:].strip("\r\n") if at else content


def _text_begins(content: str, at: int) -> int:
    """Where the next line with something on it begins."""
    while at < len(content) and content[at] in " \t\r\n":
        at += 1
    return at
