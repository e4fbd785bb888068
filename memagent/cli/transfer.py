"""`memagent export` and `import`: an agent as one JSON document, or as a character card, out and in.

Knows nothing of what the document or the card holds.
"""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.cli.names import agents, texts_of
from memagent.errors import NameTaken, UserError

if TYPE_CHECKING:
    from memagent.bridges.cards.arriving import Arrived
    from memagent.cli.opened import Opened
    from memagent.transfer import Arrived as CameIn

PICTURES = (".png", ".charx")
"""Files that can only be cards, by the endings of their names."""


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("export")(export)
    app.command("import")(import_)


# Out ------------------------------------------------------------------------------------------------------------------


def export(
    agent: Annotated[str, typer.Argument(help="The agent's name.", autocompletion=agents)],
    file: Annotated[Path | None, typer.Argument(help="Where to; standard output without it.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    card: Annotated[
        bool, typer.Option("--card", help="A character card without memories: .png, .json or .charx.")
    ] = False,
    v2: Annotated[bool, typer.Option("--v2", help="A card in JSON for programs that know version 2 only.")] = False,
) -> None:
    """Write an agent to a file, or as a character card.

    With all it remembers; or, for other programs, the character alone: as PNG, JSON or CHARX.
    """
    from memagent.cli.opened import opened, working
    from memagent.config_file import write_whole
    from memagent.transfer import export as exported

    aside = file is None or str(file) == "-"
    if file is not None and not aside and file.exists() and not overwrite:
        raise UserError(f"{file} is there already.", hint="Replace it with --overwrite.")
    ending = "" if file is None or aside else file.suffix.lower()
    card = card or v2 or ending in PICTURES
    with opened() as home, working(f"Exporting {agent}…"):
        name = home.entry(agent).name
        data = _card(home, name, ending, v2) if card else exported(home.database, home.roster, name).encode()
    if file is None or aside:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)  # the same bytes as in a file, whatever the terminal's own encoding
        return
    write_whole(file, data)
    typer.echo(f"Exported {name} to {file}{' as a character card' if card else ''}")


def _card(home: Opened, name: str, ending: str, older: bool) -> bytes:
    from memagent.bridges.cards import sheets
    from memagent.bridges.cards.leaving import leave

    if ending not in ("", ".json", *PICTURES):
        raise UserError(
            f"A card can't be written to a file that ends with {ending}.", hint="Use .png, .json or .charx."
        )
    if older and ending in PICTURES:
        raise UserError("--v2 is for cards in JSON.", hint="A .png holds both versions; leave --v2 away.")
    sheet = leave(home.database, home.roster.find(name))
    if ending == ".png":
        return sheets.as_png(sheet)
    return sheets.as_charx(sheet) if ending == ".charx" else sheets.as_json(sheet, older=older)


# In -------------------------------------------------------------------------------------------------------------------


def import_(
    file: Annotated[
        Path, typer.Argument(help="A file made by `memagent export`, or a character card; - for standard input.")
    ],
    name: Annotated[str, typer.Option("--as", "--name", help="Another name for the agent.")] = "",
    user: Annotated[str, typer.Option("--user", help="What a card's character calls you.")] = "",
    greeting: Annotated[int, typer.Option("--greeting", min=0, help="Which of a card's greetings it begins with.")] = 0,
    preset: Annotated[
        str | None, typer.Option("--preset", autocompletion=texts_of("preset"), help="Preset for an agent from a card.")
    ] = None,
) -> None:
    """Take in an agent, or a character card, from a file.

    A card (PNG, JSON or CHARX) is known by what is in it; an agent is made of it.
    """
    from memagent.bridges.cards import sheets
    from memagent.cli.opened import opened, working
    from memagent.cli.texts import bytes_of, decoded
    from memagent.library import check_name

    data = bytes_of(file)
    if name:
        check_name(name)
    if sheets.looks_like_one(data):
        _take_in_card(data, file, name, user, greeting, preset)
        return
    if user or greeting or preset:
        raise UserError(f"{file} is not a character card.", hint="--user, --greeting and --preset are for cards.")
    text = decoded(data, file)
    with opened() as home, working(f"Importing {file}…"):
        came = _taken_in(home, text, name)
    typer.echo(f"Imported {came.name}")
    if came.left:
        typer.echo(f"This did not come along, since it is for you to say: {', '.join(came.left)}.", err=True)
    for source in came.lacking:
        typer.echo(
            f"It could search the source {source!r}, which is not here. Load it with that name, then: "
            f"memagent attach {quote(came.name)} {quote(source)}",
            err=True,
        )


def _taken_in(home: Opened, text: str, name: str) -> CameIn:
    from memagent.transfer import read_in

    try:
        return read_in(home.database, home.settings.user, text, name)
    except NameTaken as error:
        raise _told_how(error) from error


def _told_how(error: NameTaken) -> NameTaken:
    return NameTaken(error.message, hint="Give it another name with --as NAME.")


def _take_in_card(data: bytes, file: Path, name: str, user: str, greeting: int, preset: str | None) -> None:
    from memagent.bridges.cards import sheets
    from memagent.bridges.cards.arriving import arrive
    from memagent.cli.opened import opened, working
    from memagent.cli.texts import named

    with opened({"preset": preset} if preset else {}) as home, working(f"Importing {file}…"):
        sheet = sheets.read(data, named(file))
        try:
            arrived = arrive(
                home.settings, home.database, sheet, named(file), name=name, user=user.strip(), greeting=greeting
            )
        except NameTaken as error:
            raise _told_how(error) from error
    _tell(arrived, sheet.card.creator_notes, user)


def _tell(arrived: Arrived, creator_notes: str, user: str) -> None:
    """What there is to know of a character that has come in."""
    from memagent.log import harmless

    entries = "1 entry" if arrived.lore == 1 else f"{arrived.lore:,} entries"
    lore = f", with {entries} of lore" if arrived.lore else ""
    typer.echo(f"Imported {arrived.name} from a card{lore}. Talk with: memagent run --agent {quote(arrived.name)}")
    if paragraph := harmless(creator_notes.strip().split("\n\n")[0][:600].strip()):
        typer.echo(f"Its author says: {paragraph}")
    if arrived.greetings > 1:
        typer.echo(f"It has {arrived.greetings} greetings: --greeting 0 to {arrived.greetings - 1} chooses one.")
    if arrived.names_user and not user:
        typer.echo("It calls you User; give it your name with --user NAME.")
    if arrived.cut:
        fields = ", ".join(field.replace("_", " ").replace("mes example", "example dialogue") for field in arrived.cut)
        typer.echo(f"This did not fit into its persona, and is whole in its archival memory: {fields}.", err=True)
    for key in arrived.unfit_keys:
        typer.echo(f"A key of its lore is a pattern that can't be matched here: {harmless(key[:100])}", err=True)
    if arrived.newer:
        typer.echo("The card is of a newer version; what memagent does not know in it is kept.", err=True)
