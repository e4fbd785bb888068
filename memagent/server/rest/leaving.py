"""An agent as a file of the client's world (`.af`), to be taken elsewhere: what it is, its core memory, what was said,
and what it noted.

Functions go along by name and schema; their code stays. Knows nothing of requests.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from memagent.assemble import local_time
from memagent.memory.log import MessageLog
from memagent.memory.passages import PassageStore
from memagent.messages import Message
from memagent.roster import Entry
from memagent.server.house import House
from memagent.server.rest.agents import agent_shown

CARRIED = (
    "name", "system", "agent_type", "description", "model", "embedding", "llm_config", "embedding_config", "tool_rules",
    "tags", "metadata", "message_buffer_autoclear", "timezone", "compaction_settings", "model_settings",
)  # fmt: skip


def document(house: House, entry: Entry, *, messages: bool = True) -> dict[str, Any]:
    """The file."""
    with house.database.snapshot():
        shown = agent_shown(house, entry).model_dump(mode="json")
        said = MessageLog(house.database, entry.id).all() if messages else []
        window = {message.seq for message in MessageLog(house.database, entry.id).window()} if messages else set()
        notes = [note for page in PassageStore(house.database, entry.id, None).get_all_paginated() for note in page]
    said = [message for message in said if message.kind != "boot"]  # an example of how to speak, never heard by anybody
    blocks = [{**block, "id": f"block-{at}"} for at, block in enumerate(shown["blocks"])]
    tools = [{**tool, "id": f"tool-{at}"} for at, tool in enumerate(shown["tools"])]
    agent = {
        **{name: shown[name] for name in CARRIED},
        "id": "agent-0",
        "block_ids": [block["id"] for block in blocks],
        "tool_ids": [tool["id"] for tool in tools],
        "messages": _messages(said),
        "in_context_message_ids": [_id(message) for message in said if message.seq in window],
        "tool_exec_environment_variables": {},
        "source_ids": [], "files_agents": [], "group_ids": [], "identity_ids": [],
        "passages": [
            {"text": note.text, "tags": list(note.tags), "created_at": note.created.isoformat()} for note in notes
        ],
    }  # fmt: skip
    return {
        "agents": [agent], "groups": [], "blocks": blocks, "files": [], "sources": [], "tools": tools,
        "mcp_servers": [], "skills": [], "metadata": {"from": "memagent"}, "created_at": local_time().isoformat(),
    }  # fmt: skip


def _id(message: Message) -> str:
    return f"message-{message.seq}"


def _messages(said: Sequence[Message]) -> list[dict[str, Any]]:
    return [
        {
            "id": _id(message), "type": "message", "role": message.role, "name": message.name,
            "content": [{"type": "text", "text": _text(message)}] if _text(message) else [],
            "tool_calls": [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in message.calls
            ] or None,
            "tool_call_id": message.call_id, "created_at": message.created.isoformat(), "group_id": None,
            "tool_returns": [], "approve": None, "denial_reason": None,
        }
        for message in said
    ]  # fmt: skip


def _text(message: Message) -> str:
    """What the model sees of it; a summary as an alert, which that world knows."""
    if message.kind == "summary":
        told = json.loads(message.content)
        return json.dumps({"type": "system_alert", "message": told["message"], "time": told.get("time")})
    return message.content
