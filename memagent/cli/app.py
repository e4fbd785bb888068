"""The command `memagent`: which subcommands there are, and the outermost door, where every error becomes a line or two.

Knows nothing of what the subcommands do.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from functools import cache
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer._completion_classes import completion_init
from typer.main import get_command

from memagent import __version__
from memagent.cli.light import Commands, LightGroup, debugging
from memagent.errors import MemagentError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

COMMANDS = (
    "run", "agents", "characters", "memory", "memories", "facts", "journal", "tidy", "looking", "search", "load",
    "sources", "attaching", "reindex", "texts", "model", "configure", "transfer", "backup", "storage", "doctor",
    "batch", "mcp", "docs", "completion", "server", "connect", "dev",
)  # fmt: skip
"""The files of this room that add commands; each has `register(app)`."""
ORDER = (
    "run ask list show memory memories facts journal tidy timeline graph search create scene load sources attach "
    "detach rename delete add model configure config export import backup restore storage reindex server keys connect "
    "batch mcp docs doctor"
)


class _Ordered(LightGroup):
    """The help page begins with what is used most."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        first = ORDER.split()
        return sorted(self.commands, key=lambda name: first.index(name) if name in first else len(first))


app = Commands(
    name="memagent",
    cls=_Ordered,
    help="Agents that remember: they edit their own memory, on any model, in one file on disk.",
    no_args_is_help=True,
    add_completion=False,  # a command of ours does it: as an option, typer loads pydantic for it at every start
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def memagent(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks, and log everything.")] = False,
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Agents that remember: they edit their own memory, on any model, in one file on disk."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"memagent {__version__}")


def program() -> None:
    """The program `memagent`: its process ends when the command does, whatever a function of the user's still does."""
    try:
        main()
    except SystemExit as end:
        functions = sys.modules.get("memagent.tools.run")
        if functions and functions.anything_given_up():
            _leave_at_once(end.code)
        raise


def _leave_at_once(code: Any) -> None:
    """End the process without a wait for anybody; everything of the agents has been stored and closed."""
    import logging

    from memagent import telemetry

    telemetry.end()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def main() -> None:
    """Run the command line."""
    completion_init()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal has every letter
    signal.signal(signal.SIGTERM, _end)
    try:
        code = _command()(prog_name="memagent", standalone_mode=False)
    except MemagentError as error:
        _stop(error)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001  # the outermost door: logged whole, told in a line
        _stop_unforeseen(error)
    else:
        sys.exit(code if isinstance(code, int) else 0)


@cache
def _command() -> Callable[..., Any]:
    """The whole command line."""
    for name in COMMANDS:
        register: Callable[[typer.Typer], None] = import_module(f"memagent.cli.{name}").register
        register(app)
    return get_command(app)


def _end(_number: int, _frame: FrameType | None) -> None:
    """Told to end: what is going on is closed on the way out, a turn as well as the terminal."""
    sys.exit(143)


def _stop(error: MemagentError) -> None:
    if debugging():
        raise error
    typer.secho(error.message, fg="red", err=True)
    if error.hint:
        typer.secho(error.hint, err=True)
    sys.exit(error.exit_code)


def _stop_unforeseen(error: Exception) -> None:
    from typer._click.exceptions import ClickException, NoArgsIsHelpError, UsageError

    if isinstance(error, NoArgsIsHelpError):
        error.show()
        sys.exit(error.exit_code)
    if isinstance(error, ClickException):
        context = error.ctx if isinstance(error, UsageError) else None
        hint = f"See: {context.command_path} --help" if context else ""
        said = error.format_message().replace("Value error, ", "").split(", unable to parse")[0]
        _stop(UserError(said, hint=hint))
    if debugging():
        raise error
    _log(error)
    typer.secho(f"Something went wrong that should not: {type(error).__name__}: {error}", fg="red", err=True)
    typer.secho("The log has the details (memagent config path); --debug shows them here.", err=True)
    sys.exit(1)


def _log(error: Exception) -> None:
    import logging

    from memagent import config
    from memagent.log import start_log

    try:
        start_log(config.load({}))
    except MemagentError:
        return
    logging.getLogger("memagent").error("unforeseen", exc_info=error)
