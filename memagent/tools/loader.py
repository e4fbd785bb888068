"""Finds function sets, your own and those that come with memagent, and links the functions that a preset names.

A function set is a Python file; its public functions become tools. It is read again whenever the file has changed.
Knows nothing of agents, presets or where your directory is.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from inspect import isroutine, unwrap
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from memagent.errors import ConfigError, NotFound, ToolFileError
from memagent.tools import Rules, Tool
from memagent.tools.printing import printing_kept
from memagent.tools.schema import make_tool

SHIPPED = Path(__file__).with_name("sets")

_cache: dict[Path, tuple[tuple[int, int], dict[str, Tool]]] = {}
_DEFINED = re.compile(r"^(?:async\s+)?def\s+([^\W_]\w*)", re.MULTILINE)
_YES_OR_NO = "true or false"
_ALLOWED: dict[str, tuple[str, Any]] = {
    "approval": (_YES_OR_NO, lambda value: isinstance(value, bool)),
    "ends_turn": (_YES_OR_NO, lambda value: isinstance(value, bool)),
    "first": (_YES_OR_NO, lambda value: isinstance(value, bool)),
    "time_limit": ("a number of seconds", lambda value: _is_number(value) and 0 < value <= 24 * 3600),
    "result_limit": (
        "a number of characters",
        lambda value: _is_number(value) and isinstance(value, int) and value > 0,
    ),
    "after_cut": ("retry or ask", lambda value: value in ("retry", "ask")),
    "apart": (_YES_OR_NO, lambda value: isinstance(value, bool)),
    "quiet": (_YES_OR_NO, lambda value: isinstance(value, bool)),
}


# One file -------------------------------------------------------------------------------------------------------------


def load_file(path: Path) -> dict[str, Tool]:
    """The functions of a function set, by name. Raises `ToolFileError` with file and line when it can't be loaded."""
    path = path.absolute()
    try:
        state = path.stat()
    except OSError as error:
        raise ToolFileError(f"{path} can't be read: {error.strerror}.") from error
    version = (state.st_mtime_ns, state.st_size)
    known = _cache.get(path)
    if known is None or known[0] != version:
        known = _cache[path] = (version, _tools_of(imported(path)))
    return dict(known[1])


class _Fresh(SourceFileLoader):
    """Reads the source each time: compiled files of an earlier version, or left in your directory, are not wanted."""

    def get_code(self, _fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def imported(path: Path, what: str = "function set") -> ModuleType:
    """What a file of the user's own defines, once it has run. Raises `ToolFileError` with file and line if it can't."""
    name = f"memagent_functions_{sha256(str(path).encode()).hexdigest()[:8]}_{path.stem}"
    loader = _Fresh(name, str(path))
    module = module_from_spec(ModuleSpec(name, loader, origin=str(path)))
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses and pydantic look types up there
    try:
        with printing_kept():
            loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise _file_error(path, error, what) from error
    return module


def _file_error(path: Path, error: BaseException, what: str) -> ToolFileError:
    """What went wrong when the file was run, and in which line of it."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line, said = error.lineno, f"{type(error).__name__}: {error.msg}"
    else:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = lines[-1] if lines else None
    hint = "Correct the file; it is read again by itself."
    if isinstance(error, ModuleNotFoundError):
        hint = "Install what is missing into the same environment as memagent."
    return ToolFileError(f"{path}:{line or 1}: the {what} can't be loaded: {said}", hint=hint)


def _tools_of(module: ModuleType) -> dict[str, Tool]:
    """Its public functions: what it defines itself, not what it imports."""
    tools = {}
    for name, value in vars(module).items():
        if name.startswith("_") or isinstance(value, type) or not callable(value):
            continue
        if getattr(value, "__module__", None) == module.__name__ and isroutine(unwrap(value)):
            tools[name] = make_tool(value, name=name)
    return tools


# Many files -----------------------------------------------------------------------------------------------------------


def available_sets(*directories: Path) -> dict[str, Path]:
    """The function sets there are: in these directories, then the shipped ones; the first of a name counts."""
    sets: dict[str, Path] = {}
    for directory in (*directories, SHIPPED):
        for path in sorted(directory.glob("*.py")):
            if not path.name.startswith("_"):
                sets.setdefault(path.stem, path)
    return sets


def link(
    entries: Iterable[str], directories: Sequence[Path], rules: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Tool]:
    """The tools of an agent. An entry is a function set, "set.function", or a function that is in any set."""
    sets = available_sets(*directories)
    tools: dict[str, Tool] = {}
    for entry in entries:
        for name, tool in _found(entry, sets, directories).items():
            if name in tools and tools[name].where != tool.where:
                raise ToolFileError(
                    f"Two functions are named {name!r}: {tools[name].where} and {tool.where}.",
                    hint="Rename one of them, or name single functions in the preset, like 'set.function'.",
                )
            tools[name] = tool
    return ruled(tools, rules or {})


def ruled(tools: Mapping[str, Tool], rules: Mapping[str, Mapping[str, Any]]) -> dict[str, Tool]:
    """The same tools under what a preset says of them."""
    result = dict(tools)
    for name, changes in rules.items():
        if name not in result:
            raise ConfigError(
                f"There are rules for {name!r}, which is not among the agent's functions.{_near(name, tools)}",
                hint=f"Its functions are: {', '.join(tools)}.",
            )
        result[name] = make_tool(result[name].function, _changed(name, result[name].rules, changes), name)
    return result


def _found(entry: str, sets: Mapping[str, Path], directories: Sequence[Path]) -> dict[str, Tool]:
    """What one entry of a preset stands for."""
    if entry in sets:
        return load_file(sets[entry])
    set_name, _, name = entry.rpartition(".")
    if not set_name:
        return {entry: _anywhere(entry, sets, directories)}
    if set_name not in sets:
        raise NotFound(f"There is no function set {set_name!r}.{_near(set_name, sets)}", hint=_looked(directories))
    tools = load_file(sets[set_name])
    if name not in tools:
        raise NotFound(
            f"There is no function {name!r} in {sets[set_name]}.{_near(name, tools)}",
            hint=f"It has: {', '.join(tools) or 'no public functions'}.",
        )
    return {name: tools[name]}


def _anywhere(name: str, sets: Mapping[str, Path], directories: Sequence[Path]) -> Tool:
    """A function in any set. Only files that define it are run, so that no other can do harm or be in the way."""
    defined = {path: set(_DEFINED.findall(_source(path))) for path in sets.values()}
    found: list[Tool] = []
    broken: list[ToolFileError] = []
    for path in [path for path, names in defined.items() if name in names]:
        try:
            found += [tool for tool in [load_file(path).get(name)] if tool]
        except ToolFileError as error:
            broken.append(error)
    if len(found) > 1:
        raise ToolFileError(
            f"Two functions are named {name!r}: {found[0].where} and {found[1].where}.",
            hint="Name the one that is meant with its set, like 'set.function'.",
        )
    if found:
        return found[0]
    if broken:
        raise broken[0]
    known = {name for names in defined.values() for name in names} | set(sets)
    raise NotFound(f"There is no function or function set {name!r}.{_near(name, known)}", hint=_looked(directories))


def _source(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _looked(directories: Sequence[Path]) -> str:
    return f"Looked in: {', '.join(str(directory) for directory in (*directories, SHIPPED))}."


def _near(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), 3)
    return f" Did you mean {' or '.join(repr(one) for one in near)}?" if near else ""


# Rules ----------------------------------------------------------------------------------------------------------------


def _changed(name: str, rules: Rules, changes: Mapping[str, Any]) -> Rules:
    """A function's rules with what the preset says of it."""
    for key, value in changes.items():
        if key not in _ALLOWED:
            raise ConfigError(
                f"rules.{name}.{key}: there is no such rule.{_near(key, _ALLOWED)}",
                hint=f"There are: {', '.join(_ALLOWED)}.",
            )
        wanted, fits = _ALLOWED[key]
        if not fits(value):
            raise ConfigError(f"rules.{name}.{key} must be {wanted}, not {value!r}.")
    return replace(rules, **changes)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
