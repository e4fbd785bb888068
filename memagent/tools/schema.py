"""Functions as a model sees them, and the model's arguments as functions want them: from signature and docstring.

`describe` makes the schema that is sent, `read_arguments` reads what comes back; both from the same `Kind` of each
parameter, so they agree. Knows nothing of where functions come from or how they are called.
"""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

from memagent.errors import ToolError, ToolFileError
from memagent.tools import Rules, Tool
from memagent.tools.kinds import (
    ANYTHING,
    SIMPLE,
    TEXT,
    Kind,
    Misfit,
    Unsupported,
    choice_of,
    dict_of,
    list_of,
    loads,
    short,
    tuple_of,
    union_of,
)
from memagent.tools.records import Field, object_schema, pydantic_kind, read_fields, record_of

HEARTBEAT = "request_heartbeat"
AGENT = ("self", "agent")
TOLD_AT_MOST = 8

_NAME = re.compile("[a-zA-Z_][a-zA-Z0-9_]{0,63}")
_WANTED = Field(HEARTBEAT, SIMPLE[bool], True, "true to go on without the user")
_LISTS: dict[Any, Callable[[list[Any]], Any]] = {
    **dict.fromkeys((list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable), list),
    **dict.fromkeys((set, abc.Set, abc.MutableSet), set),
    frozenset: frozenset,
    tuple: tuple,
}
_DICTS = (dict, abc.Mapping, abc.MutableMapping)


@dataclasses.dataclass(frozen=True)
class Signature:
    """What is to be known of a function to call it; `where` is "file:line"."""

    description: str
    where: str
    takes_agent: bool
    fields: Mapping[str, Field]


# From a function to its schema ----------------------------------------------------------------------------------------


def make_tool(function: Callable[..., Any], rules: Rules | None = None, name: str = "") -> Tool:
    """A function as a tool, under its own rules (see `tools.tool`) or the given ones."""
    rules = rules or getattr(function, "__memagent_rules__", None) or Rules()
    name = name or function.__name__
    signature = signature_of(function, name)
    return Tool(name, function, describe(function, rules, name), rules, signature.where, signature.takes_agent)


def describe(function: Callable[..., Any], rules: Rules, name: str = "") -> dict[str, Any]:
    """The schema of a function: {"name", "description", "parameters"}. Raises `ToolFileError` when it can't be one."""
    name = name or function.__name__
    signature = signature_of(function, name)
    fields = [*signature.fields.values(), *([] if rules.ends_turn else [_WANTED])]
    return {"name": name, "description": signature.description, "parameters": object_schema(fields)}


def signature_of(function: Callable[..., Any], name: str) -> Signature:
    """What is to be known of a function: from its signature and docstring, unless it brings that along itself."""
    own: Signature | None = getattr(function, "__memagent_signature__", None)
    return own or _read_signature(function, name)


@lru_cache(maxsize=1024)
def _read_signature(function: Callable[..., Any], name: str) -> Signature:
    """What signature and docstring say, checked."""
    inner = inspect.unwrap(function)
    code = getattr(inner, "__code__", None)
    where = f"{code.co_filename}:{code.co_firstlineno}" if code else str(inner.__module__)

    def refuse(problem: str, hint: str) -> ToolFileError:
        return ToolFileError(f"{where}: {name}: {problem}.", hint=hint)

    if not _NAME.fullmatch(name):
        raise refuse("models can't call a function of this name", "Use at most 64 letters, digits and underscores.")
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise refuse("it yields", "Return a list, or a text, instead.")
    parameters = list(inspect.signature(function).parameters.values())
    takes_agent = (
        bool(parameters) and parameters[0].name in AGENT and parameters[0].kind is not parameters[0].KEYWORD_ONLY
    )
    names = [parameter.name for parameter in parameters[takes_agent:]]
    description, said = _documented(inspect.getdoc(inner) or "", names)
    if not description:
        raise refuse(
            "it has no docstring, so no model can know what it does",
            f"Describe it in its docstring, or rename it to _{name} if it is not meant for the model.",
        )
    fields = {}
    for parameter in parameters[takes_agent:]:
        try:
            fields[parameter.name] = _field(parameter, said.get(parameter.name, ""), inner)
        except Unsupported as error:
            problem, _, hint = str(error).partition("\n")
            raise refuse(f"the parameter {parameter.name!r} {problem}", hint) from error
    return Signature(description, where, takes_agent, fields)


def _documented(docstring: str, names: list[str]) -> tuple[str, dict[str, str]]:
    """The description, and what is said of each parameter, in whichever style the docstring is written."""
    from docstring_parser import DocstringStyle, ParseError, parse

    best: tuple[tuple[int, int], str, dict[str, str]] = ((-1, 0), "", {})
    for style in (DocstringStyle.GOOGLE, DocstringStyle.NUMPYDOC, DocstringStyle.REST, DocstringStyle.EPYDOC):
        try:
            found = parse(docstring, style)
        except ParseError:
            continue
        said = {
            name.strip(): " ".join((part.description or "").split())
            for part in found.params
            for name in part.arg_name.split(",")
        }
        rank = (sum(bool(said.get(name)) for name in names), len(found.meta))
        if rank > best[0]:
            best = (rank, " ".join((found.description or "").split()), said)
    return best[1], best[2]


def _field(parameter: inspect.Parameter, said: str, function: Callable[..., Any]) -> Field:
    """One parameter; what is wrong with it is raised as "problem, line feed, hint"."""
    name = parameter.name
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        what = "positional-only" if parameter.kind is parameter.POSITIONAL_ONLY else "one for any number of arguments"
        raise Unsupported(f"is {what}\nA model gives every argument by its name; use plain parameters.")
    if name == HEARTBEAT:
        raise Unsupported("has a name that memagent uses itself\nGive it another name.")
    if parameter.annotation is parameter.empty:
        raise Unsupported(f"has no type\nWrite it like `{name}: str`.")
    if not said:
        raise Unsupported(f"has no description\nDescribe it in the docstring, under `Args:`, as `{name}: what it is`.")
    try:
        kind = kind_of(_evaluated(parameter.annotation, function))
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise Unsupported(
            f"has a type that can't be used: {error}\nSee docs/functions.md for the types there are."
        ) from error
    if parameter.default is parameter.empty:
        return Field(name, kind, True, said)
    return Field(name, kind, False, said, parameter.default)


def _evaluated(annotation: Any, function: Callable[..., Any]) -> Any:
    """A type that may be written as a string, or have strings in it."""

    def holder() -> None: ...

    holder.__annotations__ = {"type": annotation}
    return typing.get_type_hints(holder, getattr(function, "__globals__", {}), include_extras=True)["type"]


def kind_of(annotation: Any, within: tuple[type, ...] = ()) -> Kind:
    """What a type annotation is in JSON. `within` are the classes that it is a part of."""
    origin, args = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin in SIMPLE:
        return SIMPLE[origin]
    if origin in (typing.Union, types.UnionType):
        return union_of([kind_of(arg, within) for arg in args])
    if origin is typing.Literal:
        return choice_of(args, _named(annotation))
    if origin is tuple and args and args[-1] is not Ellipsis:
        return tuple_of([kind_of(arg, within) for arg in args])
    if origin in _LISTS:
        return list_of(kind_of(args[0], within) if args else ANYTHING, _LISTS[origin])
    if origin in _DICTS:
        key, value = (kind_of(arg, within) for arg in args) if args else (TEXT, ANYTHING)
        return dict_of(key, value, _named(annotation))
    if isinstance(origin, type):
        if issubclass(origin, Enum):
            return choice_of(list(origin), _named(annotation))
        own = dataclasses.is_dataclass(origin) and not hasattr(origin, "__pydantic_fields__")
        if own or typing.is_typeddict(origin):
            return record_of(origin, within, kind_of)
    return pydantic_kind(annotation, _named(annotation))


def _named(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


# From the model's arguments to values ---------------------------------------------------------------------------------


def read_arguments(tool: Tool, text: str) -> tuple[dict[str, Any], bool]:
    """The arguments of a call, and whether it asks to go on. Raises `ToolError`, written for the model to mend."""
    signature = signature_of(tool.function, tool.name)
    try:
        given = _given(text)
        wanted = given.pop(HEARTBEAT, None)
        values = read_fields(signature.fields, given)
        try:
            heartbeat = wanted is not None and SIMPLE[bool].read(wanted)
        except Misfit as misfit:
            raise misfit.within(HEARTBEAT) from None
    except Misfit as misfit:
        raise ToolError(_complaint(tool.name, signature, misfit)) from None
    except RecursionError:
        raise ToolError(f"{tool.name} was not called: its arguments are nested too deeply.") from None
    return values, heartbeat and not tool.rules.ends_turn


def _given(text: str) -> dict[str, Any]:
    """The object that the arguments are; none at all is an empty one, and one in a string is unpacked."""
    if not text.strip():
        return {}
    try:
        given = loads(text.strip())
        given = loads(given.strip()) if isinstance(given, str) and given.strip() else given
    except ValueError as error:
        raise Misfit(("", f"the arguments are not valid JSON: {short(str(error), 200)}")) from None
    if given is None or given == "":
        return {}
    if not isinstance(given, dict):
        raise Misfit(("", "the arguments must be one JSON object"))
    return given


def _complaint(name: str, signature: Signature, misfit: Misfit) -> str:
    told = [f"{path!r} {said}" if path else said for path, said in misfit.problems[:TOLD_AT_MOST]]
    if more := len(misfit.problems) - len(told):
        told.append(f"and {more} more")
    takes = ", ".join(
        f"{field.name} ({short(field.kind.said, 200)}{'' if field.required else ', optional'})"
        for field in signature.fields.values()
    )
    return f"{name} was not called: {'; '.join(told)}. It takes: {takes or 'no arguments'}."
