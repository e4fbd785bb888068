"""`memagent connect`: a chat in this terminal with an agent that a server has.

Knows nothing of how the server is reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.errors import BackendError, MemagentError, UserError

if TYPE_CHECKING:
    from memagent.bridges.socket import Connection
    from memagent.cli.console import Console
    from memagent.cli.printer import Printer
    from memagent.events import Event

LEAVE = ("/exit", "/quit", "exit", "quit")
HELP = "Here there are /exit and Ctrl-C; all others are for who sits at the server: memagent run."
LOCAL = "http://127.0.0.1:8283"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(connect)


def connect(
    address: Annotated[str, typer.Argument(help="The server's address.")] = LOCAL,
    agent: Annotated[str, typer.Option("--agent", "-a", help="The agent.")] = "",
    new: Annotated[bool, typer.Option("--new", help="Make it: there is none yet.")] = False,
    preset: Annotated[str, typer.Option("--preset", help="Preset of a new agent.")] = "",
    thoughts: Annotated[
        bool | None, typer.Option("--thoughts/--no-thoughts", help="Show what the agent thinks.")
    ] = None,
) -> None:
    """Chat with an agent of a server. A key for it belongs into MEMAGENT_SERVER_KEY, or .env."""
    from memagent import config
    from memagent.bridges.socket import connect as connected
    from memagent.cli.console import Console
    from memagent.cli.printer import Printer

    settings = config.load({"thoughts": thoughts})
    name = agent or settings.agent or "companion"
    with connected(address, settings.server_key) as server:
        if new:
            server.create(name, **({"preset": preset} if preset else {}))
        else:
            _found(server, name)
        printer = Printer(thoughts=settings.thoughts)
        printer.tell(f"{name} at {server.place} · Ctrl-D leaves")
        _talk(server, name, printer, Console(settings.home / "history"))


def _found(server: Connection, name: str) -> None:
    """Look at an agent that is there."""
    try:
        server.load(name)
    except BackendError as error:
        raise BackendError(error.message, hint=error.hint or "--agent names one, and --new makes it.") from error


def _talk(server: Connection, name: str, printer: Printer, console: Console) -> None:
    while True:
        try:
            line = console.read()
        except EOFError:
            return
        except KeyboardInterrupt:
            continue
        if line is None or not line.strip():
            continue
        if line.strip().lower() in LEAVE:
            return
        try:
            if line.startswith("/"):  # as in `memagent run`: a command is nothing to be told, and remembered
                raise UserError(f"There is no command {line.split()[0][:40]} from afar.", hint=HELP)
            _turn(server, name, server.say(name, line), printer, console)
        except MemagentError as error:
            printer.show_error(error)


def _turn(server: Connection, name: str, happening: Iterator[Event], printer: Printer, console: Console) -> None:
    """Show a turn; ask for the approvals that it needs; Ctrl-C ends the turn over there too."""
    while True:
        try:
            shown = printer.show(happening)
        except KeyboardInterrupt:
            server.cancel(name)
            for _ in happening:
                pass
            printer.tell("Stopped.")
            return
        if not shown.pending:
            return
        asked = shown.pending[-1]
        printer.show_approval(asked)
        approved = console.confirm(f"Let {name} do this?")
        happening = server.decide(name, asked.call_id, asked.digest, approved)
