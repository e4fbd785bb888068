"""The command `memagent`: which subcommands there are, and the outermost door, where every error becomes a line or two.

Knows nothing of what the subcommands do.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer
from typer._completion_classes import completion_init

from memagent import __version__
from memagent.cli.light import Commands
from memagent.errors import MemagentError

if TYPE_CHECKING:
    from collections.abc import Callable

app = Commands(
    name="memagent",
    help="Agents that remember: they edit their own memory, on any model, in one file on disk.",
    no_args_is_help=True,
    add_completion=False,  # a command of ours does it: as an option, typer loads pydantic for it at every start
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    "run", "agents", "texts", "memory", "search", "configure", "transfer", "backup", "doctor",
    "completion", "dev",
)  # fmt: skip
"""The files of this room that add commands, in the order of the help page; each has `register(app)`."""


@app.callback()
def memagent(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks, and log everything.")] = False,
) -> None:
    """Agents that remember: they edit their own memory, on any model, in one file on disk."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"memagent {__version__}")


def main() -> None:
    """Run the command line, as `memagent` does."""
    completion_init()
    for name in COMMANDS:
        register: Callable[[typer.Typer], None] = import_module(f"memagent.cli.{name}").register
        register(app)
    try:
        app()
    except MemagentError as error:
        _stop(error)
    except KeyboardInterrupt:
        typer.echo("", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except Exception as error:  # noqa: BLE001  # the outermost door: logged whole, told in a line
        _stop_unforeseen(error)


def _stop(error: MemagentError) -> None:
    if "--debug" in sys.argv:
        raise error
    typer.secho(error.message, fg="red", err=True)
    if error.hint:
        typer.secho(error.hint, err=True)
    sys.exit(error.exit_code)


def _stop_unforeseen(error: Exception) -> None:
    if "--debug" in sys.argv:
        raise error
    import logging

    logging.getLogger("memagent").exception("unforeseen")
    typer.secho(f"Something went wrong that should not: {type(error).__name__}: {error}", fg="red", err=True)
    typer.secho("The log has the details (memagent config path); --debug shows them here.", err=True)
    sys.exit(1)
