"""`memagent mcp`: MCP servers for agents: declared, looked at, allowed and given; and an agent's memory as one itself.

What a server says of itself is shown as data: on lines of its own, with nothing in it that a terminal would act on.
Knows nothing of how servers are spoken to.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing, suppress
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.light import Commands
from memagent.cli.names import agents
from memagent.errors import NotFound, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from memagent.tools.mcp import Allowed, Definition, Server
    from memagent.tools.mcp.connection import Offer
    from memagent.tools.mcp.declared import Servers

Name = Annotated[str, typer.Argument(help="The server's name.")]
Agent = Annotated[str, typer.Argument(help="The agent's name.", autocompletion=agents)]
Tools = Annotated[list[str] | None, typer.Argument(help="Some of its tools; without any: all.", metavar="[TOOL…]")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Json = Annotated[bool, typer.Option("--json", help="For scripts.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = Commands(help="Tools of MCP servers for agents, and agents as MCP servers.", no_args_is_help=True)
    for command in (add, allow, give, test, forbid, take, remove, serve):
        group.command()(command)
    group.command("list")(list_servers)
    app.add_typer(group, name="mcp")


def add(
    name: Annotated[str, typer.Argument(help="What to call the server.")],
    command: Annotated[list[str] | None, typer.Argument(help="The program, after --.", metavar="[-- COMMAND…]")] = None,
    url: Annotated[str, typer.Option(help="Its address, instead of a program.")] = "",
    env: Annotated[
        list[str] | None, typer.Option(help="A variable that the program gets: NAME, or NAME=VALUE; again for more.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="Sent to the address: 'Authorization: Bearer ${NAME}'; again for more.")
    ] = None,
) -> None:
    """Declare an MCP server. It is off until you allow it.

    It is written into mcp.json in home, in the form that other programs use. A program gets none of your variables but
    those that are named; ${NAME} stands for one, from your environment or .env in home.
    """
    from memagent.tools.mcp import Server

    environment = {key: value if there else f"${{{key}}}" for key, there, value in _pairs(env, "=")}
    headers = {key.strip(): value.strip() for key, _, value in _pairs(header, ":")}
    if bool(command) == bool(url):
        raise UserError("What is the server?", hint="Give its program after --, or its address with --url.")
    _servers(write=True).add(Server(name, tuple(command or ()), url, environment, headers))
    typer.echo(f"{name} is declared, and off. Look at what it offers, and allow it: memagent mcp allow {name}")


def _pairs(given: Sequence[str] | None, mark: str) -> list[tuple[str, str, str]]:
    pairs = [text.partition(mark) for text in given or ()]
    if not all(key.strip() for key, _, _ in pairs):
        raise UserError("A name is missing.", hint="Write --env NAME=VALUE, or --header 'NAME: VALUE'.")
    return pairs


def list_servers(json: Json = False) -> None:
    """List the servers there are, and what of them is allowed."""
    from memagent.cli.opened import as_json
    from memagent.cli.rows import print_rows
    from memagent.log import plain_to_see

    servers = _servers()
    found = [(server, servers.allowed(server)) for server in servers.all().values()]
    if json:
        as_json([{"name": server.name, "place": server.place, "allowed": _states(of)} for server, of in found])
    elif found:
        print_rows([_row(server, of) | {"where": plain_to_see(server.place)} for server, of in found])
    else:
        typer.echo("There are no MCP servers yet. Add one with: memagent mcp add NAME -- COMMAND")


def _states(allowed: Mapping[str, Allowed]) -> dict[str, str]:
    return {
        name: "changed, off" if of.changed else "unasked" if of.unasked else "asked" for name, of in allowed.items()
    }


def _row(server: Server, allowed: Mapping[str, Allowed]) -> dict[str, Any]:
    states = list(_states(allowed).values())
    counts = [f"{states.count(state)} {state}" for state in ("asked", "unasked", "changed, off") if state in states]
    return {"name": server.name, "tools": "; ".join(counts) or "off"}


def allow(
    name: Name,
    tools: Tools = None,
    unasked: Annotated[bool, typer.Option("--unasked", help="Agents need not ask before they call these.")] = False,
    yes: Yes = False,
) -> None:
    """Look at what a server offers, and allow it.

    This starts the server. An agent asks you before each call, unless you say --unasked. When the server tells of a
    tool differently later, that tool is off until you allow it again.
    """
    from memagent.cli.opened import confirmed
    from memagent.log import plain_to_see
    from memagent.tools.mcp import Allowed
    from memagent.tools.mcp.linking import unfit

    servers = _servers()
    server = servers.find(name)
    if not confirmed(f"Start {plain_to_see(server.place)} and look at its tools?", yes):
        return
    offer, before = _offered(server), servers.allowed(server)
    wanted = [_of(name, offer.tools, tool) for tool in tools or offer.tools]
    fit = [tool for tool in wanted if not unfit(tool)]
    _tell(wanted, before)
    if not fit:
        raise UserError(f"{name} offers nothing that an agent could use.")
    how = "without asking you" if unasked else "asking you each time"
    if confirmed(f"Let agents that have {name} call {_count(len(fit))}, {how}?", yes):
        kept = before if tools else {}
        servers.allow(server, {**kept, **{tool.name: Allowed(tool, unasked) for tool in fit}})
        typer.echo(f"{_count(len(fit))} of {name} allowed. Give them to an agent: memagent mcp give AGENT {name}")


def _of(server: str, offered: Mapping[str, Definition], tool: str) -> Definition:
    if tool not in offered:
        raise NotFound(f"{server} offers no tool {tool!r}.", hint=f"It offers: {', '.join(offered) or 'nothing'}.")
    return offered[tool]


def _count(tools: int) -> str:
    return f"{tools} tool{'s' * (tools != 1)}"


def test(name: Name, json: Json = False) -> None:
    """Start a server and show what it offers now, and whether that is what you allowed."""
    from memagent.cli.opened import as_json

    servers = _servers()
    server = servers.find(name)
    offer, allowed = _offered(server), servers.allowed(server)
    if json:
        tools = [{**vars(tool), "state": _state(tool, allowed)} for tool in offer.tools.values()]
        as_json({"server": offer.title, "protocol": offer.protocol, "tools": tools})
        return
    typer.echo(f"{name} answers: {offer.title or 'no name'}, protocol {offer.protocol}, {_count(len(offer.tools))}")
    _tell(list(offer.tools.values()), allowed)
    if gone := [tool for tool in allowed if tool not in offer.tools]:
        typer.echo(f"Allowed, but not offered any more: {', '.join(map(quote, gone))}")


def forbid(name: Name, tools: Tools = None) -> None:
    """Allow a server, or some of its tools, no more."""
    servers = _servers()
    servers.find(name)
    servers.forbid(name, tools or ())
    typer.echo(f"Agents can't use {', '.join(tools) + ' of ' if tools else ''}{name} any more.")


def remove(name: Name) -> None:
    """Forget a server, and what was allowed of it. Agents that have it go on without it."""
    _servers().remove(name)
    typer.echo(f"{name} is forgotten.")


def give(agent: Agent, name: Name) -> None:
    """Give an agent the tools of a server; it has them from when it is opened next."""
    from memagent.tools.mcp import PREFIX
    from memagent.tools.mcp.linking import tools_of

    names = tools_of(_servers().home, name, ())
    _change(agent, lambda functions: [*functions, *({PREFIX + name} - set(functions))])
    typer.echo(f"{agent} can call: {', '.join(names)}")


def take(agent: Agent, name: Name) -> None:
    """Take the tools of a server away from an agent."""
    from memagent.tools.mcp import PREFIX

    _change(agent, lambda functions: [entry for entry in functions if entry != PREFIX + name])
    typer.echo(f"{agent} does without {name}, from when it is opened next.")


def _change(agent: str, change: Any) -> None:
    """Change which functions an agent is made with."""
    from memagent.cli.opened import opened

    with opened() as home, home.database.write() as tx:
        entry = home.roster.find(agent)
        home.roster.change(tx, entry.id, {**entry.settings, "functions": change(entry.settings["functions"])})


def serve(
    agent: Agent,
    read_only: Annotated[bool, typer.Option("--read-only", help="It can search and read, and change nothing.")] = False,
) -> None:
    """Let another program use an agent's memory: as an MCP server, on standard input and output.

    It can search and read all of it, keep notes and facts, and edit core memory, within its limits. Every edit is in
    the history, and can be taken back.
    """
    from memagent import registry
    from memagent.cli.opened import opened
    from memagent.log import start_log

    registry.check_installed("mcp")
    with opened() as home:
        from memagent.bridges.mcp_server import Memories, memory_server, serve_over_pipes
        from memagent.bridges.open_memory import opened as opened_memory

        start_log(home.settings)
        memory = opened_memory(home.settings, home.database, home.roster.find(agent))
        server = memory_server(
            Memories.of(memory.state.entry.name, lambda: memory), lambda scope: scope == "read" or not read_only
        )
        _until_told(lambda: serve_over_pipes(server))


def _until_told(work: Callable[[], None]) -> None:
    """Do something that ends when standard input does, which it also seems to when the process is told to end: a read
    that has begun can't be broken off, and the process would wait for it.
    """
    told: list[int] = []
    given, ours, feed = os.dup(0), *os.pipe()

    def stop(number: int, _frame: object) -> None:
        if not told:
            told.append(number)
            os.close(feed)

    def pass_on() -> None:
        with suppress(OSError):
            while chunk := os.read(given, 65536):
                os.write(feed, chunk)
        if not told:
            stop(0, None)

    os.dup2(ours, 0)
    os.close(ours)
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    threading.Thread(target=pass_on, daemon=True).start()
    try:
        work()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if told and told[0]:
        raise typer.Exit(128 + told[0])


# Inside ---------------------------------------------------------------------------------------------------------------


def _servers(*, write: bool = False) -> Servers:
    from memagent import config
    from memagent.tools.mcp.declared import Servers

    settings = config.load({})
    return Servers(config.ensure_home(settings) if write else settings.home)


def _offered(server: Server) -> Offer:
    from memagent import config
    from memagent.cli.opened import working
    from memagent.tools.mcp.connection import Connection

    with closing(Connection(server, config.load({}).home)) as connection, working(f"Waiting for {server.name} …"):
        return connection.offer()


def _state(tool: Definition, allowed: Mapping[str, Allowed]) -> str:
    if tool.name not in allowed:
        return "not allowed"
    before = allowed[tool.name]
    if before.definition.digest != tool.digest:
        return "changed since it was allowed, off"
    return "allowed, unasked" if before.unasked else "allowed, asked"


def _tell(tools: Sequence[Definition], allowed: Mapping[str, Allowed]) -> None:
    """What a server says of its tools: the very words that a model would read."""
    from memagent.log import harmless, plain_to_see
    from memagent.tools.kinds import Unsupported
    from memagent.tools.mcp.linking import signature

    for tool in tools:
        typer.secho(f"{plain_to_see(tool.name)}  ({_state(tool, allowed)}; {tool.about})", bold=True)
        try:
            seen = signature(tool)
        except Unsupported as error:
            typer.echo(f"  can't be used: {harmless(str(error))}")
            continue
        lines = seen.description.splitlines()
        for key, field in seen.fields.items():
            lines += [f"{key}: {field.kind.said}. {field.description}".strip(), *_inner(field.kind.schema)]
        for line in lines:
            typer.echo(f"  | {harmless(line)}")


def _inner(schema: Any) -> list[str]:
    """What is said of the parts of a parameter."""
    if isinstance(schema, list):
        return [line for each in schema for line in _inner(each)]
    if not isinstance(schema, dict):
        return []
    said = [f"  {key}: {of['description']}" for key, of in schema.get("properties", {}).items() if "description" in of]
    return said + [line for each in schema.values() for line in _inner(each)]
