"""The file config.yaml: read with the line of every setting, and changed without touching anything else in it.

Comments, the order of lines and keys that nobody knows stay as they are. Values are taken as they are written, so that
`azure_api_version: 2024-10-21` is no date and `model: 4` no number. Knows nothing of which settings there are.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from memagent.errors import ConfigError

if TYPE_CHECKING:
    import yaml

Written = str | tuple[Any, ...] | None
HEADER = "# Settings of memagent. Flags, the environment and .env win over what stands here.\n"

_NULLS = ("", "~", "null", "Null", "NULL")
_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./:@+-]*(?<!:)")


class Place(NamedTuple):
    """Where a setting stands in the text, and what is written there."""

    line: int
    value: Written
    start: int
    end: int
    indent: int


def page(path: Path, text: str) -> dict[str, Place]:
    """What stands in the text of a file, by key."""
    if not text:
        return {}
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}," if error.problem_mark else ""
        raise ConfigError(f"{path}{line} is not valid YAML: {error.problem}.", hint=_MEND) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}.", hint=_MEND) from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path} must have lines such as `model: gpt-4o`.", hint=_MEND)
    places: dict[str, Place] = {}
    for key, value in root.value:
        line = key.start_mark.line + 1
        if key.value in places:
            raise ConfigError(
                f"{path} says {key.value!r} on line {places[key.value].line} and again on line {line}.",
                hint="Remove one of them.",
            )
        start = min(value.start_mark.index, _end(value))
        places[str(key.value)] = Place(line, _written(value), start, _end(value), key.start_mark.column)
    return places


_MEND = "Mend it with an editor; nothing in it was changed."


def _written(node: yaml.Node) -> Written:
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return None if node.style is None and node.value in _NULLS else str(node.value)
    if isinstance(node, yaml.SequenceNode):
        return tuple(item.value if isinstance(item, yaml.ScalarNode) else {} for item in node.value)
    return ({},)


def _end(node: yaml.Node) -> int:
    """Where a value ends; a list in lines ends with its last item, not before the next key."""
    import yaml

    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def changed(path: Path, text: str, changes: Mapping[str, Written], gone: Collection[str] = ()) -> str:
    """The text with other values; `None` takes a value back, and what shall be `gone` leaves with its key. Fails rather
    than to lose or change anything else.
    """
    places = page(path, text)
    new = text or HEADER
    for key, place in sorted(places.items(), key=lambda item: -item[1].start):
        if key in changes:
            new = _replaced(new, place, changes[key])
        elif key in gone:
            new = _without(new, place)
    indent = " " * next((place.indent for place in places.values()), 0)
    added = {key: value for key, value in changes.items() if key not in places and value is not None}
    if added and not new.endswith("\n"):
        new += "\n"
    new += "".join(f"{indent}{key}: {_dumped(value)}\n" for key, value in added.items())
    wanted = {key: place.value for key, place in places.items()} | added
    wanted |= {key: changes[key] for key in places if key in changes}
    wanted = {key: value for key, value in wanted.items() if key not in gone}
    try:
        right = {key: place.value for key, place in page(path, new).items()} == wanted
    except ConfigError:
        right = False
    if not right:
        raise ConfigError(f"{path} is written in a way that only an editor can change.", hint=_MEND)
    return new


def _without(text: str, place: Place) -> str:
    """The text without the lines of a setting."""
    lines = text.splitlines(keepends=True)
    last = text[: place.end].rstrip().count("\n")
    del lines[place.line - 1 : max(last, place.line - 1) + 1]
    return "".join(lines)


def _replaced(text: str, place: Place, value: Written) -> str:
    before, old, after = text[: place.start], text[place.start : place.end], text[place.end :]
    new = "" if value is None else _dumped(value)
    if old and "\n" in before[before.rfind(":") :]:  # a list in lines: it begins below its key
        before = before[: before.rfind("\n") + 1] + " " * (place.indent + 2)
    elif new and not before.endswith((" ", "\t")):
        before += " "
    return before + new + old[len(old.rstrip()) :] + after


def _dumped(value: Written) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_dumped, value))}]"
    text = value or ""
    if _PLAIN.fullmatch(text) and text not in _NULLS:
        return text
    import yaml

    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**9).strip()


def write_whole(path: Path, text: str | bytes) -> None:
    """Write a file, of text or of bytes, that only its owner can read: all of it, or nothing. A link stays a link."""
    import tempfile

    path = path.resolve()
    try:
        handle, unfinished = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode() if isinstance(text, str) else text)
                file.flush()
                os.fsync(file.fileno())
            Path(unfinished).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(unfinished).unlink()
            raise
    except (OSError, UnicodeEncodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds half of a character"
        raise ConfigError(
            f"{path} can't be written: {reason}.", hint="Check the text, the disk and its rights."
        ) from error
