"""`memagent add`: a persona, human, prompt or preset of your own, from text or a file.

Knows nothing of agents.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    """Add a persona, human, prompt, preset or function set."""
    from memagent import config

    settings = config.load({})
    config.ensure_home(settings)
    content = _content(text, file)
    if kind == "functions":
        typer.echo(f"Added {_add_functions(settings.home, name, content, overwrite, file)}")
    else:
        typer.echo(f"Added {_add_text(settings.home, kind, name, content, overwrite, file)}")


def _add_text(home: Path, kind: str, name: str, content: str, overwrite: bool, file: Path | None) -> Path:
    from memagent.library import Library

    library, plural = Library(home), f"{kind}s"
    for item in library.names(plural):  # type: ignore[arg-type]
        if item.origin == "yours" and item.name.casefold() == name.casefold() and not overwrite:
            raise _taken(item.path)
    with _told_of(home / plural / f"{name}.yaml", file):
        return library.add(plural, name, content, overwrite=overwrite)  # type: ignore[arg-type]


def _taken(path: Path) -> UserError:
    return UserError(f"{path} is there already.", hint="Replace it with --overwrite, or use another name.")


@contextmanager
def _told_of(kept: Path, file: Path | None) -> Iterator[None]:
    """A complaint about what is not kept yet names where it comes from."""
    try:
        yield
    except UserError as error:
        given = str(file) if file and str(file) != "-" else "What you gave"
        raise type(error)(error.message.replace(str(kept), given), hint=error.hint) from error


def _content(text: str, file: Path | None) -> str:
    if bool(text) == (file is not None):
        raise UserError("Where is the text?", hint="Give either --text 'words' or --file PATH.")
    return text if file is None else content_of(file)


def content_of(file: Path) -> str:
    """What a file of text named on the command line holds; `-` is standard input."""
    return decoded(bytes_of(file), file)


def bytes_of(file: Path) -> bytes:
    """What any file named on the command line holds."""
    from memagent.cli.opened import piped_in

    try:
        return piped_in() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise UserError(f"{named(file)} can't be read: {error.strerror}.") from error


def decoded(data: bytes, file: Path) -> str:
    """What a file holds as text."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{named(file)} can't be read: it is not UTF-8 text.") from error


def named(file: Path) -> str:
    """How a file on the command line is told of."""
    return "Standard input" if str(file) == "-" else str(file)


def _add_functions(home: Path, name: str, content: str, overwrite: bool, file: Path | None) -> Path:
    """Store a function set, if it loads."""
    import tempfile

    from memagent.config_file import write_whole
    from memagent.library import check_name
    from memagent.tools.loader import load_file

    check_name(name, "name for a function set")
    folder = home / "functions"
    path = folder / f"{name}.py"
    if path.exists() and not overwrite:
        raise _taken(path)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as trial:
        tried = Path(trial) / path.name
        tried.write_text(content, encoding="utf-8")
        with _told_of(tried.absolute(), file):
            load_file(tried)
    write_whole(path, content)
    return path
