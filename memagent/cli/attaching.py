"""`memagent attach` and `detach`: which sources an agent can search. A source is shared, never copied.

Knows nothing of how sources are loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.cli.names import agents, sources

if TYPE_CHECKING:
    from memagent.roster import Entry
    from memagent.storage import Database

Agent = Annotated[str, typer.Argument(help="The agent's name.", autocompletion=agents)]
Names = Annotated[list[str], typer.Argument(help="Names of sources.", metavar="SOURCE…", autocompletion=sources)]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("attach")(_attach)
    app.command("detach")(_detach)


def _attach(agent: Agent, sources: Names) -> None:
    """Let an agent search sources that were loaded.

    They are shared, not copied: as many agents as you like can have the same one.
    """
    from memagent.cli.opened import opened

    with opened() as home:
        for line in attach(home.database, home.roster.find(agent), sources):
            typer.echo(line)


def _detach(agent: Agent, sources: Names) -> None:
    """Take sources away from an agent.

    They stay, and agents that have them too keep them.
    """
    from memagent.cli.opened import opened

    with opened() as home:
        for line in detach(home.database, home.roster.find(agent), sources):
            typer.echo(line)


def attach(database: Database, entry: Entry, names: Sequence[str]) -> Iterator[str]:
    """Let an agent search sources, all of these or none; yields what there is to tell."""
    from memagent.assemble import local_time
    from memagent.memory.sources import Sources

    for source, is_new in Sources(database, entry.owner).give(entry.id, names, local_time()):
        how = "can now search" if is_new else "could search"
        already = "" if is_new else " already"
        yield f"{entry.name} {how} {source.name}{already} ({source.passages:,} passages)."


def detach(database: Database, entry: Entry, names: Sequence[str]) -> Iterator[str]:
    """Take sources away from an agent; yields what there is to tell."""
    from memagent.memory.sources import Sources

    for source, did in Sources(database, entry.owner).take(entry.id, names):
        if did:
            again = f"memagent attach {quote(entry.name)} {quote(source.name)}"
            yield f"{entry.name} can't search {source.name} any more. It is kept; to give it back: {again}"
        else:
            yield f"{entry.name} could not search {source.name} anyway."
