"""What is answered, in the shapes of the client's world: agents, blocks, tools, models.

Knows nothing of where they are from.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError


class BlockShown(BaseModel):
    """A block of core memory."""

    id: str
    label: str
    value: str
    limit: int
    description: str | None = None
    read_only: bool = False
    metadata: dict[str, Any] = Field(default_factory=dict)
    tags: list[str] = Field(default_factory=list)
    is_template: bool = False
    hidden: bool | None = None
    created_at: datetime | None = None


class ToolShown(BaseModel):
    """A function that agents may call. Its source stays where it is."""

    id: str
    name: str
    description: str | None = None
    tool_type: str = "custom"
    source_type: str = "python"
    source_code: str | None = None
    json_schema: dict[str, Any] = Field(default_factory=dict)
    args_json_schema: dict[str, Any] | None = None
    tags: list[str] = Field(default_factory=list)
    return_char_limit: int = 6000
    default_requires_approval: bool | None = None


class Brought(BaseModel):
    """A function that came with an agent from elsewhere, and is not here."""

    name: str
    description: str | None = None
    json_schema: dict[str, Any] | None = None
    source_code: str | None = None


class Beside(BaseModel):
    """What is kept with an agent's settings as it came, to be told again."""

    agent_type: str | None = None
    description: str | None = None
    embedding: str | None = None
    timezone: str | None = None
    embedding_config: dict[str, Any] | None = None
    model_settings: dict[str, Any] | None = None
    compaction_settings: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    tool_rules: list[dict[str, Any]] | None = None
    tags: list[str] | None = None
    hidden: bool | None = None
    enable_sleeptime: bool | None = None
    message_buffer_autoclear: bool | None = None
    disabled_tools: list[Brought] | None = None


def kept_beside(kept: Mapping[str, Any]) -> dict[str, Any]:
    """The same of an agent, but for what is not as it must be: the file that it came in may have held anything."""
    found, wrong = kept.get("beside"), set[str | int]()
    if not isinstance(found, dict):
        return {}
    try:
        Beside.model_validate(found)
    except ValidationError as error:
        wrong = {each["loc"][0] for each in error.errors()}
    return {name: value for name, value in found.items() if value is not None and name not in wrong}


class MemoryShown(BaseModel):
    """Core memory."""

    blocks: list[BlockShown] = Field(default_factory=list)
    file_blocks: list[Any] = Field(default_factory=list)
    agent_type: str | None = None


class AgentShown(BaseModel):
    """An agent, and with it whatever else was told of it when it was made."""

    id: str
    name: str
    agent_type: str = "memgpt_v2_agent"
    system: str = ""
    description: str | None = None
    model: str | None = None
    embedding: str | None = None
    blocks: list[BlockShown] = Field(default_factory=list)
    memory: MemoryShown = Field(default_factory=MemoryShown)
    tools: list[ToolShown] = Field(default_factory=list)
    sources: list[Any] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)
    tool_rules: list[dict[str, Any]] = Field(default_factory=list)
    message_ids: list[str] = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)
    llm_config: dict[str, Any] = Field(default_factory=dict)
    embedding_config: dict[str, Any] | None = None
    model_settings: dict[str, Any] = Field(default_factory=dict)
    compaction_settings: dict[str, Any] = Field(default_factory=dict)
    context_window_limit: int | None = None
    timezone: str | None = None
    hidden: bool | None = None
    enable_sleeptime: bool | None = None
    message_buffer_autoclear: bool = False
    secrets: list[Any] = Field(default_factory=list)
    identities: list[Any] = Field(default_factory=list)
    created_at: datetime
    updated_at: datetime | None = None
    created_by_id: str | None = None


class ModelShown(BaseModel):
    """A model that agents can be made with."""

    handle: str
    name: str
    display_name: str
    model: str
    provider_type: str
    provider_name: str
    provider_category: str = "base"
    model_type: Literal["llm"] = "llm"
    model_endpoint_type: str
    context_window: int
    max_context_window: int


class EmbeddingModelShown(BaseModel):
    """The model that finds meaning in texts."""

    handle: str
    name: str
    display_name: str
    embedding_model: str
    provider_type: str
    provider_name: str
    model_type: Literal["embedding"] = "embedding"
    embedding_endpoint_type: str
    embedding_dim: int


class Told(BaseModel):
    """That something is done."""

    message: str


class ErrorShown(BaseModel):
    """What went wrong."""

    detail: str | list[dict[str, Any]]


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorShown, "description": words}
    for status, words in {
        400: "It can't be done like that", 401: "A key is needed", 403: "The key may not do that",
        404: "There is none, or it is somebody else's", 409: "It is taken, or busy", 413: "It is too large",
        415: "It is of a kind that is not read", 429: "Too much was asked for", 502: "The model failed",
        503: "A service, or the disk, failed",
    }.items()
}  # fmt: skip
"""What every route may answer instead."""
