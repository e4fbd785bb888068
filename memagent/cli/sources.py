"""`memagent sources`: what was loaded, what is in it and who can search it; loaded again, or deleted.

Knows nothing of how a load is carried out.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.light import Commands
from memagent.cli.names import sources as names
from memagent.errors import UserError

if TYPE_CHECKING:
    from memagent.memory.sources import Recipe, SourceEntry, Sources

Name = Annotated[str, typer.Argument(help="The source's name.", autocompletion=names)]
Json = Annotated[bool, typer.Option("--json", help="For scripts.")]
PAGE = 50
NONE_YET = "There are no sources yet. Load one with: memagent load directory PATH"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = Commands(help="What was loaded, and who can search it.", invoke_without_command=True)
    group.callback()(_nothing_named)
    group.command("list")(_list)
    group.command()(show)
    group.command()(reload)
    group.command()(delete)
    app.add_typer(group, name="sources")


def _nothing_named(context: typer.Context, json: Json = False) -> None:
    """What was loaded, and who can search it."""
    from memagent.cli.agents import nothing_named

    if nothing_named(context, json):
        _list(json)


def _list(json: Json = False) -> None:
    """List the sources there are."""
    from memagent.cli.opened import as_json, opened
    from memagent.cli.rows import print_rows

    with opened() as home:
        entries = _of(home).all()
    if json:
        as_json([vars(entry) for entry in entries])
    elif not entries:
        typer.echo(NONE_YET)
    else:
        print_rows([_row(entry) for entry in entries])


def _row(entry: SourceEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "kind": entry.kind,
        "documents": f"{entry.documents:,}",
        "passages": f"{entry.passages:,}",
        "updated": entry.updated,
        "agents": ", ".join(entry.agents) or "none",
    }


def show(
    name: Name,
    page: Annotated[int, typer.Option(min=0, help="Which page of its documents, from 0.")] = 0,
    json: Json = False,
) -> None:
    """Show what is in a source, where it is from, and who can search it."""
    from memagent.cli.opened import as_json, opened
    from memagent.log import plain_to_see

    with opened() as home:
        sources = _of(home)
        entry = sources.find(name)
        recipes = sources.recipes(entry.id)
        documents = sources.listed(entry.id, page * PAGE, PAGE)
        waiting = _waiting(home, entry.id)
    if json:
        told = {**vars(entry), "recipes": [vars(recipe) for recipe in recipes], "waiting": waiting}
        as_json({**told, "documents": [vars(document) for document in documents], "page": page})
        return
    typer.secho(entry.name, bold=True)
    for recipe in recipes:
        when = f"{recipe.loaded:%Y-%m-%d %H:%M}" if recipe.loaded else "not to the end yet"
        typer.echo(f"  {recipe.kind} {plain_to_see(recipe.about)} (loaded {when})")
    typer.echo(f"  {entry.documents:,} documents, {entry.passages:,} passages")
    if waiting:
        typer.echo(f"  {waiting:,} of them wait for vectors, and are found by words: memagent reindex --source {name}")
    typer.echo(f"  can be searched by: {', '.join(entry.agents) or _nobody(entry)}")
    for document in documents:
        title = f"  {plain_to_see(document.title)}" if document.title and document.title not in document.place else ""
        typer.echo(f"{document.passages:6,}  {plain_to_see(document.place)}{title}")
    if documents:
        first = page * PAGE
        typer.echo(f"{first + 1}-{first + len(documents)} of {entry.documents}")


def _nobody(entry: SourceEntry) -> str:
    return f"nobody; let an agent with: memagent attach AGENT {quote(entry.name)}"


def reload(
    name: Name,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look at what would be loaded.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, also where it costs something.")] = False,
    json: Json = False,
) -> None:
    """Load a source again, as it was loaded before: what is new or changed, and nothing else."""
    from memagent.cli.carrying import Wanted, load
    from memagent.cli.opened import opened
    from memagent.loading.load import Order

    with opened() as home:
        sources = _of(home)
        entry = sources.find(name)
        recipes = sources.recipes(entry.id)
    code = 0
    for recipe in recipes:
        _check_whole(recipe)
        anew = bool(recipe.options.get("texts_only"))
        order = Order(entry.name, recipe.options, recipe.tokens, anew=anew)
        code = max(code, load(recipe.kind, recipe.options, Wanted(order, (), dry_run, yes, json)))
    raise typer.Exit(code)


def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a source with all that was loaded into it, for all agents."""
    from memagent.cli.opened import confirmed, opened
    from memagent.loading.hold import delete as delete_source

    with opened() as home:
        entry = _of(home).find(name)
        used = f" {', '.join(entry.agents)} can search it now." if entry.agents else ""
        question = f"Delete the source {entry.name!r} with its {entry.passages:,} passages?{used}"
        if confirmed(question, yes):
            delete_source(home.database, home.settings.user, entry)
            typer.echo(f"Deleted the source {entry.name!r}. What it was loaded from is as it was.")


def _check_whole(recipe: Recipe) -> None:
    from memagent.sources.sent import KIND

    if recipe.kind == KIND:
        raise UserError(
            "Its files were sent over the page, and were not kept when they were loaded.", hint="Send them again there."
        )
    if recipe.options.get("secret"):
        raise UserError(
            f"{recipe.about} was loaded with a secret, which is not kept.",
            hint=f"Give the command again by which it was loaded: memagent load {recipe.kind} …",
        )


def _of(home: Any) -> Sources:
    from memagent.memory.sources import Sources

    return Sources(home.database, home.settings.user)


def _waiting(home: Any, source: str) -> int:
    """How many passages have no vectors of the embedder that is set up."""
    from memagent.assemble import open_embedder
    from memagent.memory.passages import PassageStore

    store = PassageStore(home.database, source, open_embedder(home.settings))
    return store.waiting.coverage().waiting if store.waiting else 0
