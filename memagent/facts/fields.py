"""What a declared kind of memory can hold: each type of a field, how it is read from what a person or a file gives, and
what stands for it in the store.

Every reader says in a `ValueError` what it wants instead. Knows nothing of kinds or of facts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import NoneType, UnionType
from typing import Any, Literal, NewType, Union, get_args, get_origin

from memagent.messages import storable

When = NewType("When", str)
"""A day, month or year, as exact as it is known: 2026-05-31, 2026-05, 2026."""

LONGEST = 100_000
"""Characters that one text of a field may have."""
MOST = 1000
"""Texts that one field may have."""
HOLDS = "str, bool, int, float, date, When, Literal[…], tuple[…, ...] of these, Mapping[str, str], each also … | None"

_WHEN = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII)
_YES = {"yes": True, "true": True, "no": False, "false": False}


@dataclass(frozen=True)
class Form:
    """One type that a field can have: what it `wants`, in words, and how a value of it is read. Those with `many`
    hold several, so that one can be added or taken out.
    """

    wants: str
    read: Callable[[Any], Any]
    many: bool = False


def form_of(hint: Any) -> Form:
    """The form of a type; a `ValueError` says that there is none."""
    if hint in _FORMS:
        return _FORMS[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType) and NoneType in args and len(args) == 2:
        inner = form_of(next(one for one in args if one is not NoneType))
        return Form(f"{inner.wants}, or nothing", lambda given: None if given in (None, "") else inner.read(given))
    if origin is Literal and all(isinstance(one, str) for one in args):
        return Form(f"one of: {', '.join(args)}", lambda given: _one_of(given, args))
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        inner = form_of(args[0])
        if inner.many or NoneType in get_args(args[0]):
            raise ValueError
        return Form(f"a list, parted by ; ({inner.wants} each)", lambda given: _several(given, inner.read), many=True)
    if hint in (Mapping[str, str], dict[str, str]):
        return Form("a list of NAME: TEXT, parted by ;", _by_name, many=True)
    raise ValueError


def plain(value: Any) -> Any:
    """A value as JSON has it; reading that gives the value again."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, tuple) else value


def told(value: Any) -> str:
    """A value as a person reads it; empty when there is nothing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {one}" for name, one in value.items())
    return "; ".join(map(told, value)) if isinstance(value, tuple) else "" if value is None else str(value)


# Readers --------------------------------------------------------------------------------------------------------------


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError("a text")
    text = storable(given).strip()
    if len(text) > LONGEST:
        raise ValueError(f"a text of at most {LONGEST:,} characters")
    return text


def _yes_or_no(given: Any) -> bool:
    if isinstance(given, bool):
        return given
    if isinstance(given, str) and given.strip().lower() in _YES:
        return _YES[given.strip().lower()]
    raise ValueError("yes or no")


def _whole(given: Any) -> int:
    if isinstance(given, str) and re.fullmatch(r"[+-]?\d{1,18}", given.strip(), re.ASCII):
        return int(given)
    if isinstance(given, int) and not isinstance(given, bool) and abs(given) < 10**18:
        return given
    raise ValueError("a whole number")


def _number(given: Any) -> float:
    if isinstance(given, str | int | float) and not isinstance(given, bool):
        try:
            number = float(given)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise ValueError("a number")


def _day(given: Any) -> date:
    if isinstance(given, date):
        return given.date() if isinstance(given, datetime) else given
    try:
        return date.fromisoformat(given.strip())
    except (ValueError, AttributeError):
        raise ValueError("a day, like 2026-05-31") from None


def _when(given: Any) -> When:
    text = _day(given).isoformat() if isinstance(given, date) else given.strip() if isinstance(given, str) else ""
    found = _WHEN.fullmatch(text)
    try:
        if found:
            date(int(found[1]), int(found[2] or 1), int(found[3] or 1))
            return When(text)
    except ValueError:
        pass
    raise ValueError("a day, month or year, like 2026-05-31, 2026-05 or 2026")


def _one_of(given: Any, allowed: tuple[str, ...]) -> str:
    text = given.strip() if isinstance(given, str) else ""
    if text not in allowed:
        raise ValueError(f"one of: {', '.join(allowed)}")
    return text


def _several(given: Any, read: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Some values: from a list, from one in JSON, or from a text that is parted by semicolons."""
    if isinstance(given, str):
        given = _from_json(given, "[", list) or given.split(";")
    if not isinstance(given, list | tuple):
        raise ValueError("a list, parted by ;")
    if len(given) > MOST:
        raise ValueError(f"a list of at most {MOST:,}")
    values = [read(one) for one in given if not (isinstance(one, str) and not one.strip())]
    return tuple(dict.fromkeys(values))


def _by_name(given: Any) -> Mapping[str, str]:
    if isinstance(given, str):
        parts = [part for part in given.split(";") if part.strip()]
        given = _from_json(given, "{", dict) or dict(_parted(part) for part in parts)
    if not isinstance(given, Mapping) or len(given) > MOST:
        raise ValueError("a list of NAME: TEXT, parted by ;")
    read = {_text(name): _text(one) for name, one in given.items()}
    if not all(read):
        raise ValueError("a list of NAME: TEXT, with a name for each")
    return read


def _parted(part: str) -> tuple[str, str]:
    name, colon, text = part.partition(":")
    if not colon:
        raise ValueError("a list of NAME: TEXT, parted by ;")
    return name, text


def _from_json(text: str, begins: str, kind: type) -> Any:
    if not text.lstrip().startswith(begins):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, kind) else None


_FORMS: Mapping[Any, Form] = {
    str: Form("a text", _text),
    bool: Form("yes or no", _yes_or_no),
    int: Form("a whole number", _whole),
    float: Form("a number", _number),
    date: Form("a day, like 2026-05-31", _day),
    When: Form("a day, month or year, like 2026-05", _when),
}
