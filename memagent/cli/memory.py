"""`memagent memory`: read and edit an agent's core memory by hand, with its history: diff, undo, restore.

Knows nothing of conversations.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.cli.light import Commands
from memagent.cli.names import agents
from memagent.errors import UserError

if TYPE_CHECKING:
    from memagent.memory.core import Edit
    from memagent.persistence import PersistenceManager

Agent = Annotated[str, typer.Argument(help="The agent's name.", autocompletion=agents)]
Label = Annotated[str, typer.Argument(help="The block: persona, human …")]
Json = Annotated[bool, typer.Option("--json", help="For scripts.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = Commands(help="Read and edit an agent's core memory, with its history.", no_args_is_help=True)
    group.command()(show)
    group.command()(edit)
    group.command()(history)
    group.command()(undo)
    group.command()(restore)
    app.add_typer(group, name="memory")


@contextmanager
def state_of(name: str) -> Iterator[PersistenceManager]:
    """The durable state of an agent, without a model."""
    from memagent.assemble import open_state
    from memagent.cli.opened import opened

    with opened() as home:
        yield open_state(home.settings, home.database, home.entry(name))


def show(
    agent: Agent,
    label: Annotated[str, typer.Argument(help="One block only.")] = "",
    on: Annotated[str, typer.Option("--on", help="As it was at the end of that day: 2026-05-31.")] = "",
    json: Json = False,
) -> None:
    """Show core memory as the agent sees it, or saw it on a day."""
    from memagent.cli.opened import as_json, day
    from memagent.log import harmless
    from memagent.memory.core import find

    with state_of(agent) as state:
        when = day(on)
        there = state.core.on(when) if when else state.core.blocks
        if not there:
            raise UserError(f"{state.entry.name} was not there yet on {on}.", hint="See: memagent memory history")
        blocks = [find(there, label)] if label else list(there.values())
        if json:
            as_json([vars(block) for block in blocks])
        else:
            typer.echo(harmless(blocks[0].value if label else state.core.render(there)))


def edit(
    agent: Agent,
    label: Label,
    text: Annotated[str, typer.Argument(help="The new text; - reads standard input; without it you edit here.")] = "",
) -> None:
    """Replace a block's text.

    The text is given here, read from standard input, or edited in place.
    """
    from memagent.cli.texts import content_of
    from memagent.memory.core import find

    with state_of(agent) as state:
        before = find(state.core.blocks, label).value
        after = content_of(Path("-")) if text == "-" else text or _edited(before)
        edits = state.edit_block(label, after.rstrip("\n"))
    _tell(edits, "Nothing was changed.")


def _edited(text: str) -> str:
    """What becomes of a text when the user edits it here."""
    import questionary

    from memagent.cli.opened import attended

    if not attended():
        raise UserError("What should the block read?", hint="Give the text, or - to read it from standard input.")
    done: str | None = questionary.text("", default=text, multiline=True).ask()
    return text if done is None else done


LONGEST_WORDS = 60


def history(
    agent: Agent,
    label: Annotated[str, typer.Argument(help="One block only.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many edits, newest first.")] = 20,
    diff: Annotated[bool, typer.Option("--diff", help="Show what changed.")] = False,
    json: Json = False,
) -> None:
    """List the edits of core memory, newest first.

    Each with its time, by whom or what, on which words of yours, and with --diff from what to what.
    """
    from memagent.cli.opened import as_json
    from memagent.log import harmless

    with state_of(agent) as state:
        edits = state.core.history(label or None, limit)
        words = {turn: state.log.words_of(turn) for turn in {edit.turn for edit in edits} if turn}
    if json:
        as_json([{**vars(edit), "words": words.get(edit.turn or 0, "")} for edit in edits])
        return
    for entry in edits:
        head = f"{entry.created:%Y-%m-%d %H:%M}  {entry.label} version {entry.version}  by {entry.cause}"
        said = " ".join(words.get(entry.turn or 0, "").split())
        on = f'  on "{said[:LONGEST_WORDS]}{"…" if len(said) > LONGEST_WORDS else ""}"' if said else ""
        typer.secho(harmless(head + on), bold=True)
        if diff:
            typer.echo(harmless(entry.diff()) + "\n")


def undo(agent: Agent) -> None:
    """Take back the newest edit; again for the one before."""
    with state_of(agent) as state:
        edits = state.undo_edit()
    _tell(edits, "There is nothing left to take back.")


def restore(
    agent: Agent, label: Label, version: Annotated[int, typer.Argument(help="As `memory history` lists them.")]
) -> None:
    """Put a block back to how it was at a version."""
    with state_of(agent) as state:
        edits = state.edit_block(label, state.core.version(label, version).after, f"restore of version {version}")
    _tell(edits, "It reads like that already.")


def _tell(edits: list[Edit], nothing: str) -> None:
    from memagent.log import harmless

    for entry in edits:
        typer.echo(f"{entry.label} is now at version {entry.version}:\n{harmless(entry.diff())}")
    if not edits:
        typer.echo(nothing)
