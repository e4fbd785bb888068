"""`memagent export` and `import`: an agent as one JSON document, out and in.

Knows nothing of what the document holds.
"""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from memagent.cli.names import agents
from memagent.errors import NameTaken, UserError


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("export")(export)
    app.command("import")(import_)


def export(
    agent: Annotated[str, typer.Argument(help="The agent's name.", autocompletion=agents)],
    file: Annotated[Path | None, typer.Argument(help="Where to; standard output without it.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write an agent, with all it remembers, to a file."""
    from memagent.cli.opened import opened, working
    from memagent.config_file import write_whole
    from memagent.transfer import export as exported

    aside = file is None or str(file) == "-"
    if file is not None and not aside and file.exists() and not overwrite:
        raise UserError(f"{file} is there already.", hint="Replace it with --overwrite.")
    with opened() as home, working(f"Exporting {agent}…"):
        name = home.entry(agent).name
        text = exported(home.database, home.roster, name)
    if file is None or aside:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())  # the same bytes as in a file, whatever the terminal's own encoding
        return
    write_whole(file, text)
    typer.echo(f"Exported {name} to {file}")


def import_(
    file: Annotated[Path, typer.Argument(help="A file made by `memagent export`; - for standard input.")],
    name: Annotated[str, typer.Option("--as", "--name", help="Another name for the agent.")] = "",
) -> None:
    """Take in an agent from a file."""
    from memagent.cli.opened import opened, working
    from memagent.cli.texts import content_of
    from memagent.library import check_name
    from memagent.transfer import read_in

    text = content_of(file)
    lacking: list[str] = []
    if name:
        check_name(name)
    try:
        with opened() as home, working(f"Importing {file}…"):
            name = read_in(home.database, home.settings.user, text, name, lacks=lacking.append)
    except NameTaken as error:
        raise NameTaken(error.message, hint="Give it another name with --as NAME.") from error
    typer.echo(f"Imported {name}")
    for source in lacking:
        typer.echo(
            f"It could search the source {source!r}, which is not here. Load it with that name, then: "
            f"memagent attach {quote(name)} {quote(source)}",
            err=True,
        )
