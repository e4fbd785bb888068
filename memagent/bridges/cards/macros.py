"""Macros in cards, such as {{char}}: replaced by text in one pass, and never run. What is not known stays as it is.

What a macro becomes is not looked at again, so no name or text can bring in another. Knows nothing of cards.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

LARGEST_DIE = 10**9

_MACRO = re.compile(r"\{\{([^{}]*)\}\}|<(USER|BOT|CHAR)>", re.IGNORECASE)
_CALL = re.compile(r"\s*(?:(//)|([a-z_]+)\s*(:?))(.*)", re.IGNORECASE | re.DOTALL)
_COMMA = re.compile(r"(?<!\\),")


@dataclass(frozen=True)
class Cast:
    """Who plays: the character's name and the user's. `chance` decides what is left to it."""

    char: str
    user: str
    chance: Random = field(default_factory=random.SystemRandom, compare=False)


def filled(text: str, cast: Cast, original: str | None = None) -> str:
    """The text with its macros replaced. `original` is what {{original}} stands for, where it means something."""
    known = {"char": cast.char, "user": cast.user, "bot": cast.char}
    if original is not None:
        known["original"] = original

    whole = zlib.crc32(text.encode("utf-8", "replace")) if "pick" in text.lower() else 0

    def replaced(match: re.Match[str]) -> str:
        if match[2]:
            return cast.user if match[2].lower() == "user" else cast.char
        name, given = _called(match[1])
        if given is None:
            return known.get(name, match[0])
        made = _WITH_TEXT[name](given, cast, whole) if name in _WITH_TEXT else None
        return match[0] if made is None else made

    return _MACRO.sub(replaced, text)


def hidden_keys(text: str) -> str:
    """What stands in {{hidden_key:…}}: never shown, but it may call other entries to mind."""
    calls = (_called(match[1] or "") for match in _MACRO.finditer(text))
    return "\n".join(given.strip() for name, given in calls if name == "hidden_key" and given)


def names_user(*texts: str) -> bool:
    """Whether texts speak of the user by a macro."""
    return any(re.search(r"\{\{\s*user\s*\}\}|<USER>", text, re.IGNORECASE) for text in texts)


def _called(inside: str) -> tuple[str, str | None]:
    """The name of a macro in small letters, and what it is given, if anything."""
    call = _CALL.fullmatch(inside)
    if call is None or not (call[1] or call[3] or not call[4].strip()):
        return "", None
    return (call[1] or call[2]).lower(), call[4] if call[1] or call[3] else None


def _choices(given: str) -> list[str]:
    """What there is to choose from: A,B,C with \\, for a comma; or ::A::B::C."""
    if given.startswith(":"):
        return given[1:].split("::")
    return [choice.replace("\\,", ",").strip() for choice in _COMMA.split(given)]


def _random(given: str, cast: Cast, _: int) -> str:
    return cast.chance.choice(_choices(given))


def _pick(given: str, _: Cast, whole: int) -> str:
    """The same choice whenever it stands in the same text, of which `whole` is the sum."""
    choices = _choices(given)
    return choices[zlib.crc32(given.encode("utf-8", "replace"), whole) % len(choices)]


def _roll(given: str, cast: Cast, _: int) -> str | None:
    sides = re.fullmatch(r"\s*d?(\d{1,10})\s*", given, re.IGNORECASE | re.ASCII)
    if sides is None or not 1 <= int(sides[1]) <= LARGEST_DIE:
        return None
    return str(cast.chance.randint(1, int(sides[1])))


def _nothing(_given: str, _cast: Cast, _whole: int) -> str:
    return ""


_WITH_TEXT: Mapping[str, Callable[[str, Cast, int], str | None]] = {
    "random": _random,
    "pick": _pick,
    "roll": _roll,
    "reverse": lambda given, _cast, _whole: given[::-1],
    "//": _nothing,
    "comment": _nothing,
    "hidden_key": _nothing,
}
