"""`memagent add`: a persona, human, prompt or preset of your own, from text or a file.

Knows nothing of agents.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from memagent.errors import UserError

Kind = Literal["persona", "human", "prompt", "preset", "functions"]


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(add)


def add(
    kind: Annotated[Kind, typer.Argument(help="What to add.")],
    name: Annotated[str, typer.Argument(help="Its name.")],
    text: Annotated[str, typer.Option("--text", "-t", help="The text itself.")] = "",
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A file with the text; - for standard input.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace one of yours of that name.")] = False,
) -> None:
    """Add a persona, human, prompt, preset or function set of your own."""
    from memagent import config
    from memagent.library import Library

    settings = config.load({})
    config.ensure_home(settings)
    content = _content(text, file)
    if kind == "functions":
        typer.echo(f"Added {_add_functions(settings.home, name, content, overwrite)}")
        return
    path = Library(settings.home).add(f"{kind}s", name, content, overwrite=overwrite)  # type: ignore[arg-type]
    typer.echo(f"Added {path}")


def _content(text: str, file: Path | None) -> str:
    if bool(text) == (file is not None):
        raise UserError("Where is the text?", hint="Give either --text 'words' or --file PATH.")
    return text if file is None else content_of(file)


def content_of(file: Path) -> str:
    """What a file named on the command line holds; `-` is standard input."""
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"{file} can't be read: {reason}.") from error


def _add_functions(home: Path, name: str, content: str, overwrite: bool) -> Path:
    """Store a function set, if it loads."""
    import tempfile

    from memagent.library import check_name
    from memagent.tools.loader import load_file

    check_name(name)
    folder = home / "functions"
    path = folder / f"{name}.py"
    if path.exists() and not overwrite:
        raise UserError(f"{path} is there already.", hint="Replace it with --overwrite.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as trial:
        tried = Path(trial) / path.name
        tried.write_text(content, encoding="utf-8")
        load_file(tried)
    part = path.with_suffix(".part")
    part.write_text(content, encoding="utf-8")
    part.replace(path)
    return path
