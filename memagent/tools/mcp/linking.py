"""Tools of MCP servers as functions of an agent: their names, schemas and rules, from what a person has allowed.

No server is asked for it: an agent opens without waiting, and its model reads what was allowed and nothing else. Knows
nothing of how a call gets to a server.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Coroutine, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from memagent.errors import ConfigError, UserError
from memagent.tools import Rules, Tool
from memagent.tools.kinds import Unsupported
from memagent.tools.loader import ruled
from memagent.tools.mcp import LONGEST_TEXT, PREFIX, Allowed, Definition, Server
from memagent.tools.mcp.connection import Connection
from memagent.tools.mcp.declared import Servers
from memagent.tools.mcp.schemas import fields_of, visible
from memagent.tools.schema import HEARTBEAT, Signature, make_tool

log = logging.getLogger(__name__)

LONGEST_NAME = 64


class McpFunction:
    """Calls one tool of a server. All those of one server share its connection."""

    def __init__(self, connection: Connection, definition: Definition, signature: Signature) -> None:
        self.__memagent_signature__ = signature
        self._connection = connection
        self._definition = definition

    def __call__(self, /, **arguments: Any) -> Coroutine[Any, Any, str]:
        return self._connection.call(self._definition.name, arguments)

    def close(self) -> None:
        """Let go of the server; a program that was started for it ends."""
        self._connection.close()


def tools_of(home: Path, name: str, taken: Collection[str]) -> dict[str, Tool]:
    """The tools of a server that an agent can use now, under names that it has not `taken`. Raises `UserError` when
    the server is not there, or nothing of it is allowed.
    """
    servers = Servers(home)
    server = servers.find(name)
    allowed = servers.allowed(server)
    if not allowed:
        raise UserError(f"The MCP server {name!r} is not allowed.", hint=f"Look at it with: memagent mcp allow {name}")
    connection = Connection(server, home)
    tools: dict[str, Tool] = {}
    for each in sorted(allowed):
        if not allowed[each].changed and not unfit(allowed[each].definition):
            fit = fit_name(name, each, {*taken, *tools})
            tools[fit] = _tool(connection, server, allowed[each], fit)
    return tools


def unfit(definition: Definition) -> str:
    """Why a tool can't be a function of an agent; empty when it can."""
    try:
        signature(definition)
    except Unsupported as error:
        return str(error)
    return ""


def signature(definition: Definition, where: str = "") -> Signature:
    """What a model is told of a tool, which is also what a person sees who allows it."""
    if not definition.name or len(definition.name) > 128 or visible(definition.name, 128) != definition.name:
        raise Unsupported("it has a name that can't be shown as it is")
    fields = fields_of(definition.parameters, LONGEST_TEXT)
    if HEARTBEAT in fields:
        raise Unsupported(f"it has a parameter {HEARTBEAT}, which is memagent's own")
    return Signature(visible(definition.description, LONGEST_TEXT) or definition.name, where, False, fields)


def fit_name(server: str, tool: str, taken: Collection[str]) -> str:
    """The name of a tool for the model: letters, digits and underscores; the same every time."""
    plain = re.sub("[^A-Za-z0-9_]+", "_", f"{server}_{tool}").strip("_")
    plain = plain if plain[:1].isalpha() else f"mcp_{plain}"
    if len(plain) <= LONGEST_NAME and plain not in taken:
        return plain
    mark = sha256(f"{server}/{tool}".encode()).hexdigest()[:6]
    return f"{plain[: LONGEST_NAME - len(mark) - 1]}_{mark}"


def _tool(connection: Connection, server: Server, allowed: Allowed, name: str) -> Tool:
    definition = allowed.definition
    harmless = allowed.unasked and bool(definition.hints.get("readOnlyHint") or definition.hints.get("idempotentHint"))
    rules = Rules(approval=not allowed.unasked, after_cut="retry" if harmless else "ask")
    where = f"{PREFIX}{server.name}"
    return make_tool(McpFunction(connection, definition, signature(definition, where)), rules, name)


def servers_among(entries: Collection[str]) -> list[str]:
    """The servers that are named among the functions of an agent."""
    return [entry.removeprefix(PREFIX) for entry in entries if entry.startswith(PREFIX)]


def belongs(function: str, servers: Collection[str]) -> bool:
    """Whether a function, by its name, is one of these servers, though it may be off now."""
    return any(function.startswith(f"{fit_name(server, '', ())}_") for server in servers)


def with_servers(
    tools: Mapping[str, Tool],
    home: Path,
    servers: Collection[str],
    rules: Mapping[str, Mapping[str, Any]],
    *,
    new: bool,
) -> dict[str, Tool]:
    """An agent's tools together with those of these servers, under the rules of its preset. A `new` agent must get some
    of each; an older one goes without a server that is gone, or not allowed any more.
    """
    found = dict(tools)
    for server in servers:
        try:
            found |= tools_of(home, server, found.keys())
        except UserError as error:
            if new:
                raise
            log.warning("an agent is opened without an MCP server: %s", error)
    theirs = {name: of for name, of in rules.items() if name in found}
    for name, changes in theirs.items():
        if found[name].where.startswith(PREFIX):
            _check_rules(name, changes, found[name].rules)
    return ruled(found, theirs)


def _check_rules(name: str, changes: Mapping[str, Any], rules: Rules) -> None:
    """A preset may come from a stranger: it can't let a server's tools run without a person."""
    if rules.approval and changes.get("approval") is False:
        raise ConfigError(
            f"rules.{name}.approval: calls of an MCP server are approved one by one until you yourself say otherwise.",
            hint="Say so with: memagent mcp allow SERVER TOOL --unasked",
        )
    if changes.get("apart"):
        raise ConfigError(f"rules.{name}.apart: what an MCP server does is apart already.", hint="Leave it out.")
