"""The rules of a grammar for the JSON values of a schema. `grammars.py` is the door to it.

Every keyword that is passed over, and whatever is nested too deeply or refers to itself in a circle, lets through more.
Knows nothing of functions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from memagent.llm import Schema
from memagent.llm.gbnf import NOTHING, ONE, SEQUENCE, Grammar, Part, chars, either, literal, optional, sequence

DEEPEST = 64
"""What is inside more objects and lists than this may be anything."""

MOST_STEPS = 20_000
"""References can be woven so that following them all takes for ever; from here on, anything is let through."""

DIGITS = 20
"""Of a whole number, and of each side of the point; a model that can't stop would write thousands."""

FEW_NUMBERS = 100
"""So many whole numbers between two limits are listed one by one."""

_HEEDED = {
    *("$ref", "allOf", "type", "enum", "const", "format", "minLength", "maxLength"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("items", "prefixItems", "additionalItems", "minItems", "maxItems"),
    *("properties", "required", "additionalProperties", "patternProperties", "propertyNames"),
    *("minProperties", "maxProperties"),
}
_UNION = ("anyOf", "oneOf")
_COMMA = literal(", ")
_QUOTE = literal('"')
_HEX = chars("0-9a-fA-F")


class JsonRules:
    """Adds rules to a grammar for values of one schema, or of its parts; references are looked up in the whole."""

    def __init__(self, grammar: Grammar, root: Schema, longest_string: int | None = None) -> None:
        self._grammar = grammar
        self._root = root
        self._longest = longest_string
        self._steps = 0

    def value(self, schema: Any, name: str, depth: int = 0, order: Sequence[str] = ()) -> Part:
        """What refers to the rule of a value; `order` names the parts of an object that come first."""
        if depth > DEEPEST or not isinstance(schema, Mapping):
            return self._anything()
        if _beside(schema):  # it may be a part of itself
            key = (self, json.dumps(schema, default=repr))
            return self._grammar.once(key, name, lambda: self._any_of(schema, name, depth, order))
        one = self._any_of(schema, name, depth, order)
        return one if one.binds == ONE else self._grammar.add(name, one)

    def _any_of(self, schema: Schema, name: str, depth: int, order: Sequence[str]) -> Part:
        return either(*(self._one(option, name, depth, order) for option in self._options(schema)))

    # Schemas ----------------------------------------------------------------------------------------------------------

    def _options(self, schema: Any, level: int = 0) -> list[Schema]:
        """The schemas of which a value must meet one. None of them has alternatives, unless it is a reference."""
        self._steps += 1
        if level > DEEPEST or self._steps > MOST_STEPS or not isinstance(schema, Mapping):
            return [{}]
        own = {key: value for key, value in schema.items() if key in _HEEDED}
        unions = [_list(schema, word) for word in _UNION if _list(schema, word)]
        if unions:
            found = [option for member in unions[0] for option in self._options(self._both(own, member), level + 1)]
        elif "allOf" in own or ("$ref" in own and len(own) > 1):
            found = self._options(self._merged(own, set()), level + 1)
        elif types := _list(own, "type"):
            found = [{**own, "type": one} for one in types]
        else:
            found = [own]
        return [*found, {"type": "null"}] if schema.get("nullable") is True else found

    def _both(self, own: Schema, member: Any) -> Schema:
        """What meets both; only a bare reference stays one."""
        if not isinstance(member, Mapping):
            return own
        return _both(own, self._merged(member, set())) if own else member

    def _merged(self, schema: Any, seen: set[str], level: int = 0) -> Schema:
        """One schema out of what is referred to and joined by `allOf`, each reference once."""
        if level > DEEPEST or not isinstance(schema, Mapping):
            return {}
        result: Schema = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        pointer = schema.get("$ref")
        if isinstance(pointer, str) and pointer not in seen and not self._circular(pointer):
            seen.add(pointer)
            result = _both(self._merged(at(self._root, pointer), seen, level + 1), result)
        for member in _list(schema, "allOf"):
            result = _both(result, self._merged(member, seen, level + 1))
        return result

    def _circular(self, pointer: str) -> bool:
        """A reference that comes back to itself before anything is written says nothing, and no grammar may have it."""
        met: set[str] = set()
        todo = _beside(at(self._root, pointer))
        while todo:
            met.add(step := todo.pop())
            todo |= _beside(at(self._root, step)) - met
        return pointer in met

    # Values -----------------------------------------------------------------------------------------------------------

    def _one(self, schema: Schema, name: str, depth: int, order: Sequence[str]) -> Part:
        """A value of a schema without alternatives."""
        pointer = schema.get("$ref")
        if isinstance(pointer, str):
            return self._referred(pointer, depth)
        if "const" in schema:
            return either(*_spelled(schema["const"]))
        if values := _list(schema, "enum"):
            return either(*(part for value in values for part in _spelled(value)))
        match schema.get("type", _guessed(schema)):
            case "string":
                return self._string(schema, name)
            case "integer":
                return self._integer(schema)
            case "number":
                return self._number(schema)
            case "boolean":
                return self._grammar.add("boolean", either(literal("true"), literal("false")))
            case "null":
                return literal("null")
            case "array":
                return self._array(schema, name, depth + 1)
            case "object":
                return self._object(schema, name, depth + 1, order)
            case _:
                return self._anything()

    def _referred(self, pointer: str, depth: int) -> Part:
        if self._circular(pointer):
            return self._anything()
        name = pointer.rpartition("/")[2]
        return self._grammar.once((self, pointer), name, lambda: self.value(at(self._root, pointer), name, depth + 1))

    def _anything(self) -> Part:
        """Any JSON value."""

        def build() -> Part:
            kinds: list[Schema] = [
                {"type": kind} for kind in ("object", "array", "string", "number", "boolean", "null")
            ]
            return either(*(self._grammar.add(str(kind["type"]), self._one(kind, "any", 0, ())) for kind in kinds))

        return self._grammar.once(("any", self._longest), "any", build)

    def _string(self, schema: Schema, name: str) -> Part:
        form = str(schema.get("format"))
        if form in _DATES:
            return self._grammar.add(form, sequence(_QUOTE, _DATES[form], _QUOTE))
        least, most = _count(schema, "minLength") or 0, _count(schema, "maxLength")
        if self._longest is not None:
            most = self._longest if most is None else min(most, self._longest)
        most = None if most is None else max(least, most)
        text = self._grammar.repeated(self._char(), least, most, "char")
        return self._grammar.add(
            "string" if (least, most) == (0, self._longest) else name, sequence(_QUOTE, text, _QUOTE)
        )

    def _char(self) -> Part:
        add = self._grammar.add
        low = sequence(literal("\\u"), chars("dD"), chars("c-fC-F"), _HEX, _HEX)
        unit = either(
            sequence(chars("0-9a-cA-Ce-fE-F"), _HEX, _HEX, _HEX),
            sequence(chars("dD"), chars("0-7"), _HEX, _HEX),
            sequence(chars("dD"), chars("89abAB"), _HEX, _HEX, add("low-surrogate", low)),
        )
        escape = either(chars('"\\\\/bfnrt'), sequence(literal("u"), add("unit", unit)))
        plain = chars("\\x20-\\x21\\x23-\\x5B\\x5D-\\uD7FF\\uE000-\\U0010FFFF")
        return add("char", either(plain, sequence(literal("\\"), add("escape", escape))))

    def _integer(self, schema: Schema) -> Part:
        low, high = _limits(schema)
        if low is not None and high is not None:
            if 0 <= high - low < FEW_NUMBERS:
                return either(*(literal(str(number)) for number in range(low, high + 1)))
            digits = len(str(max(abs(low), abs(high))))
        else:
            digits = max(DIGITS, *(len(str(abs(limit))) for limit in (low, high) if limit is not None), 0)
        sign = NOTHING if low is not None and low >= 0 else optional(literal("-"))
        more = self._grammar.repeated(chars("0-9"), 0, digits - 1)
        return self._grammar.add("integer", sequence(sign, either(literal("0"), sequence(chars("1-9"), more))))

    def _number(self, schema: Schema) -> Part:
        """A number that Python's float can hold."""
        add, digit = self._grammar.add, chars("0-9")
        low = [schema[word] for word in ("minimum", "exclusiveMinimum") if _is_number(schema.get(word))]
        sign = NOTHING if low and max(low) >= 0 else optional(literal("-"))
        whole = either(literal("0"), sequence(chars("1-9"), self._grammar.repeated(digit, 0, DIGITS - 1)))
        fraction = add("fraction", sequence(literal("."), self._grammar.repeated(digit, 1, DIGITS)))
        small = either(
            sequence(literal("-"), self._grammar.repeated(digit, 1, 3)),
            sequence(optional(literal("+")), self._grammar.repeated(digit, 1, 2)),
        )
        large = either(sequence(chars("12"), digit, digit), sequence(literal("30"), chars("0-7")))
        return add(
            "number",
            either(
                sequence(sign, whole, optional(fraction), optional(sequence(chars("eE"), small))),
                sequence(sign, digit, optional(fraction), chars("eE"), optional(literal("+")), large),
            ),
        )

    # Values made of others --------------------------------------------------------------------------------------------

    def _array(self, schema: Schema, name: str, depth: int) -> Part:
        firsts, rest = _list(schema, "prefixItems"), schema.get("items", True)
        if isinstance(rest, list):  # how older schemas say it
            firsts, rest = rest, schema.get("additionalItems", True)
        item = None if rest is False else self.value(rest, f"{name}-item", depth)
        parts = [self.value(first, f"{name}-{place}", depth) for place, first in enumerate(firsts, 1)]
        least, most = _count(schema, "minItems") or 0, _count(schema, "maxItems")
        return sequence(literal("["), self._several(parts, item, least, most, name), literal("]"))

    def _several(self, firsts: list[Part], item: Part | None, least: int, most: int | None, name: str) -> Part:
        """Parts with commas between them: these, then any number of items."""
        firsts = (firsts or ([] if item is None else [item]))[:most]
        rest = NOTHING
        if item is not None and most != len(firsts):
            more = None if most is None else most - len(firsts)
            rest = self._grammar.repeated(sequence(_COMMA, item), max(least - len(firsts), 0), more, f"{name}-more")
        for place in reversed(range(len(firsts))):
            rest = sequence(_COMMA if place else NOTHING, firsts[place], rest)
            rest = rest if place < least else optional(rest)
        return rest

    def _object(self, schema: Schema, name: str, depth: int, order: Sequence[str]) -> Part:
        properties = _named(schema, "properties")
        required = [key for key in _list(schema, "required") if isinstance(key, str)]
        extra = self._extra(schema, name, depth)
        if not properties and (extra is not None or not required):
            least, most = _count(schema, "minProperties") or 0, _count(schema, "maxProperties")
            return sequence(literal("{"), self._several([], extra, least, most, name), literal("}"))
        known = {key: {} for key in required} | properties
        names = dict.fromkeys([*(key for key in order if key in known), *properties, *known])
        pairs = [
            (sequence(either(*_spelled(key, ": ")), self.value(known[key], key, depth)), key in required)
            for key in names
        ]
        return sequence(literal("{"), self._pairs(pairs, extra, name), literal("}"))

    def _pairs(self, pairs: list[tuple[Part, bool]], extra: Part | None, name: str) -> Part:
        """Named parts in their order, of which some may be left out, then any others; as long as there are parts."""
        others = NOTHING
        if extra is not None:
            others = self._grammar.repeated(sequence(_COMMA, extra), 0, None, f"{name}-more")
        first = next((place for place, (_, required) in enumerate(pairs) if required), None)
        if first is not None:
            before = [optional(sequence(pair, _COMMA)) for pair, _ in pairs[:first]]
            after = [_needed(sequence(_COMMA, pair), required) for pair, required in pairs[first + 1 :]]
            return sequence(*before, pairs[first][0], *after, others)
        starts = [] if extra is None else [sequence(extra, others)]
        rest = others
        for place, (pair, _) in reversed([*enumerate(pairs)]):
            starts.append(sequence(pair, rest))
            if place:
                rest = self._grammar.add(f"{name}-rest", sequence(optional(sequence(_COMMA, pair)), rest))
        return optional(either(*reversed(starts)))

    def _extra(self, schema: Schema, name: str, depth: int) -> Part | None:
        """A part of an object beyond those that are named; None where there may be none."""
        patterns = _named(schema, "patternProperties")
        value = schema.get("additionalProperties", "properties" not in schema and not patterns)
        values = [*patterns.values(), *([] if value is False else [value])]
        if not values:
            return None
        said = self._merged(schema.get("propertyNames"), set())
        names = {word: said[word] for word in ("minLength", "maxLength", "format", "enum", "const") if word in said}
        key = self._one({**names, "type": "string"}, f"{name}-key", depth, ())
        item = self.value(values[0] if len(values) == 1 else {"anyOf": values}, f"{name}-value", depth)
        return self._grammar.add(f"{name}-pair", sequence(key, literal(": "), item))


def _needed(part: Part, required: bool) -> Part:
    return part if required else optional(part)


def _guessed(schema: Schema) -> str:
    """What a schema without a type is about."""
    if "properties" in schema or "additionalProperties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _limits(schema: Schema) -> tuple[int | None, int | None]:
    """The least and the greatest whole number."""
    lows = [math.ceil(schema["minimum"])] if _is_number(schema.get("minimum")) else []
    lows += [math.floor(schema["exclusiveMinimum"]) + 1] if _is_number(schema.get("exclusiveMinimum")) else []
    highs = [math.floor(schema["maximum"])] if _is_number(schema.get("maximum")) else []
    highs += [math.ceil(schema["exclusiveMaximum"]) - 1] if _is_number(schema.get("exclusiveMaximum")) else []
    return max(lows, default=None), min(highs, default=None)


def at(root: Any, pointer: str) -> Any:
    """What a reference refers to; anything at all, when that is not within this schema."""
    place = root
    for step in unquote(pointer.removeprefix("#")).split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(place, Mapping) and step in place:
            place = place[step]
        elif isinstance(place, list) and step.isdecimal() and int(step) < len(place):
            place = place[int(step)]
        else:
            return {}
    return place if pointer.startswith("#") else {}


def _beside(schema: Any) -> set[str]:
    """The references that stand for the schema itself, not for a part of it."""
    found: set[str] = set()
    todo = [schema]
    while todo:
        one = todo.pop()
        if isinstance(one, Mapping):
            found |= {one["$ref"]} if isinstance(one.get("$ref"), str) else set()
            todo += [member for word in (*_UNION, "allOf") for member in _list(one, word)]
    return found


def _list(schema: Schema, word: str) -> list[Any]:
    value = schema.get(word)
    return value if isinstance(value, list) else []


def _named(schema: Schema, word: str) -> dict[str, Any]:
    value = schema.get(word)
    return dict(value) if isinstance(value, Mapping) else {}


def _count(schema: Schema, word: str) -> int | None:
    value = schema.get(word)
    return int(value) if isinstance(value, int | float) and 0 <= value < float("inf") else None


def _both(one: Schema, other: Schema) -> dict[str, Any]:
    """A schema that lets through at least what meets both."""
    merged = {**one, **other}
    if isinstance(one.get("properties"), Mapping) and isinstance(other.get("properties"), Mapping):
        merged["properties"] = {**one["properties"], **other["properties"]}
    if required := [*_list(one, "required"), *_list(other, "required")]:
        merged["required"] = required
    return merged


# Rules for JSON -------------------------------------------------------------------------------------------------------


def _spelled(value: Any, end: str = "") -> list[Part]:
    """A value as JSON, with and without escapes for what is not ASCII."""
    texts = (json.dumps(value, ensure_ascii=ascii) for ascii in (False, True))
    return [literal(text + end) for text in dict.fromkeys(texts) if text == text.encode("utf-8", "replace").decode()]


def _dates() -> dict[str, Part]:
    """Dates and times as RFC 3339 writes them, and without a zone; any year may have a 29 February."""
    digit = chars("0-9")
    to_29 = either(sequence(literal("0"), chars("1-9")), sequence(chars("12"), digit))
    to_30, to_31 = either(to_29, literal("30")), either(to_29, sequence(literal("3"), chars("01")))
    long = either(sequence(literal("0"), chars("13578")), sequence(literal("1"), chars("02")))
    short = either(sequence(literal("0"), chars("469")), literal("11"))
    months = ((long, to_31), (short, to_30), (literal("02"), to_29))
    day = either(*(sequence(month, literal("-"), days) for month, days in months))
    date = sequence(digit, digit, digit, digit, literal("-"), day)
    hour = either(sequence(chars("01"), digit), sequence(literal("2"), chars("0-3")))
    minute = sequence(literal(":"), chars("0-5"), digit)
    second = sequence(minute, optional(sequence(literal("."), Part("[0-9]{1,6}", SEQUENCE))))
    zone = either(chars("Zz"), sequence(chars("+\\-"), hour, minute, optional(second)))
    time = sequence(chars("Tt "), hour, minute, optional(second), optional(zone))
    return {"date": date, "date-time": sequence(date, optional(time))}


_DATES = _dates()
