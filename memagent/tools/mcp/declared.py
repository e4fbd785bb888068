"""The files `mcp.json` and `mcp-allowed.json` in home: which MCP servers there are, and what a person has allowed.

The first has the form that other programs use, so that what their documentation says can be pasted. The second is
memagent's own: a declaration that comes from elsewhere brings no permission along. Knows nothing of connections.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from memagent.config_file import write_whole
from memagent.errors import ConfigError, NotFound
from memagent.tools.mcp import PREFIX, Allowed, Definition, Server

DECLARED = "mcp.json"
ALLOWED = "mcp-allowed.json"
SERVERS = "mcpServers"
MOST_BYTES = 4_000_000

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_MEND = "Mend it with an editor; nothing in it was changed."


class Servers:
    """The servers of one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._path, self._allowed = home / DECLARED, home / ALLOWED

    # Which there are --------------------------------------------------------------------------------------------------

    def all(self) -> dict[str, Server]:
        """Every server that is declared, by name."""
        given = _read(self._path).get(SERVERS, {})
        if not isinstance(given, dict):
            raise ConfigError(
                f'{self._path}: "{SERVERS}" must be an object, with a server under each name.', hint=_MEND
            )
        return {name: _server(self._path, name, of) for name, of in given.items()}

    def find(self, name: str) -> Server:
        """The server of that name."""
        servers = self.all()
        if name not in servers:
            there = f"There are: {', '.join(servers)}." if servers else "There are none yet."
            raise NotFound(
                f"There is no MCP server {name[:80]!r}.", hint=f"{there} Add one with: memagent mcp add NAME -- COMMAND"
            )
        return servers[name]

    def add(self, server: Server) -> None:
        """Declare a server; one of that name must not be there."""
        if server.name in self.all():
            raise ConfigError(
                f"There is an MCP server {server.name!r} already.", hint=f"memagent mcp remove {server.name}"
            )
        written: dict[str, Any] = {"url": server.url}
        if server.command:
            written = {"command": server.command[0], "args": list(server.command[1:])}
        for key, value in (("env", server.environment), ("headers", server.headers)):
            if value:
                written[key] = dict(value)
        _server(self._path, server.name, written)  # what could not be read again is not written
        whole = _read(self._path)
        _write(self._path, {**whole, SERVERS: {**whole.get(SERVERS, {}), server.name: written}})

    def remove(self, name: str) -> None:
        """Forget a server, and what was allowed of it."""
        self.find(name)
        whole = _read(self._path)
        del whole[SERVERS][name]
        _write(self._path, whole)
        self.forbid(name)

    # What is allowed --------------------------------------------------------------------------------------------------

    def allowed(self, server: Server) -> dict[str, Allowed]:
        """The tools of a server that were allowed, as it is declared now; none when it was another one then."""
        kept = _read(self._allowed).get(server.name, {})
        try:
            if kept.get("server") != server.digest:
                return {}
            return {name: _allowed(name, of) for name, of in kept["tools"].items()}
        except (AttributeError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{self._allowed} says nothing that can be read of {server.name!r}.",
                hint=f"Allow it again: memagent mcp forbid {server.name}, then memagent mcp allow {server.name}",
            ) from error

    def allow(self, server: Server, tools: Mapping[str, Allowed]) -> None:
        """From now on, these tools of a server are allowed, and no others."""
        kept = {
            name: {
                "digest": tool.definition.digest,
                "unasked": tool.unasked,
                "changed": tool.changed,
                "description": tool.definition.description,
                "parameters": tool.definition.parameters,
                "hints": dict(tool.definition.hints),
            }
            for name, tool in tools.items()
        }
        _write(self._allowed, {**_read(self._allowed), server.name: {"server": server.digest, "tools": kept}})

    def forbid(self, name: str, tools: Collection[str] = ()) -> None:
        """Allow some tools of a server no more, or without any named: none of it."""
        whole = _read(self._allowed)
        if not tools:
            if whole.pop(name, None) is not None:
                _write(self._allowed, whole)
            return
        server = self.find(name)
        allowed = self.allowed(server)
        for tool in tools:
            if allowed.pop(tool, None) is None:
                raise NotFound(
                    f"{name} has no tool {tool[:80]!r} that is allowed.",
                    hint=f"Allowed are: {', '.join(allowed) or 'none'}.",
                )
        self.allow(server, allowed)

    def note_changed(self, server: Server, names: Collection[str]) -> None:
        """The server tells of these tools otherwise than when they were allowed: they are off."""
        allowed = self.allowed(server)
        off = {name for name in names if name in allowed and not allowed[name].changed}
        if off:
            marked = {name: replace(of, changed=True) if name in off else of for name, of in allowed.items()}
            self.allow(server, marked)


def _server(path: Path, name: str, given: Any) -> Server:
    """A server from what is written of it."""

    def wrong(problem: str) -> ConfigError:
        return ConfigError(f"{path}: the MCP server {name[:80]!r} {problem}.", hint=_MEND)

    if not _NAME.fullmatch(name) or name.startswith(PREFIX):
        raise wrong("has a name that can't be used: letters, digits and _ . - are right, at most 40")
    if not isinstance(given, dict):
        raise wrong("must be an object with a command or a url")
    command, words, url = given.get("command", ""), given.get("args", []), given.get("url", "")
    if not isinstance(command, str) or not isinstance(url, str) or bool(command) == bool(url):
        raise wrong("must have either a command or a url")
    if url and not re.match(r"https?://[^/\s]", url):
        raise wrong("must have a url that begins with http:// or https://")
    if not isinstance(words, list) or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise wrong("must have a list of texts as its args")
    pairs = [given.get("env", {}), given.get("headers", {})]
    for pair in pairs:
        if not isinstance(pair, dict) or not all(
            isinstance(value, str) and "\0" not in value for value in pair.values()
        ):
            raise wrong("must have texts under the names in its env and headers")
    return Server(name, (command, *words) if command else (), url, *pairs)


def _allowed(name: str, kept: Any) -> Allowed:
    definition = Definition(name, kept["description"], kept["parameters"], kept["hints"])
    changed = kept["changed"] or definition.digest != kept["digest"]  # somebody edited the file
    return Allowed(definition, kept["unasked"], changed)


def _read(path: Path) -> dict[str, Any]:
    """What a file holds; nothing when it is not there."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path} is too large for what it is.", hint=_MEND)
        data = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}.", hint="Check it, or set MEMAGENT_HOME.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid JSON: {error}.", hint=_MEND) from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must be a JSON object.", hint=_MEND)
    return data


def _write(path: Path, data: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
