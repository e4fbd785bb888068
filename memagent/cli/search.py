"""`memagent search`: look through what was said to an agent, or what it noted in archival memory.

Knows nothing of how a search ranks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from memagent.cli.names import agents
from memagent.errors import UserError

if TYPE_CHECKING:
    from memagent.storage import Page


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(search)


def search(
    agent: Annotated[str, typer.Argument(help="The agent's name.", autocompletion=agents)],
    query: Annotated[str, typer.Argument(help="Words to look for, or a question.")] = "",
    where: Annotated[
        Literal["recall", "archival", "sources", "all"],
        typer.Option("--in", help="Conversation; notes and sources; sources alone; everything."),
    ] = "recall",
    since: Annotated[str, typer.Option(help="Only from this day on: 2026-05-01.")] = "",
    until: Annotated[str, typer.Option(help="Only up to this day.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="Only notes with this tag; again for more.")] = None,
    source: Annotated[str, typer.Option(help="Only passages of this source; you: the agent's notes.")] = "",
    role: Annotated[str, typer.Option(help="Only what was said by: user, you (the agent), or a name.")] = "",
    page: Annotated[int, typer.Option(min=0, help="Which page, from 0.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Search a conversation, notes and sources.

    Without words, --since and --until show what was said then.
    """
    from memagent.cli.memory import state_of
    from memagent.cli.opened import as_json, day

    first, last = day(since), day(until)
    if first and last and first > last:
        raise UserError(f"{first} is after {last}.", hint="--since is the earlier day.")
    if not query and (where != "recall" or not (since or until)):
        raise UserError("What to look for?", hint="Give words; or --since and --until, for a conversation.")
    found: dict[str, Page] = {}
    with state_of(agent) as state:
        if where in ("recall", "all"):
            if query:
                found["recall"] = state.recall.search(query, page, since=first, until=last, role=role)
            else:
                found["recall"] = state.recall.search_dates(first, last, page)
        if where != "recall":
            found[where if where != "all" else "archival"] = state.archival.search(
                query, page, source=source, tags=tag or (), since=first, until=last, own=where != "sources"
            )
    if json:
        pages = {
            name: {**vars(one), "results": [vars(result) for result in one.results]} for name, one in found.items()
        }
        as_json(pages if where == "all" else pages[where])
        return
    for name, one in found.items():
        if where == "all":
            typer.secho({"recall": "Conversation", "archival": "Notes and sources"}[name], bold=True)
        _show(one, state.entry.name, name == "recall")


def _show(found: Page, agent: str, talk: bool) -> None:
    from memagent.log import harmless

    for result in found.results:
        who = {"user": "you", "you": agent}.get(result.source, result.source) if talk else result.source
        apart = result.place and result.place != result.source
        who = f"{result.place} ({who})" if apart else who
        why = f"  {result.why}" if result.why else ""
        typer.secho(harmless(f"{result.when:%Y-%m-%d %H:%M}  {who}{why}").rstrip(), dim=True)
        typer.echo(f"  {harmless(result.text)}")
    before = found.page * found.size
    shown = f"{before + 1}-{before + len(found.results)} of {found.total}"
    typer.echo(shown if found.results else f"Nothing here; {found.total} in all.")
