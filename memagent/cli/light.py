"""A typer that starts in half the time: pydantic is loaded only for a command whose options need it.

typer hands the value of an option to pydantic when it is no boolean yet; the help option that every command has is one
of those unless it has a default. `--debug` may stand anywhere on the line, and a reader that has gone away
(`memagent list | head -1`) ends a command without a word; a full disk is told in a line. Knows nothing of our commands.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from memagent.errors import BackendError

DEBUG = "--debug"
NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC))
"""What writing to a file fails with, through no fault of ours."""
NOBODY_READS = 141
"""The exit code of a program whose output nobody reads any more, as shells count it."""


def debugging() -> bool:
    """Whether the command line asks for tracebacks, wherever on it."""
    return DEBUG in _options(sys.argv[1:])


def _options(arguments: list[str]) -> list[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


class _LightHelp:
    """A command whose help option is a plain no until it is given."""

    def get_help_option(self, ctx: typer.Context) -> TyperOption | None:
        option: TyperOption | None = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.default = False
        return option

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        options = _options(args)
        if not any(DEBUG in param.opts for param in self.params):  # type: ignore[attr-defined]
            args = [word for word in options if word != DEBUG] + args[len(options) :]
        rest: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        return rest

    def invoke(self, ctx: typer.Context) -> Any:
        try:
            done = super().invoke(ctx)  # type: ignore[misc]
            if sys.stdout is not None:  # it can be closed from the start
                sys.stdout.flush()
        except BrokenPipeError:
            _print_no_more()
            raise typer.Exit(NOBODY_READS) from None
        except OSError as error:
            if (
                error.errno not in NO_ROOM or error.filename
            ):  # those of our own files have been explained where they are
                raise
            _print_no_more()
            hint = "What was done is stored all the same; memagent search finds what was said."
            raise BackendError(f"The output can't be written: {error.strerror}.", hint=hint) from None
        return done


def _print_no_more() -> None:
    """Let nothing go wrong any more where Python flushes to as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class LightCommand(_LightHelp, TyperCommand):  # type: ignore[misc]
    """A command."""


class LightGroup(_LightHelp, TyperGroup):  # type: ignore[misc]
    """A command with commands below it."""


class Commands(typer.Typer):
    """What commands are added to, as to any `typer.Typer`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"cls": LightGroup, **settings})

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        return super().command(name, cls=LightCommand, **settings)
