"""From the schemas of functions to what a model may write: as a grammar in GBNF, or as one JSON Schema.

The JSON that a grammar lets through is spaced as `json.dumps` does it, since models run away in free space; an object's
parts come in the order of the schema. What a grammar can't say is left to whoever reads the arguments: `pattern`,
`uniqueItems`, `multipleOf`, `not`, most limits of numbers, leap years, keys given twice. Such a keyword is passed over,
so the grammar lets through more, never less, but for numbers beyond 20 digits or 1e308. An object with `properties` has
no others unless `additionalProperties` says so. Knows nothing of how functions are called, or of any server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memagent.llm import Schema
from memagent.llm.gbnf import Grammar, Part
from memagent.llm.json_rules import JsonRules, at

_DATA = ("default", "const", "enum", "required", "examples")
_DEFINED = ("$defs", "definitions")
_NAMED = ("properties", "patternProperties", "dependentSchemas")


def gbnf(schema: Schema, *, order: Sequence[str] = (), longest_string: int | None = None) -> str:
    """The whole grammar of one JSON value, as text."""
    grammar = Grammar()
    return grammar.text(value_of(grammar, schema, "value", order=order, longest_string=longest_string))


def value_of(
    grammar: Grammar, schema: Schema, name: str, *, order: Sequence[str] = (), longest_string: int | None = None
) -> Part:
    """Adds the rules of one JSON value to a grammar; returns what refers to it.

    `order` names parts of the object that come first; `longest_string` is the most characters of any string.
    """
    return JsonRules(grammar, schema, longest_string).value(schema, name, order=order)


def calls_schema(
    tools: Sequence[Schema],
    name_key: str = "name",
    arguments_key: str = "arguments",
    *,
    first: Mapping[str, Schema] | None = None,
    last: Mapping[str, Schema] | None = None,
) -> dict[str, Any]:
    """The JSON Schema of one call of one of these tools.

    `first` are required parts before the name, such as thoughts; `last` come after the arguments, such as a heartbeat.
    """
    calls = []
    shared: dict[str, Any] = {}
    for tool in tools:
        arguments = _hoisted(tool["parameters"], tool["name"], shared)
        properties = {**(first or {}), name_key: {"const": tool["name"]}, arguments_key: arguments, **(last or {})}
        calls.append(
            {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
        )
    return {"anyOf": calls, **({"$defs": shared} if shared else {})}


def _hoisted(schema: Schema, name: str, shared: dict[str, Any]) -> Any:
    """A tool's parameters as a part of a larger schema; what they refer to is put among what is shared there."""
    keys: dict[str, str] = {}

    def moved(pointer: str) -> str:
        if pointer not in keys:
            short = re.sub(r"^#/(\$defs|definitions)/|#", "-", pointer)
            key = name + re.sub("[^A-Za-z0-9_-]", "-", short)
            while key in shared:
                key += "-"
            keys[pointer], shared[key] = key, {}  # known before it is made, as it may refer to itself
            shared[key] = _rewritten(at(schema, pointer), moved)
        return f"#/$defs/{keys[pointer]}"

    arguments = _rewritten(schema, moved)
    if "properties" in arguments:
        arguments.setdefault("additionalProperties", False)
    return arguments


def _rewritten(schema: Any, moved: Callable[[str], str]) -> Any:
    """The schema without its definitions, all references changed; what is data in it stays as it is."""
    if isinstance(schema, list):
        return [_rewritten(item, moved) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str):
            result[key] = moved(value)
        elif key in _DATA:
            result[key] = value
        elif key in _NAMED and isinstance(value, Mapping):
            result[key] = {part: _rewritten(of, moved) for part, of in value.items()}
        elif key not in _DEFINED:
            result[key] = _rewritten(value, moved)
    return result
