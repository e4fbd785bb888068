"""`memagent list conversations` and `delete conversation`: what an agent knows of conversations with other programs.

Knows nothing of how they are loaded.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.cli.names import agents
from memagent.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memagent.memory.log import Elsewhere

Agent = Annotated[str, typer.Argument(help="The agent's name.", autocompletion=agents)]


def list_conversations(
    agent: Agent = "", json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False
) -> None:
    """List the conversations with other programs that were loaded into an agent's memory."""
    from memagent.cli.memory import state_of
    from memagent.cli.opened import as_json
    from memagent.cli.rows import print_rows

    with state_of(agent) as state:
        name, found = state.entry.name, state.log.elsewhere()
    if json:
        as_json([vars(each) for each in found])
    elif found:
        print_rows([vars(each) for each in found])
    else:
        typer.echo(f"{name} has none. Load some with: memagent load conversation FILE --agent {quote(name)}")


def delete_conversations(place: str, agent: str, yes: bool) -> None:
    """Delete the conversation at that place, or all at places of that pattern, from an agent's memory."""
    from memagent.cli.memory import state_of
    from memagent.cli.opened import confirmed
    from memagent.facts.elsewhere import delete

    with state_of(agent) as state:
        name = state.entry.name
        found = _meant(state.log.elsewhere(), place, name)
        messages = sum(each.messages for each in found)
        what = f"{found[0].place!r}" if len(found) == 1 else f"{len(found):,} conversations"
        question = f"Delete {what} ({messages:,} messages) from what {name} remembers?"
        if not confirmed(f"{question} Only their file brings that back.", yes):
            return
        with state.alone() as tx:
            for each in found:
                delete(tx, state.database, state.entry.id, each.place, state.clock())
    typer.echo(f"Deleted {what}. {name} does not find that any more.")


def _meant(there: Sequence[Elsewhere], place: str, agent: str) -> Sequence[Elsewhere]:
    exact = [each for each in there if each.place == place]
    found = exact or [each for each in there if fnmatchcase(each.place, place)]
    if not found:
        hint = f"See what there is with: memagent list conversations {quote(agent)}"
        raise NotFound(f"{agent} has no conversation {place!r}.", hint=hint)
    return found
