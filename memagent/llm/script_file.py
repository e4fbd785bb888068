"""Reads scripts for the scripted model, and says exactly where one is wrong.

What each key means stands in docs/testing-agents.md. Knows nothing of requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memagent.errors import ConfigError
from memagent.llm.script import KINDS, Entry, Script

DEMO = Path(__file__).with_name("demo_script.yaml")

_Fields = Mapping[str, type | tuple[type, ...]]

_CONDITIONS: _Fields = {
    "said": str, "result": str, "system": str, "reminder": str, "kind": str, "tool": str, "forced": str,
    "ok": bool, "first": bool, "after_calls": int,
}  # fmt: skip
_NUMBER = (int, float)
_REPLY: _Fields = {
    "say": str, "text": str, "thoughts": str, "call": str, "arguments": (dict, str), "heartbeat": bool, "calls": list,
    "facts": list,
    "usage": (dict, type(None)), "finish": (str, type(None)), "delay": _NUMBER, "pace": _NUMBER,
    "error": (int, dict), "cut": int, "done": bool, "close": bool,
}  # fmt: skip
_NAMES = {
    str: "text", dict: "a mapping", list: "a list", int: "a whole number", float: "a number", bool: "true or false",
    type(None): "null",
}  # fmt: skip
_CALL: _Fields = {"call": str, "arguments": (dict, str), "heartbeat": bool}
_USAGE: _Fields = {"prompt": int, "completion": int, "cached": int}
_ERROR: _Fields = {
    "status": int, "message": str, "code": str, "headers": dict, "body": str, "after": int,
}  # fmt: skip


def load_script(path: Path | None = None) -> Script:
    """The script in a YAML or JSON file; without one, the demo: an agent that greets, remembers names and echoes."""
    import yaml

    path = path or DEMO
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The script {path} can't be read: {error}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"The script {path} is not YAML: {error}") from None
    return read_script(written, str(path))


def read_script(written: Any, name: str = "script") -> Script:
    """A script from a list of entries; `name` is for error messages."""
    if not isinstance(written, list):
        raise ConfigError(f"{name}: a script is a list of entries.", hint="Begin each with '- '.")
    return Script([_entry(entry, f"{name}, entry {number}") for number, entry in enumerate(written, 1)])


def _entry(written: Any, where: str) -> Entry:
    if not isinstance(written, dict):
        raise ConfigError(f"{where}: an entry is a mapping, such as `say: Hello`.")
    rest = {key: value for key, value in written.items() if key not in ("when", "times", "steps")}
    when = written.get("when")
    when = {"said": when} if isinstance(when, str) else when
    _check(when if when is not None else {}, _CONDITIONS, f"{where}, when")
    _check({"times": written["times"]} if "times" in written else {}, {"times": int}, where)
    for key in ("said", "result", "system", "reminder"):
        _check_pattern((when or {}).get(key, ""), f"{where}, when, {key}")
    if (kind := (when or {}).get("kind", "user")) not in KINDS:
        raise ConfigError(f"{where}: there is no kind {kind!r}.", hint=f"Kinds are: {', '.join(KINDS)}.")
    steps = written.get("steps", [rest])
    if not isinstance(steps, list) or not steps or ("steps" in written and rest):
        raise ConfigError(f"{where}: steps is a list of replies, and stands instead of a reply.")
    for number, step in enumerate(steps, 1):
        _check_reply(step, f"{where}, step {number}" if "steps" in written else where)
    times = written.get("times", None if "when" in written else 1)
    return Entry(when or {}, steps, "steps" in written, times)


def _check_reply(step: Any, where: str) -> None:
    _check(step, _REPLY, where)
    for key, known in (("usage", _USAGE), ("error", _ERROR)):
        if isinstance(step.get(key), dict):
            _check(step[key], known, f"{where}, {key}")
    for call in step.get("calls", [step] if "call" in step else []):
        _check({key: call[key] for key in _CALL if key in call} if call is step else call, _CALL, where)
        if "call" not in call:
            raise ConfigError(f"{where}: a call has the name of its function under `call`.")


def _check(written: Any, known: _Fields, where: str) -> None:
    if not isinstance(written, dict):
        raise ConfigError(f"{where}: this is a mapping.", hint=f"It may have: {', '.join(known)}.")
    for key, value in written.items():
        if key not in known:
            raise ConfigError(f"{where}: {key!r} is not known here.", hint=f"There are: {', '.join(known)}.")
        expected = known[key]
        kinds = expected if isinstance(expected, tuple) else (expected,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            names = " or ".join(_NAMES[kind] for kind in kinds)
            raise ConfigError(f"{where}: {key} is {value!r}, and should be {names}.")


def _check_pattern(pattern: str, where: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{where}: {pattern!r} is not a regular expression: {error}.") from None
