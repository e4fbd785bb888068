"""A typer that starts in half the time: pydantic is loaded only for a command whose options need it.

typer hands the value of an option to pydantic when it is no boolean yet; the help option that every command has is one
of those unless it has a default. Knows nothing of our commands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption


class _LightHelp:
    """A command whose help option is a plain no until it is given."""

    def get_help_option(self, ctx: typer.Context) -> TyperOption | None:
        option: TyperOption | None = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.default = False
        return option


class LightCommand(_LightHelp, TyperCommand):  # type: ignore[misc]
    """A command."""


class LightGroup(_LightHelp, TyperGroup):  # type: ignore[misc]
    """A command with commands below it."""


class Commands(typer.Typer):
    """What commands are added to, as to any `typer.Typer`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=LightGroup, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        return super().command(name, cls=LightCommand, **settings)
