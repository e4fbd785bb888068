"""`memagent completion`: lets the shell complete commands, options and names.

Knows nothing of the commands.
"""

from __future__ import annotations

from typing import Annotated

import typer

from memagent.errors import UserError


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(completion)


def completion(
    shell: Annotated[str, typer.Argument(help="bash, zsh, fish or powershell.")],
    install: Annotated[bool, typer.Option("--install", help="Put it into the shell's start-up file.")] = False,
) -> None:
    """Let your shell complete commands, options and names.

    Prints what the shell must read, or installs it.
    """
    from typer._completion_shared import get_completion_script
    from typer._completion_shared import install as put_in

    if shell not in ("bash", "zsh", "fish", "powershell"):
        raise UserError(f"There is no completion for {shell!r}.", hint="One of: bash, zsh, fish, powershell.")
    if install:
        name, path = put_in(shell=shell, prog_name="memagent")
        typer.echo(f"Completion for {name} is in {path}. It works in the next shell that you open.")
        return
    typer.echo(get_completion_script(prog_name="memagent", complete_var="_MEMAGENT_COMPLETE", shell=shell))
