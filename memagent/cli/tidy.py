"""`memagent tidy`: tidies what an agent remembers, now and while you look on; or takes the last tidying back.

Knows nothing of what is tidied, or how.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.cli.names import agents
from memagent.errors import ConfigError, UserError

if TYPE_CHECKING:
    from memagent.tidying import Step, Tidying

NOTHING = "There is nothing to tidy."
NO_MODEL = "There is no model within reach, so only facts are tidied."


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(tidy)


def tidy(
    agent: Annotated[str, typer.Argument(help="The agent's name.", autocompletion=agents)] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be changed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; make the changes as they are found.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last tidying back, whole.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Tidy what an agent remembers.

    Facts that say the same are merged, those whose time is over end, and crowded blocks of core memory and long notes
    are put more shortly. Every change is told, and can be taken back.
    """
    from memagent.cli.opened import as_json
    from memagent.log import harmless

    if undo and dry_run:
        raise UserError("--undo and --dry-run don't go together.", hint="Give one of them.")
    with _tidying(agent, asking=not undo) as work:
        if undo:
            done, left = work.undo()
        else:
            done, left = list(_changed(work, dry_run=dry_run, yes=yes or json)), []
    if json:
        as_json([vars(step) for step in (*done, *left)])
        return
    if undo:
        _tell_undone(done, left)
    elif not dry_run:
        for step in done if yes else ():
            typer.echo(harmless(step.told))
        typer.echo(f"{len(done)} changes. memagent tidy --undo takes them back." if done else NOTHING)


@contextmanager
def _tidying(name: str, *, asking: bool) -> Iterator[Tidying]:
    from memagent import config
    from memagent.assemble import open_model, open_state
    from memagent.cli.opened import opened
    from memagent.upkeep import open_tidying

    with opened() as home:
        entry = home.entry(name)
        settings = config.load({}, entry.settings["settings"])
        try:
            llm = open_model(settings)
        except ConfigError:
            llm = None
            if asking:
                typer.echo(NO_MODEL, err=True)
        try:
            yield open_tidying(settings, open_state(settings, home.database, entry), llm)
        finally:
            if close := getattr(llm, "close", None):
                close()


def _changed(work: Tidying, *, dry_run: bool, yes: bool) -> Iterator[Step]:
    """The changes that were made; what is proposed is told, and asked about, unless it goes without saying."""
    from memagent.cli.opened import confirmed, spun
    from memagent.log import harmless

    if yes and not dry_run:
        yield from filter(None, spun(work.tidy(), "Tidying"))
        return
    found = []
    for each in spun(iter(work.proposed()), "Looking"):
        if each:
            typer.echo(harmless(each[1].told))
            found.append(each)
    if dry_run:
        typer.echo(f"{len(found)} changes; nothing was changed." if found else NOTHING)
        return
    if not found or not confirmed(f"Make these {len(found)} changes?", yes=False):
        return
    run = 0
    for kind, proposal in found:
        if step := work.carry_out(kind, proposal, run):
            run = step.run
            yield step


def _tell_undone(done: list[Step], left: list[Step]) -> None:
    from memagent.log import harmless

    for step in done:
        typer.echo(harmless(f"Taken back: {step.told}"))
    for step in left:
        typer.echo(harmless(f"Left, since it was changed again: {step.told}"))
    if not done and not left:
        typer.echo("There is no tidying left to take back.")
