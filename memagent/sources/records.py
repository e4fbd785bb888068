"""Data that has names, such as rows and JSON objects, as lines that a person and a search can read.

Knows nothing of files or databases.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

SHORT = 160
"""A record that is not longer stands on one line."""
DEEPEST = 100


def record(fields: Iterable[tuple[str, Any]]) -> str:
    """Names and values as "name: value"; those without a value are left out."""
    lines = [f"{name}: {text}" for name, value in fields if (text := shown(value))]
    joined = "; ".join(lines)
    return joined if len(joined) <= SHORT and "\n" not in joined else "\n".join(lines)


def shown(value: Any) -> str:
    """A single value as text; "" for none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"({len(value)} bytes)" if len(value) else ""
    return str(value).strip()


def flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """What JSON holds, as names and single values: "author.name", "tags" with a list's values in one line."""
    found: list[tuple[str, Any]] = []
    stack: list[tuple[str, Any, int]] = [(name, value, 0)]
    while stack:
        path, each, depth = stack.pop()
        if depth < DEEPEST and isinstance(each, Mapping):
            fields = [(f"{path}.{key}" if path else str(key), field, depth + 1) for key, field in each.items()]
            stack.extend(reversed(fields))
        elif depth < DEEPEST and isinstance(each, list):
            if all(not isinstance(one, (Mapping, list)) for one in each):
                found.append((path, ", ".join(text for one in each if (text := shown(one)))))
            else:
                stack.extend(reversed([(f"{path}[{n}]", one, depth + 1) for n, one in enumerate(each, 1)]))
        else:
            found.append((path, each))
    return found
