"""A preset: the recipe that an agent is made from, with its system prompt, functions, voice and first memories.

`parse` reads one from YAML; every complaint names the file, the line and the key. Knows nothing of where presets are
kept, and takes the names of prompts, personas and functions as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from memagent.errors import UserError

Speech = Literal["send_message", "plain"]
Check = Callable[[Any], str]
"""Looks at a value: what it must be instead, or nothing when it is right."""


@dataclass(frozen=True)
class StartBlock:
    """A block of core memory as a new agent has it. The text of `persona` and `human` comes from their own files."""

    value: str = ""
    limit: int = 2000
    description: str = ""
    read_only: bool = False


@dataclass(frozen=True)
class Boot:
    """An example of a good answer, which the model finds at the beginning of its log."""

    message: str
    thought: str = ""


@dataclass(frozen=True)
class Preset:
    """What an agent starts with. `system` names prompts, put one after the other; `functions` names function sets,
    "set.function" or single functions; `rules` changes how functions may be used; `settings` come before config's.
    """

    name: str
    system: tuple[str, ...]
    functions: tuple[str, ...]
    description: str = ""
    speech: Speech = "send_message"
    persona: str = "companion"
    human: str = "basic"
    blocks: Mapping[str, StartBlock] = field(default_factory=dict)
    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    boot: Boot | None = None


OWN_TEXT = ("persona", "human")
"""The blocks whose text is a file of its own."""


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "true or false"


def _text(value: Any) -> str:
    return "" if isinstance(value, str) else "text (put it in quotes)"


def _mapping(value: Any) -> str:
    return "" if isinstance(value, dict) else "keys with values, one per line, indented"


def _names(value: Any) -> str:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(name, str) and name.strip() for name in listed):
        return "a name, or a list of names"
    return "a list in which every name stands once" if len(set(listed)) < len(listed) else ""


def _one_of(*words: str) -> Check:
    return lambda value: "" if value in words else " or ".join(words)


def _number(low: float, high: float, *, whole: bool = True) -> Check:
    def check(value: Any) -> str:
        right = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        return "" if right and low <= value <= high else f"a {'whole ' * whole}number from {low:g} to {high:g}"

    return check


KEYS: Mapping[str, Check] = {
    "description": _text,
    "system": _names,
    "functions": _names,
    "speech": _one_of("send_message", "plain"),
    "persona": _text,
    "human": _text,
    "blocks": _mapping,
    "rules": _mapping,
    "settings": _mapping,
    "boot": _mapping,
}
BLOCK_KEYS: Mapping[str, Check] = {
    "value": _text,
    "file": _text,
    "limit": _number(1, 100_000),
    "description": _text,
    "read_only": _flag,
}
RULE_KEYS: Mapping[str, Check] = {
    "approval": _flag,
    "ends_turn": _flag,
    "first": _flag,
    "time_limit": _number(0.1, 86_400, whole=False),
    "result_limit": _number(100, 1_000_000),
    "after_cut": _one_of("retry", "ask"),
    "apart": _flag,
    "quiet": _flag,
}
SETTING_KEYS: Mapping[str, Check] = {
    "context_window": _number(1024, 100_000_000),
    "temperature": _number(0, 2, whole=False),
    "max_steps": _number(1, 1000),
    "warn_at": _number(0.1, 1, whole=False),
    "compact_at": _number(0.1, 1, whole=False),
    "compact_to": _number(0, 0.9, whole=False),
    "summary_words": _number(20, 5000),
    "waking_tokens": _number(0, 1_000_000),
    "verify_first": _flag,
    "wrapper": _text,
    "terse": _flag,
    "steady": _flag,
}
BOOT_KEYS: Mapping[str, Check] = {"message": _text, "thought": _text}

MOST_CHARACTERS = 100_000
_LABEL = re.compile(r"[a-z][a-z0-9_]{0,39}")


def parse(text: str, name: str, path: Path, read: Callable[[Path], str]) -> Preset:
    """A preset from YAML. `path` is the file it stands in; `read` reads the text files that its blocks name."""
    page = _Page(path)
    found = page.mapping((), page.load(text), KEYS)
    for key in ("system", "functions"):
        if key not in found:
            raise page.wrong((), f"the key {key!r} is missing", "Every preset names its system prompt and functions.")
    blocks = {label: _block(page, label, fields, read) for label, fields in found.get("blocks", {}).items()}
    rules = {
        str(name): page.mapping(("rules", name), given, RULE_KEYS) for name, given in found.get("rules", {}).items()
    }
    settings = page.mapping(("settings",), found.get("settings", {}), SETTING_KEYS)
    if settings.get("compact_to", 0.3) >= settings.get("compact_at", 0.9):
        raise page.wrong(("settings", "compact_to"), "must be smaller than compact_at")
    texts = {key: found[key] for key in ("description", "speech", "persona", "human") if key in found}
    return Preset(
        name, _listed(found["system"]), _listed(found["functions"]), **texts,
        blocks=blocks, rules=rules, settings=settings, boot=_boot(page, found.get("boot")),
    )  # fmt: skip


def _listed(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _block(page: _Page, label: str, given: Any, read: Callable[[Path], str]) -> StartBlock:
    at = ("blocks", label)
    if not _LABEL.fullmatch(str(label)):
        raise page.wrong(at, "is no label for a block", "Use small letters a-z, digits and _, at most 40.")
    fields = page.mapping(at, given, BLOCK_KEYS)
    if "value" in fields and "file" in fields:
        raise page.wrong(at, "has both value and file", "Give one of them.")
    if label in OWN_TEXT and ("value" in fields or "file" in fields):
        raise page.wrong(at, "takes its text from elsewhere", f"Name a file of your own under the key {label!r}.")
    if "file" in fields:
        fields["value"] = _beside(page, at, fields.pop("file"), read)
    block = StartBlock(**fields)
    size = len(block.value)
    if size > block.limit:
        raise page.wrong(at, f"has {size} characters; its limit is {block.limit}", "Shorten it, or raise the limit.")
    return block


def _beside(page: _Page, at: tuple[str, ...], name: str, read: Callable[[Path], str]) -> str:
    """The text of a file that a preset names. A preset may come from a stranger: it reads no file from elsewhere."""
    folder = page.path.parent.resolve()
    try:
        target = (folder / name).resolve()
    except (OSError, ValueError):
        target = folder
    if not target.is_relative_to(folder) or not target.is_file():
        raise page.wrong((*at, "file"), f"names {name!r}, which is no file in {folder}", "Put it beside the preset.")
    return read(target)


def _boot(page: _Page, given: Any) -> Boot | None:
    if given is None:
        return None
    fields = page.mapping(("boot",), given, BOOT_KEYS)
    if not fields.get("message", "").strip():
        raise page.wrong(("boot",), "needs a message", "It is the example of a good answer.")
    return Boot(**fields)


class _Page:
    """One YAML file, and where its keys stand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[tuple[str, ...], int] = {}

    def load(self, text: str) -> Any:
        """The file's data; what is no YAML, or says a thing twice, is refused."""
        import yaml

        if len(text) > MOST_CHARACTERS:
            raise UserError(f"{self.path} has {len(text)} characters; a preset has {MOST_CHARACTERS} at most.")
        try:
            self._walk(yaml.compose(text, Loader=yaml.SafeLoader), (), set())
            return yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise UserError(f"{self.path}{line} is not valid YAML: {error.problem}.", hint=_YAML) from error
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise UserError(f"{self.path} is not valid YAML: {error}.", hint=_YAML) from error
        except RecursionError as error:
            raise UserError(f"{self.path} is nested too deeply for a preset.") from error

    def wrong(self, at: tuple[str, ...], problem: str, hint: str = "") -> UserError:
        """The error for what stands at a key."""
        line = f", line {self._lines[at]}" if at in self._lines else ""
        key = f"{_shown('.'.join(map(str, at)))} " if at else ""
        return UserError(f"{self.path}{line}: {key}{problem}.", hint=hint)

    def mapping(self, at: tuple[str, ...], value: Any, keys: Mapping[str, Check]) -> dict[str, Any]:
        """A copy of a mapping whose keys are all known and whose values are all right."""
        if not isinstance(value, dict):
            raise self.wrong(at, f"must be {_mapping(value)}")
        for key, content in value.items():
            if key not in keys:
                near = get_close_matches(str(key), keys, 1)
                hint = f"Did you mean {near[0]!r}? " if near else ""
                raise self.wrong((*at, key), "is no key here", f"{hint}There are: {', '.join(keys)}.")
            if needed := keys[key](content):
                raise self.wrong((*at, key), f"must be {needed}, not {_shown(content)}")
        return dict(value)

    def _walk(self, node: Any, at: tuple[str, ...], seen: set[int]) -> None:
        """Note on which line every key stands, and refuse a key that stands twice."""
        if node is None or node.id != "mapping" or id(node) in seen:
            return
        seen.add(id(node))
        for key, value in node.value:
            here = (*at, str(key.value))
            if key.id != "scalar":
                raise self.wrong(at, "has a key that is not a word")
            if here in self._lines:
                raise self.wrong(here, f"stands here and again on line {key.start_mark.line + 1}", "Remove one.")
            self._lines[here] = key.start_mark.line + 1
            self._walk(value, here, seen)


_YAML = "Compare it with a shipped preset: memagent show preset chat"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
