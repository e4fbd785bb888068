"""`memagent list`, `show`, `delete` and `rename`: the agents there are, and the texts and presets they are made from.

Knows nothing of conversations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from memagent.cli.conversations import delete_conversations, list_conversations
from memagent.cli.light import Commands
from memagent.cli.looking import Html, Page, show_agent
from memagent.cli.names import TEXTS, agents, agents_and_kinds, of_kind
from memagent.cli.rows import print_rows
from memagent.errors import NotFound, ToolFileError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memagent.library import Kind

Json = Annotated[bool, typer.Option("--json", help="For scripts.")]
Kinds = Literal["agent", "conversation", "preset", "persona", "human", "prompt", "functions"]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = Commands(help="List agents, and what they are made from.", invoke_without_command=True)
    group.callback()(_nothing_named)
    group.command("agents")(_list_agents)
    for what in ("presets", "personas", "humans", "prompts"):
        group.command(what, help=f"List {what}, yours and the shipped ones.")(_lister(what))
    group.command("conversations")(list_conversations)
    group.command("functions")(_list_functions)
    app.add_typer(group, name="list")
    app.command()(show)
    app.command()(delete)
    app.command()(rename)


def _nothing_named(context: typer.Context, json: Json = False) -> None:
    """List agents, and what they are made from."""
    if nothing_named(context, json):
        _list_agents(json)


def nothing_named(context: typer.Context, json: bool) -> bool:
    """Whether a group of commands was given without one of them; `--json` is the group's own only then."""
    if json and context.invoked_subcommand:
        hint = f"Write: memagent {context.info_name} {context.invoked_subcommand} --json"
        raise UserError(f"--json stands after {context.invoked_subcommand}.", hint=hint)
    return context.invoked_subcommand is None


def _list_agents(json: Json = False) -> None:
    """List the agents there are."""
    _print_rows("agents", _agents(), json)


def _list_functions(json: Json = False) -> None:
    """List the functions that presets can name, yours and the shipped ones."""
    _print_rows("functions", _functions(), json)


def _lister(what: Kind) -> Callable[[bool], None]:
    def command(json: Json = False) -> None:
        _print_rows(what, _texts(what), json)

    return command


def _print_rows(what: str, rows: list[dict[str, Any]], json: bool) -> None:
    if json:
        from memagent.cli.opened import as_json

        as_json(rows)
        return
    if not rows:
        typer.echo(f"There are no {what} yet." + (" Make one with: memagent run" if what == "agents" else ""))
        return
    print_rows(rows)


def _agents() -> list[dict[str, Any]]:
    from memagent.cli.opened import opened

    with opened() as home:
        return [
            {
                "name": entry.name,
                "preset": entry.settings.get("preset", ""),
                "messages": entry.messages,
                "last_talked": entry.last_talked,
            }
            for entry in home.roster.all()
        ]


def _texts(what: Kind) -> list[dict[str, Any]]:
    from memagent import config
    from memagent.library import Library

    return [
        {"name": item.name, "from": item.origin, "file": str(item.path)}
        for item in Library(config.load({}).home).names(what)
    ]


def _functions() -> list[dict[str, Any]]:
    from memagent import config
    from memagent.tools.loader import available_sets, load_file

    rows = []
    for name, path in available_sets(config.load({}).home / "functions").items():
        try:
            tools = load_file(path)
        except ToolFileError as error:
            rows.append({"name": "(broken)", "set": name, "what it does": error.message})
            continue
        for tool in tools.values():
            about = str(tool.schema["description"]).split("\n")[0]
            rows.append({"name": tool.name, "set": name, "what it does": about})
    return rows


def show(
    kind: Annotated[
        str,
        typer.Argument(
            help="An agent's name; or: preset, persona, human, prompt, functions.", autocompletion=agents_and_kinds
        ),
    ],
    name: Annotated[
        str,
        typer.Argument(help="The name, after preset, persona, human, prompt or functions.", autocompletion=of_kind),
    ] = "",
    page: Page = 0,
    html: Html = None,
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Show an agent and all that it remembers, or a text.

    A text is that of a preset, persona, human, prompt or function set.
    """
    if not name or kind == "agent":
        return show_agent(name or kind, page, html, json)
    if html or page:
        raise UserError(f"--html and --page are for an agent, not for a {kind}.", hint="Leave them out.")
    from memagent import config
    from memagent.library import Library
    from memagent.log import harmless

    home = config.load({}).home
    if kind == "functions":
        text = _function_set(home, name).read_text(encoding="utf-8")
    elif kind in TEXTS:
        text = Library(home).text(f"{kind}s", name)  # type: ignore[arg-type]
    else:
        raise UserError(
            f"There is nothing called {kind!r} to show.", hint=f"One of: agent, {', '.join(TEXTS)}, functions."
        )
    typer.echo(harmless(text).rstrip())
    return None


def _function_set(home: Path, name: str) -> Path:
    from memagent.tools.loader import available_sets

    sets = available_sets(home / "functions")
    if name not in sets:
        raise NotFound(f"There is no function set {name!r}.", hint=f"There are: {', '.join(sorted(sets))}.")
    return sets[name]


def delete(
    kind: Annotated[Kinds, typer.Argument(help="What to delete.")],
    name: Annotated[str, typer.Argument(help="Its name.", autocompletion=of_kind)],
    agent: Annotated[
        str, typer.Option("--agent", "-a", autocompletion=agents, help="Whose memory a conversation is in.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete an agent, a loaded conversation, or a text.

    An agent goes with all it remembers. A conversation is named by its place, or several by a pattern: 'Claude › *'. A
    text is a preset, persona, human, prompt or function set of your own.
    """
    from memagent.cli.opened import confirmed, opened

    if kind == "conversation":
        return delete_conversations(name, agent, yes)
    if agent:
        raise UserError("--agent says whose conversation is meant, and of nothing else.", hint="Leave it out.")
    if kind != "agent":
        return _delete_text(kind, name, yes)
    with opened() as home:
        entry = home.roster.find(name)
        if confirmed(f"Delete the agent {name!r} and everything it remembers? This can't be undone.", yes):
            home.roster.delete(entry.name)
            typer.echo(f"Deleted the agent {name!r}.")
    return None


def _delete_text(kind: str, name: str, yes: bool) -> None:
    from memagent import config
    from memagent.cli.opened import confirmed
    from memagent.library import Library

    home = config.load({}).home
    if kind != "functions":
        library, plural = Library(home), f"{kind}s"
        library.text(plural, name)  # type: ignore[arg-type]  # what is not there need not be asked about
        if confirmed(f"Delete the {kind} {name!r}?", yes):
            typer.echo(f"Deleted {library.delete(plural, name)}")  # type: ignore[arg-type]
        return
    path = _function_set(home, name)
    if not path.is_relative_to(home):
        raise UserError(f"The function set {name!r} comes with memagent and can't be deleted.")
    if confirmed(f"Delete the function set {name!r}?", yes):
        path.unlink()
        typer.echo(f"Deleted {path}")


def rename(
    name: Annotated[str, typer.Argument(help="The agent's name now.", autocompletion=agents)],
    new: Annotated[str, typer.Argument(help="Its new name.")],
) -> None:
    """Give an agent another name."""
    from memagent.cli.opened import opened
    from memagent.library import check_name

    check_name(new)
    with opened() as home:
        home.roster.rename(name, new)
    typer.echo(f"{name} is now called {new}.")
