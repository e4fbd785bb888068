"""Tells whether a template, a memory or the bounds of a memory are such that they can be kept; and if not, why.

What is told is true or false, and says why in words. Knows nothing of where they are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from string import Template
from typing import Any

from memagent.errors import UserError
from memagent.messages import storable

LONGEST = 200_000
"""Characters of one memory, with what is told of it."""
LONGEST_TYPE = 64
MOST = 1_000_000


@dataclass(frozen=True)
class Checked:
    """What came of a check: true where all is well, else false, and `why` says what is wrong."""

    why: str = ""

    def __bool__(self) -> bool:
        return not self.why


@dataclass(frozen=True)
class MemoryConfig:
    """The bounds of a character's memory. When more than `summary_threshold` memories are not summarised yet, the
    older half of so many becomes one summary; there are never more than `max_memories`. Without `auto_summarize`, those
    beyond them move to the past.
    """

    max_memories: int = 1000
    summary_threshold: int = 50
    auto_summarize: bool = True

    @classmethod
    def of(cls, given: MemoryConfig | Mapping[str, Any] | None) -> MemoryConfig:
        """The bounds that are given as a mapping, with what is left out as it is by default."""
        if isinstance(given, MemoryConfig):
            given = asdict(given)
        if not (fit := check_memory_config(given or {})):
            raise UserError(fit.why)
        return cls(**(given or {}))

    def as_dict(self) -> dict[str, Any]:
        """As it is written."""
        return asdict(self)


def check_prompt_template(text: Any) -> Checked:
    """Whether a text is a template: `${name}` or `$name` for what is filled in, `$$` for a dollar."""
    if not isinstance(text, str):
        return Checked("A template is a text.")
    if not text.strip():
        return Checked("The template is empty.")
    if storable(text) != text:
        return Checked("The template has characters that are no text.")
    for found in Template.pattern.finditer(text):
        if found["invalid"] is not None:
            line = text.count("\n", 0, found.start()) + 1
            shown = text[found.start() : found.start() + 20].splitlines()[0]
            return Checked(f"Line {line} of the template has {shown!r}: write ${{name}}, or $$ for a dollar.")
    return Checked()


def check_memory_content(content: Any) -> Checked:
    """Whether something can be kept as a memory: a text, or a mapping of names to texts, numbers, lists and so on."""
    if not isinstance(content, str | Mapping):
        return Checked(f"What is remembered is a text or a mapping, not {type(content).__name__}.")
    if not content or (isinstance(content, str) and not content.strip()):
        return Checked("There is nothing in it to remember.")
    return check_data(content, "What is remembered")


def check_data(data: Any, what: str) -> Checked:
    """Whether something can be written as JSON and is the same when it is read again."""
    if wrong := _unfit(data, 0):
        return Checked(f"{what} {wrong}.")
    if (length := len(json.dumps(data, ensure_ascii=False))) > LONGEST:
        return Checked(f"{what} is too long: {length:,} characters, and {LONGEST:,} can be kept.")
    return Checked()


def _unfit(data: Any, depth: int) -> str:
    """What keeps data from being written as JSON, in words."""
    if depth > 50:
        return "is nested too deeply"
    if data is None or isinstance(data, bool):
        return ""
    if isinstance(data, str):
        return "" if storable(data.replace("\0", "")) == data.replace("\0", "") else "has characters that are no text"
    if isinstance(data, int):
        return "" if abs(data) < 2**63 else "has a number that is too large"
    if isinstance(data, float):
        return "" if data - data == 0 else f"has {data}, which is no number"
    if isinstance(data, list | tuple):
        return next((wrong for each in data if (wrong := _unfit(each, depth + 1))), "")
    if isinstance(data, Mapping):
        if odd := [key for key in data if not isinstance(key, str)]:
            return f"has a name that is no text: {odd[0]!r}"
        return next((wrong for each in (*data, *data.values()) if (wrong := _unfit(each, depth + 1))), "")
    return f"has a {type(data).__name__}, which JSON does not know"


def check_memory_type(kind: Any) -> Checked:
    """Whether a word can name a type of memory."""
    if not isinstance(kind, str) or not kind.strip() or not kind.isprintable() or len(kind) > LONGEST_TYPE:
        return Checked(f"A type of memory is a word such as event, of at most {LONGEST_TYPE} characters.")
    return Checked()


def check_memory_config(given: Any) -> Checked:
    """Whether something can be the bounds of a memory."""
    if not isinstance(given, Mapping):
        return Checked("The bounds of a memory are a mapping.")
    known = {field.name: type(field.default) for field in fields(MemoryConfig)}
    if unknown := [key for key in given if key not in known]:
        return Checked(f"There is no bound {unknown[0]!r}; there are: {', '.join(known)}.")
    for name, value in given.items():
        if type(value) is not known[name]:
            wanted = "true or false" if known[name] is bool else "a whole number"
            return Checked(f"{name} is {wanted}, not {value!r}.")
    for name, least in (("max_memories", 1), ("summary_threshold", 2)):
        if not least <= given.get(name, least) <= MOST:
            return Checked(f"{name} is a number from {least} to {MOST:,}, not {given[name]}.")
    return Checked()
