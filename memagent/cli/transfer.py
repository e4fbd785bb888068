"""`memagent export` and `import`: an agent as one JSON document, out and in.

Knows nothing of what the document holds.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from memagent.errors import UserError


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("export")(export)
    app.command("import")(import_)


def export(
    agent: Annotated[str, typer.Argument(help="The agent's name.")],
    file: Annotated[Path | None, typer.Argument(help="Where to; standard output without it.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write an agent, with all it remembers, to a file."""
    from memagent.cli.opened import opened
    from memagent.transfer import export as exported

    with opened() as home:
        text = exported(home.database, home.roster, home.entry(agent).name)
    if file is None or str(file) == "-":
        sys.stdout.write(text)
        return
    if file.exists() and not overwrite:
        raise UserError(f"{file} is there already.", hint="Replace it with --overwrite.")
    part = file.with_name(file.name + ".part")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"{file} can't be written: {error.strerror}.") from error
    typer.echo(f"Exported {agent} to {file}")


def import_(
    file: Annotated[Path, typer.Argument(help="A file made by `memagent export`; - for standard input.")],
    name: Annotated[str, typer.Option("--as", help="Another name for the agent.")] = "",
) -> None:
    """Take in an agent from a file."""
    from memagent.cli.opened import opened
    from memagent.cli.texts import content_of
    from memagent.library import check_name
    from memagent.transfer import read_in

    text = content_of(file)
    if name:
        check_name(name)
    with opened() as home:
        typer.echo(f"Imported {read_in(home.database, home.settings.user, text, name)}")
