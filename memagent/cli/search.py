"""`memagent search`: look through what was said to an agent, or what it noted in archival memory.

Knows nothing of how a search ranks.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from memagent.cli.names import agents
from memagent.errors import UserError


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(search)


def search(
    agent: Annotated[str, typer.Argument(help="The agent's name.", autocompletion=agents)],
    query: Annotated[str, typer.Argument(help="Words to look for.")] = "",
    where: Annotated[Literal["recall", "archival"], typer.Option("--in", help="Conversation, or notes.")] = "recall",
    since: Annotated[str, typer.Option(help="Only from this day on (recall): 2026-05-01.")] = "",
    until: Annotated[str, typer.Option(help="Only up to this day (recall).")] = "",
    page: Annotated[int, typer.Option(min=0, help="Which page, from 0.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Search a conversation, or an agent's notes.

    A conversation is searched by words or by date, notes by words and meaning.
    """
    from memagent.cli.memory import state_of
    from memagent.cli.opened import as_json, day
    from memagent.log import harmless

    first, last = day(since), day(until)
    if first and last and first > last:
        raise UserError(f"{first} is after {last}.", hint="--since is the earlier day.")
    with state_of(agent) as state:
        if where == "archival":
            found = state.archival.search(query, page)
        elif since or until:
            found = state.recall.search_dates(first, last, page)
        elif query:
            found = state.recall.search(query, page)
        else:
            raise UserError("What to look for?", hint="Give words, or --since and --until.")
    if json:
        as_json({**vars(found), "results": [vars(result) for result in found.results]})
        return
    for result in found.results:
        who = {"user": "you", "you": state.entry.name}.get(result.source, result.source)
        if where == "archival":
            apart = result.place and result.place != result.source
            who = f"{harmless(result.place)} ({result.source})" if apart else result.source
        typer.secho(f"{result.when:%Y-%m-%d %H:%M}  {who}".rstrip(), dim=True)
        typer.echo(f"  {harmless(result.text)}")
    before = found.page * found.size
    shown = f"{before + 1}-{before + len(found.results)} of {found.total}"
    typer.echo(shown if found.results else f"Nothing here; {found.total} in all.")
