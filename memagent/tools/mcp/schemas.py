"""JSON Schemas of strangers as memagent's own: what a model is shown of a tool, and how its arguments are read.

References are written out, words that tell a model nothing fall away, and what can't be seen is made visible. A schema
that says what is not known here lets more through: the server checks its arguments itself. Knows nothing of MCP.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from memagent.log import plain_to_see
from memagent.tools.kinds import (
    ANYTHING,
    NULL,
    SIMPLE,
    TEXT,
    Kind,
    Unsupported,
    choice_of,
    dict_of,
    list_of,
    parsed,
    short,
    union_of,
    wrong,
)
from memagent.tools.records import Field, object_schema, read_fields

DEPTHS = (12, 4, 2, 1)
"""What is deeper than the first of these that does may be anything. A schema that is a part of itself has no end."""
MOST_PARTS = 100
LARGEST = 20_000
"""Characters of a schema, references written out."""

_LIMITS = (
    *("minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("multipleOf", "minItems", "maxItems", "uniqueItems"),
)
_TYPES = {"string": TEXT, "integer": SIMPLE[int], "number": SIMPLE[float], "boolean": SIMPLE[bool], "null": NULL}


def visible(text: Any, most: int) -> str:
    """A stranger's text in which nothing is hidden, cut where it is too long."""
    lines = [plain_to_see(line).strip() for line in str(text or "").splitlines()]
    return short("\n".join(lines).strip(), most)


def fields_of(schema: Mapping[str, Any], longest: int) -> dict[str, Field]:
    """The parameters that a schema describes, as deeply as it is not too much; a description is cut at the `longest`.
    Raises `Unsupported` when they can't be those of a function.
    """
    too_much = Unsupported(f"it takes more than a model can be told of: {MOST_PARTS} parts, {LARGEST:,} characters")
    for depth in DEPTHS:
        try:
            fields = _Reader(schema, longest, depth).fields(schema, 0)
        except _TooMuch:
            continue
        if len(json.dumps(object_schema(list(fields.values())))) <= LARGEST:
            return fields
    raise too_much


class _TooMuch(Exception):
    """There are too many parts at this depth."""


class _Reader:
    """Reads one schema; references in it are looked up in the whole."""

    def __init__(self, root: Mapping[str, Any], longest: int, deepest: int) -> None:
        self._root = root
        self._deepest = deepest
        self._longest = longest
        self._parts = 0

    def fields(self, schema: Mapping[str, Any], depth: int) -> dict[str, Field]:
        given = schema.get("properties")
        properties = given if isinstance(given, dict) else {}
        required = schema.get("required")
        needed = required if isinstance(required, list) else []
        self._parts += len(properties)
        if self._parts > MOST_PARTS:
            raise _TooMuch
        fields = {}
        for name, of in properties.items():
            if not name or len(name) > 64 or plain_to_see(name) != name:
                raise Unsupported(f"it has a parameter with the name {plain_to_see(short(name))!r}")
            of = self._resolved(of)
            kind, said = self.kind(of, depth + 1), visible(of.get("description"), self._longest)
            default = of.get("default") if _simple(of.get("default")) else None
            fields[name] = Field(name, kind, name in needed, said, default)
        return fields

    def kind(self, schema: Mapping[str, Any], depth: int) -> Kind:
        """What a schema is in memagent's words; anything goes where it says too much or too little."""
        if depth > self._deepest:
            return ANYTHING
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(values, list) and values and all(_simple(value) for value in values):
            try:
                return choice_of(values, "enum")
            except Unsupported:
                return ANYTHING
        types = schema.get("type")
        for union in (schema.get("anyOf"), schema.get("oneOf"), types):
            if isinstance(union, list) and 0 < len(union) <= 20:
                return union_of([self.kind(self._member(schema, each), depth + 1) for each in union])
        return self._typed(schema, types, depth)

    def _typed(self, schema: Mapping[str, Any], kind: Any, depth: int) -> Kind:
        if kind == "array":
            items = schema.get("items")
            found = list_of(self.kind(self._resolved(items), depth + 1) if items else ANYTHING, list)
        elif kind == "object" or "properties" in schema:
            found = self._record(schema, depth)
        else:
            found = _TYPES.get(str(kind), ANYTHING)
        limits = {key: schema[key] for key in _LIMITS if _simple(schema.get(key)) and schema.get(key) is not None}
        return replace(found, schema={**found.schema, **limits}) if limits and found is not NULL else found

    def _record(self, schema: Mapping[str, Any], depth: int) -> Kind:
        fields = self.fields(schema, depth)
        more = schema.get("additionalProperties")
        if not fields:
            return dict_of(TEXT, self.kind(self._resolved(more), depth + 1) if isinstance(more, dict) else ANYTHING, "")
        said = short(f"an object with {', '.join(f'{f.name} ({f.kind.said})' for f in fields.values())}", 300)

        def read(value: Any) -> Any:
            parts = parsed(value, "{")
            if not isinstance(parts, dict):
                raise wrong(said, value)
            other = {} if more in (None, False) else {key: of for key, of in parts.items() if key not in fields}
            return {**read_fields(fields, {key: of for key, of in parts.items() if key not in other}), **other}

        return Kind(object_schema(list(fields.values())), said, read, (dict,))

    def _member(self, schema: Mapping[str, Any], member: Any) -> Mapping[str, Any]:
        """One of several: a schema of its own, or a type that the rest of this schema goes with."""
        if isinstance(member, str):
            return {**schema, "type": member}
        return self._resolved(member)

    def _resolved(self, schema: Any, seen: Sequence[str] = ()) -> Mapping[str, Any]:
        """What a reference, or a single part of `allOf`, stands for."""
        if not isinstance(schema, dict):
            return {}
        several = schema.get("allOf")
        if isinstance(several, list) and len(several) == 1:
            schema = {**{key: of for key, of in schema.items() if key != "allOf"}, **self._resolved(several[0], seen)}
        pointer = schema.get("$ref")
        if not isinstance(pointer, str):
            return dict(schema)
        if pointer in seen or not pointer.startswith("#/"):
            return {}
        found: Any = self._root
        for step in pointer.removeprefix("#/").split("/"):
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        rest = {key: of for key, of in schema.items() if key != "$ref"}
        return {**self._resolved(found, (*seen, pointer)), **rest}


def _simple(value: Any) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= 200) or isinstance(value, bool | int | float)
