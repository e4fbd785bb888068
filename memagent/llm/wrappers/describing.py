"""Functions, described to a model that reads them in its prompt.

Knows nothing of how they are called.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from memagent.llm import Schema

HEARTBEAT = "request_heartbeat"


def parameters(tool: Schema) -> dict[str, Mapping[str, Any]]:
    """The parameters that a model is told of. Whether an agent goes on is settled without its word here."""
    return {name: of for name, of in tool["parameters"].get("properties", {}).items() if name != HEARTBEAT}


def as_signatures(tools: Sequence[Schema]) -> str:
    """Each function as a line: `name(parameter: type, …): what it does`, with what is said of a parameter below it
    where that says more than its name.
    """
    return "\n".join(_signature(tool) for tool in tools)


def _signature(tool: Schema) -> str:
    required = tool["parameters"].get("required", [])
    parts = []
    for name, of in parameters(tool).items():
        kind = _kind(of)
        part = name if kind == "string" else f"{name}: {kind}"
        parts.append(part if name in required else f"{part}?")
    return f"{tool['name']}({', '.join(parts)}): {tool['description']}"


def _kind(of: Mapping[str, Any]) -> str:
    if isinstance(choices := of.get("enum"), list):
        return "|".join(json.dumps(choice, ensure_ascii=False) for choice in choices)
    if isinstance(kinds := of.get("anyOf"), list):
        return "|".join(dict.fromkeys(_kind(kind) for kind in kinds if kind.get("type") != "null")) or "any"
    kind = of.get("type", "any")
    kind = "|".join(str(name) for name in kind if name != "null") if isinstance(kind, list) else str(kind)
    return f"list of {_kind(of['items'])}" if kind == "array" and isinstance(of.get("items"), dict) else kind


def as_json_lines(tools: Sequence[Schema]) -> str:
    """Each function as its schema, in JSON on a line: what many models were trained on."""
    return "\n".join(
        json.dumps({"type": "function", "function": without_heartbeat(tool)}, ensure_ascii=False) for tool in tools
    )


def as_list(tools: Sequence[Schema]) -> str:
    """Each function by name with its description, and its parameters each on a line of its own."""
    lines = []
    for tool in tools:
        lines.append(f"{tool['name']}:\n  description: {tool['description']}\n  params:")
        lines += [f"    {name}: {of.get('description', _kind(of))}" for name, of in parameters(tool).items()]
    return "\n".join(lines)


def without_heartbeat(tool: Schema) -> dict[str, Any]:
    """The schema of a tool, of what a model is told of it."""
    schema = dict(tool["parameters"])
    schema["properties"] = parameters(tool)
    schema["required"] = [name for name in schema.get("required", []) if name != HEARTBEAT]
    return {"name": tool["name"], "description": tool["description"], "parameters": schema}
