"""What an MCP server is to memagent: a program or an address that a person has declared, and the tools it offers.

A server is a stranger: nothing of it reaches a model before a person has seen it and allowed it, and what was allowed
is known by a digest. Knows nothing of files, connections or agents.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from shlex import join
from typing import Any

PREFIX = "mcp:"
"""Before a server's name, among the functions of an agent or a preset."""
MOST_TOOLS = 200
"""Of one server; every one of them costs a model words to read."""
LONGEST_TEXT = 2000
"""Characters of a description that a model, and the person who allows it, gets to see."""


@dataclass(frozen=True)
class Server:
    """A server as it is declared: a program that is started, or an address. `${NAME}` in `environment` and `headers`
    stands for a variable of the user's.
    """

    name: str
    command: tuple[str, ...] = ()
    url: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Which program it is, or where it is."""
        return self.url or join(self.command)

    @property
    def digest(self) -> str:
        """Changes whenever anything in the declaration does."""
        return _digest([self.command, self.url, dict(self.environment), dict(self.headers)])


@dataclass(frozen=True)
class Definition:
    """A tool in the words of its server, who may say anything; `hints` are what it says of its effects."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    hints: Mapping[str, bool] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Changes whenever the server says anything else of it."""
        return _digest([self.name, self.description, self.parameters, dict(self.hints)])

    @property
    def about(self) -> str:
        """What it says it does to the world, in words."""
        if self.hints.get("readOnlyHint"):
            return "says that it only reads"
        if self.hints.get("destructiveHint") is False:
            return "says that it only adds"
        return "may change or delete something"


@dataclass(frozen=True)
class Allowed:
    """A tool that a person has allowed, as it was then. `unasked`: no call of it has to be approved; `changed`: the
    server has told of it differently since, so that it is off.
    """

    definition: Definition
    unasked: bool = False
    changed: bool = False


def _digest(data: Any) -> str:
    return sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
