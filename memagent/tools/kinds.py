"""What a Python type is in JSON: the schema that a model reads, and the way from its JSON back to a value of the type.

Lenient where a slip of the model has one meaning ("3" for 3, one string for a list of strings), strict where it has
none; what is refused is said so that the model can mend it. Here are the simple types and those made of others; classes
with named parts are in records.py. Knows nothing of functions or tools.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any

from memagent.messages import storable


class Unsupported(TypeError):
    """The type can't be that of a function's parameter; says why."""


class Misfit(Exception):
    """JSON that is not of the type: pairs of where in it, and what is wrong there ("must be a string, not 5")."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__(problems)
        self.problems = problems

    def within(self, step: str) -> Misfit:
        """The same, seen from one level further out."""
        return Misfit(*((step + ("" if path[:1] in ("", "[") else ".") + path, said) for path, said in self.problems))


@dataclass(frozen=True)
class Kind:
    """A type. `read` makes a value of it from JSON, or raises `Misfit`; `said` names it to the model.

    `native` are the types of parsed JSON that it takes as they are; `nullable` says that null is a value of it (which
    `schema` leaves out, and `full` has).
    """

    schema: dict[str, Any]
    said: str
    read: Callable[[Any], Any]
    native: tuple[type, ...] = ()
    nullable: bool = False

    @property
    def full(self) -> dict[str, Any]:
        """The schema, null included."""
        if not self.nullable or self.schema in ({}, NULL.schema):
            return self.schema
        return {"anyOf": [*self.schema.get("anyOf", [self.schema]), NULL.schema]}


def wrong(said: str, value: Any) -> Misfit:
    """What is said of a value that is not of the kind."""
    if isinstance(value, list | dict):
        return Misfit(("", f"must be {said}, not {'a list' if isinstance(value, list) else 'an object'}"))
    shown = json.dumps(short(value) if isinstance(value, str) else value, ensure_ascii=False)
    return Misfit(("", f"must be {said}, not {short(shown)}"))


def short(text: str, most: int = 60) -> str:
    """The beginning of a text."""
    return text if len(text) <= most else text[:most] + "…"


def loads(text: str) -> Any:
    """What JSON text means. NaN, and a key with two different values, are refused with a `ValueError` that says so."""
    return _DECODER.decode(text)


def parsed(value: Any, opening: str) -> Any:
    """A list or object that the model wrote as a string with JSON in it; anything else as it is."""
    if isinstance(value, str) and value.lstrip().startswith(opening):
        try:
            return loads(value.strip())
        except ValueError:
            return value
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    for key, value in pairs if len(found) < len(pairs) else ():
        if found[key] != value:
            raise ValueError(f"{short(key)!r} is given twice, with different values")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number that JSON has")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


def as_json(value: Any) -> Any:
    """A simple Python value as the JSON that would be read as it; None for what has none."""
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str | int | float | bool) else value.name
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool) else None


# Simple types ---------------------------------------------------------------------------------------------------------


def _read_text(value: Any) -> str:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise wrong(TEXT.said, value)


def _read_int(value: Any) -> int:
    number = _number(value, int) if isinstance(value, str) else value
    if isinstance(number, float) and number.is_integer():
        return int(number)
    if isinstance(number, int) and not isinstance(number, bool):
        return number
    raise wrong("a whole number", value)


def _read_float(value: Any) -> float:
    number = _number(value, float) if isinstance(value, str | int) and not isinstance(value, bool) else value
    if isinstance(number, float) and math.isfinite(number):
        return number
    raise wrong("a number", value)


def _number(value: str | int, as_type: type[int] | type[float]) -> Any:
    """A number that is written as text, as it is meant; what is none comes back as it was."""
    for make in (as_type, float):
        try:
            return make(value)
        except (ValueError, OverflowError):
            continue
    return value


def _read_bool(value: Any) -> bool:
    said = value.strip().lower() if isinstance(value, str) else value
    if isinstance(said, str | int | float):
        if said in (True, "true", "yes", "on", "1"):
            return True
        if said in (False, "false", "no", "off", "0"):
            return False
    raise wrong("true or false", value)


def _read_null(value: Any) -> None:
    if value is not None and not (isinstance(value, str) and value.strip().lower() in ("null", "none", "")):
        raise wrong("null", value)


def _read_date(value: Any) -> date:
    try:
        return date.fromisoformat(value.strip())
    except (ValueError, AttributeError):
        raise wrong("a date like 2026-05-31", value) from None


def _read_datetime(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(value.strip())
    except (ValueError, AttributeError):
        raise wrong("a date and time like 2026-05-31T18:30:00", value) from None


NULL = Kind({"type": "null"}, "null", _read_null, (type(None),), nullable=True)
ANYTHING = Kind({}, "anything", lambda value: value, nullable=True)
TEXT = Kind({"type": "string"}, "a string", _read_text, (str,))
SIMPLE: dict[Any, Kind] = {
    str: TEXT,
    int: Kind({"type": "integer"}, "a whole number", _read_int, (int,)),
    float: Kind({"type": "number"}, "a number", _read_float, (float, int)),
    bool: Kind({"type": "boolean"}, "true or false", _read_bool, (bool,)),
    date: Kind({"type": "string", "format": "date"}, "a date like 2026-05-31", _read_date, (str,)),
    datetime: Kind({"type": "string", "format": "date-time"}, "a date and time", _read_datetime, (str,)),
    type(None): NULL,
    Any: ANYTHING,
    object: ANYTHING,
}


# Types made of others -------------------------------------------------------------------------------------------------


def union_of(members: Sequence[Kind]) -> Kind:
    """Any of these, whichever fits best."""
    said = " or ".join(kind.said for kind in members)

    def read(value: Any) -> Any:
        native = sorted((k for k in members if type(value) in k.native), key=lambda k: k.native.index(type(value)))
        failure = wrong(said, value)
        for kind in [*native, *(kind for kind in members if kind not in native)]:
            try:
                return kind.read(value)
            except Misfit as misfit:
                if native == [kind]:
                    failure = misfit
        raise failure

    schema = any_of([kind.schema for kind in members if kind is not NULL])
    native = tuple({of for kind in members for of in kind.native})
    return Kind(schema, said, read, native, any(kind.nullable for kind in members))


def any_of(schemas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One schema for several, each of them once."""
    each: list[dict[str, Any]] = []
    for schema in schemas:
        each += [one for one in schema.get("anyOf", [schema]) if one not in each]
    if {} in each:
        return {}
    return each[0] if len(each) == 1 else {"anyOf": each}


def choice_of(values: Sequence[Any], type_name: str) -> Kind:
    """One of a few values, each known by its JSON, and an enum's members by their names too."""
    options = [(as_json(value), value.name if isinstance(value, Enum) else "", value) for value in values]
    shown = [option for option, _, value in options if value is not None]
    if not shown or None in shown:
        raise Unsupported(f"{type_name} has values that can't be written as JSON")
    said = "one of " + ", ".join(json.dumps(option, ensure_ascii=False) for option in shown[:20])
    said += f" … ({len(shown)} in all)" if len(shown) > 20 else ""

    def read(value: Any) -> Any:
        for option, _, meant in options:
            if option == value and type(option) is type(value):
                return meant
        text = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
        for same in (str, str.casefold):
            fits = [meant for option, name, meant in options if same(text) in (same(name), same(str(option)))]
            if len(fits) == 1 and text:
                return fits[0]
        raise wrong(said, value)

    schema: dict[str, Any] = {"enum": shown}
    if len(kinds := {type(option) for option in shown}) == 1:
        schema = {**SIMPLE[kinds.pop()].schema, **schema}
    native = tuple({type(option) for option, _, _ in options})
    return Kind(schema, said, read, native, nullable=len(shown) < len(options))


def list_of(item: Kind, build: Callable[[list[Any]], Any]) -> Kind:
    """A list, or what is built from one: a set, a tuple of any length."""
    said = "a list" if item is ANYTHING else f"a list, each {item.said}"

    def read(value: Any) -> Any:
        items = parsed(value, "[")
        if items is None:
            raise wrong(said, value)
        try:
            if isinstance(items, list):
                return build(read_items([item] * len(items), items))
            return build([item.read(items)])  # one thing stands for a list of one
        except TypeError:  # a set of what can't be in a set
            raise wrong(said, value) from None
        except Misfit:
            if isinstance(items, list):
                raise
            raise wrong(said, value) from None

    return Kind({"type": "array", "items": item.full}, said, read, (list,))


def tuple_of(items: Sequence[Kind]) -> Kind:
    """A tuple of so many values."""
    said = f"a list of {len(items)}: {', '.join(item.said for item in items)}"

    def read(value: Any) -> tuple[Any, ...]:
        values = parsed(value, "[")
        if not isinstance(values, list) or len(values) != len(items):
            raise wrong(said, value)
        return tuple(read_items(items, values))

    schema = {"type": "array", "items": any_of([item.full for item in items])}
    return Kind({**schema, "minItems": len(items), "maxItems": len(items)}, said, read, (list,))


def dict_of(key: Kind, item: Kind, type_name: str) -> Kind:
    """An object with any keys, all values of one kind."""
    if not key.native or not set(key.native) <= {str, int, float, bool}:
        raise Unsupported(f"the keys of {type_name} can't be written in JSON")
    said = "an object" if item is ANYTHING else f"an object, each value {item.said}"

    def read(value: Any) -> dict[Any, Any]:
        pairs = parsed(value, "{")
        if not isinstance(pairs, dict):
            raise wrong(said, value)
        places = [f"[{json.dumps(short(name), ensure_ascii=False)}]" for name in pairs]
        keys = read_items([key] * len(pairs), list(pairs), places)
        result = dict(zip(keys, read_items([item] * len(pairs), list(pairs.values()), places), strict=True))
        if len(result) < len(pairs):
            raise Misfit(("", "has the same key twice"))
        return result

    schema = {"type": "object"} if item is ANYTHING else {"type": "object", "additionalProperties": item.full}
    return Kind(schema, said, read, (dict,))


def read_items(kinds: Sequence[Kind], values: Sequence[Any], places: Sequence[str] = ()) -> list[Any]:
    """Every value by its kind; all that is wrong with them is told at once."""
    read: list[Any] = []
    problems: list[tuple[str, str]] = []
    for index, (kind, value) in enumerate(zip(kinds, values, strict=True)):
        try:
            read.append(kind.read(value))
        except Misfit as misfit:
            problems += misfit.within(places[index] if places else f"[{index}]").problems
    if problems:
        raise Misfit(*problems)
    return read
