"""Values with named parts: a function's parameters, dataclasses, typed dictionaries, and the models of pydantic.

Unknown and missing parts are told by name, with the nearest known one. pydantic is loaded only where a type needs it.
Knows nothing of functions or tools.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memagent.tools.kinds import Kind, Misfit, Unsupported, as_json, parsed, short, wrong

KindOf = Callable[[Any, tuple[type, ...]], Kind]


@dataclasses.dataclass(frozen=True)
class Field:
    """A part with a name: a function's parameter, or a part of an object."""

    name: str
    kind: Kind
    required: bool
    description: str = ""
    default: Any = None

    @property
    def schema(self) -> dict[str, Any]:
        """What the model sees of it. Null is not offered where it means no more than leaving the part out."""
        schema = dict(self.kind.full if self.required or self.default is not None else self.kind.schema)
        if self.description:
            schema["description"] = self.description
        if not self.required and (default := as_json(self.default)) is not None:
            schema["default"] = default
        return schema


def object_schema(fields: Sequence[Field]) -> dict[str, Any]:
    """The schema of an object that has these parts."""
    schema: dict[str, Any] = {"type": "object", "properties": {field.name: field.schema for field in fields}}
    if required := [field.name for field in fields if field.required]:
        schema["required"] = required
    return schema


def read_fields(fields: Mapping[str, Field], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the parts that are given; all that is wrong with them is told at once."""
    values: dict[str, Any] = {}
    problems: list[tuple[str, str]] = []
    for name, value in given.items():
        field = fields.get(name)
        if field is None:
            near = _near(name, [known for known in fields if known not in given]) if len(problems) < 8 else ""
            problems.append((short(name), f"is not known{near}"))
        elif value is None and not field.required and not field.kind.nullable:
            continue  # null for what may be left out means: left out
        else:
            try:
                values[name] = field.kind.read(value)
            except Misfit as misfit:
                problems += misfit.within(name).problems
    problems += [(n, f"is missing ({f.kind.said})") for n, f in fields.items() if f.required and n not in given]
    if problems:
        raise Misfit(*problems)
    return values


def _near(name: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(short(name).lower(), known, 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def record_of(cls: type, within: tuple[type, ...], kind_of: KindOf) -> Kind:
    """A dataclass or a TypedDict. `within` are the classes that it is a part of."""
    if cls in within:
        raise Unsupported(f"{cls.__name__} contains itself")
    fields = {field.name: field for field in _fields_of(cls, (*within, cls), kind_of)}
    said = short(f"an object with {', '.join(f'{f.name} ({f.kind.said})' for f in fields.values())}", 300)

    def read(value: Any) -> Any:
        parts = parsed(value, "{")
        if not isinstance(parts, dict):
            raise wrong(said, value)
        values = read_fields(fields, parts)
        try:
            return cls(**values)
        except Exception as error:  # the class is the user's, and so is what its __post_init__ raises
            raise Misfit(("", f"is refused: {error}")) from error

    schema = {**object_schema(list(fields.values())), "additionalProperties": False}
    return Kind(schema, said, read, (dict,))


def _fields_of(cls: type, within: tuple[type, ...], kind_of: KindOf) -> list[Field]:
    from docstring_parser import parse

    typed_dict = typing.is_typeddict(cls)
    try:
        hints = typing.get_type_hints(cls, include_extras=not typed_dict)
    except (NameError, SyntaxError) as error:
        raise Unsupported(f"a type in {cls.__name__} is not known ({error})") from error
    said = {part.arg_name: " ".join((part.description or "").split()) for part in parse(cls.__doc__ or "").params}
    if typed_dict:
        required: frozenset[str] = getattr(cls, "__required_keys__", frozenset())
        return [Field(name, kind_of(of, within), name in required, said.get(name, "")) for name, of in hints.items()]
    missing = dataclasses.MISSING
    return [
        Field(
            part.name,
            kind_of(hints[part.name], within),
            part.default is missing and part.default_factory is missing,
            said.get(part.name, ""),
            None if part.default is missing else part.default,
        )
        for part in dataclasses.fields(cls)
        if part.init
    ]


# pydantic -------------------------------------------------------------------------------------------------------------


def pydantic_kind(annotation: Any, type_name: str) -> Kind:
    """A model of pydantic, or any other type that it knows: UUID, Decimal, Annotated with limits, …"""
    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

    try:
        adapter = TypeAdapter(annotation)
        described = adapter.json_schema()
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        raise Unsupported(f"{type_name} has no form in JSON ({str(error).splitlines()[0]})") from error
    schema = _inlined(described, described.get("$defs", {}), (), type_name)
    opening = {"array": "[", "object": "{"}.get(schema.get("type", ""), "")
    extra: Any = None if '"additionalProperties": true' in json.dumps(described) else "forbid"
    said = (
        short(f"an object with {', '.join(schema['properties'])}", 300) if "properties" in schema else f"a {type_name}"
    )

    def read(value: Any) -> Any:
        meant = parsed(value, opening) if opening else value
        try:
            return adapter.validate_json(json.dumps(meant), extra=extra)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)
            raise Misfit(*(_problem(one["loc"], one["msg"], one["input"]) for one in found)) from error
        except Exception as error:  # the model is the user's, and so is what its validators raise
            raise Misfit(("", f"is refused: {error}")) from error

    native = {"array": (list,), "object": (dict,), "string": (str,), "integer": (int,), "number": (float, int)}
    return Kind(schema, said, read, native.get(schema.get("type", ""), ()))


def _problem(place: Sequence[str | int], said: str, value: Any) -> tuple[str, str]:
    misfit = Misfit(("", f"is wrong: {said}" + (f", not {short(repr(value))}" if isinstance(value, str | int) else "")))
    for step in reversed(place):
        misfit = misfit.within(f"[{step}]" if isinstance(step, int) else step)
    return misfit.problems[0]


def _inlined(schema: Any, known: Mapping[str, Any], within: tuple[str, ...], type_name: str) -> Any:
    """The schema without references, titles and other words that tell a model nothing."""
    if isinstance(schema, list):
        return [_inlined(item, known, within, type_name) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(name := schema.get("$ref"), str):
        if name in within:
            raise Unsupported(f"{type_name} contains itself")
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        target = {**known[name.removeprefix("#/$defs/")], **rest}
        return _inlined(target, known, (*within, name), type_name)
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            result[key] = {part: _inlined(of, known, within, type_name) for part, of in value.items()}
        elif key in ("default", "const", "enum", "required", "examples"):
            result[key] = value
        elif key not in ("title", "$defs", "discriminator"):
            result[key] = _inlined(value, known, within, type_name)
    if result.get("default", "") is None:
        result.pop("default")
        result = {**_without_null(result), **result}
    if "properties" in result:
        result.setdefault("additionalProperties", False)
    return result


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema in which null meant only what leaving the part out means."""
    some = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    if len(some) == 1:
        schema.pop("anyOf")
        return dict(some[0])
    return {"anyOf": some} if some else {}
