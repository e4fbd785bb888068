"""What a client may say over the WebSocket, and how it is answered.

Events are told as in `bridges.socket.wire`. Knows nothing of connections.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from memagent.bridges.socket import wire
from memagent.server.channel import Item


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Config(_Form):
    """What a new agent is made of."""

    name: str = Field(min_length=1, max_length=200)
    preset: str | None = None
    persona: str | None = None
    human: str | None = None
    model: str | None = None


class Create(_Form):
    """Make an agent, and look at it."""

    type: Literal["command"]
    command: Literal["create_agent"]
    config: Config


class Load(_Form):
    """Look at an agent: from now on, or from behind the number of the last event that was seen."""

    type: Literal["command"]
    command: Literal["load_agent"]
    name: str
    after: int | None = Field(default=None, ge=0)


class Leave(_Form):
    """Look at an agent no more."""

    type: Literal["command"]
    command: Literal["leave_agent"]
    name: str


class Decide(_Form):
    """Let an agent call a function that it asked for, or not."""

    type: Literal["command"]
    command: Literal["approve"]
    name: str
    call_id: str
    digest: str
    approve: bool


class Cancel(_Form):
    """End what an agent is doing."""

    type: Literal["command"]
    command: Literal["cancel"]
    name: str


class UserMessage(_Form):
    """Say something to an agent: the one that was loaded last, if none is named."""

    type: Literal["user_message"]
    message: str = Field(min_length=1)
    agent_name: str | None = None
    otid: str | None = Field(default=None, max_length=200)


Command = Annotated[Create | Load | Leave | Decide | Cancel, Field(discriminator="command")]
_SAID: TypeAdapter[Command | UserMessage] = TypeAdapter(Annotated[Command | UserMessage, Field(union_mode="smart")])


def understood(text: str) -> Create | Load | Leave | Decide | Cancel | UserMessage:
    """What a client said. Raises `ValueError` that says why it can't be understood."""
    try:
        return _SAID.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(each) for each in first["loc"] if each not in ("command", "user_message"))
        raise ValueError(f"{place}: {first['msg']}" if place else str(first["msg"])) from error


def written(message: Mapping[str, Any]) -> str:
    """A message of the server as text."""
    return json.dumps(message, ensure_ascii=False, default=str)


def server_error(message: str) -> str:
    """Something that a client said could not be done."""
    return written({"type": "server_error", "message": message})


def told(item: Item) -> str:
    """An event as it is sent to all who look."""
    return written(wire.told(item.event) | {"agent": item.agent, "run": item.run, "number": item.number})
