"""What an MCP server answered, as text for the model. Knows nothing of how it was asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from memagent.messages import storable

if TYPE_CHECKING:
    from mcp import types

MOST = 1_000_000
"""Characters of an answer that are looked at; the rule `result_limit` cuts it further."""


def as_text(result: types.CallToolResult) -> str:
    """All that is text in an answer; of what is none, what it is."""
    parts = [_part(block) for block in result.content]
    structured = result.structured_content
    if structured is not None and not any(_same(part, structured) for part in parts):
        parts.append(json.dumps(structured, ensure_ascii=False))
    return storable("\n".join(part for part in parts if part)[:MOST])


def _part(block: Any) -> str:
    kind = block.type
    if kind == "text":
        return str(block.text)
    if kind in ("image", "audio"):
        return f"[{'an' if kind[0] in 'ai' else 'a'} {kind} ({block.mime_type}, {_size(block.data)}): not shown]"
    if kind == "resource_link":
        about = f": {block.description}" if block.description else ""
        return f"[a link to {block.name} <{block.uri}>{about}]"
    inside = block.resource
    if (text := getattr(inside, "text", None)) is not None:
        return str(text)
    return f"[a file <{inside.uri}> ({inside.mime_type or 'of an unknown kind'}, {_size(inside.blob)}): not shown]"


def _size(base64: str) -> str:
    return f"{max(1, len(base64) * 3 // 4096):,} kB"


def _same(text: str, data: Any) -> bool:
    """Whether a text is only the same data once more, as servers send it for clients that know no other."""
    if len(text) > MOST:
        return True
    wrapped = (
        list(data.values()) if isinstance(data, dict) and len(data) == 1 else []
    )  # the SDK does, what is no object
    try:
        return text in wrapped or json.loads(text) in (data, *wrapped)
    except (ValueError, RecursionError):
        return False
