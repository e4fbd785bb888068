"""`memagent load`: takes in data that agents can search, and conversations with other programs; a command for each.

Knows nothing of how a load is carried out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from memagent.cli.light import Commands
from memagent.cli.names import agents, sources
from memagent.errors import UserError

Name = Annotated[
    str, typer.Option("--name", "-n", autocompletion=sources, help="What the source is called; else as it is found.")
]
Attach = Annotated[
    list[str] | None, typer.Option("--attach", "-a", autocompletion=agents, help="Let this agent search it.")
]
Tokens = Annotated[int | None, typer.Option("--tokens", min=20, max=8000, help="About how long a passage may be.")]
Remove = Annotated[
    bool | None,
    typer.Option("--remove/--keep", help="What is not there any more; it is removed when that is certain."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only look: what would be loaded, and what it would cost.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, also where it costs something.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for scripts.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    about = (
        "Load data that agents can search. Give the same command again, and only what is new or changed is loaded; "
        "one that was stopped goes on."
    )
    group = Commands(help=about, no_args_is_help=True)
    group.command()(directory)
    group.command()(webpage)
    group.command()(conversation)
    group.command()(passages)
    app.add_typer(group, name="load")


def directory(
    path: Annotated[Path, typer.Argument(help="A folder, or one file.")],
    name: Name = "",
    include: Annotated[
        list[str] | None, typer.Option("--include", "-i", help="Only these files, such as '*.md' or 'docs/**'.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option("--exclude", "-x", help="Not these files.")] = None,
    hidden: Annotated[bool, typer.Option("--hidden", help="Hidden files too.")] = False,
    links: Annotated[bool, typer.Option("--links", help="What links lead to, too.")] = False,
    all_files: Annotated[bool, typer.Option("--all", help="Also what a .gitignore leaves out.")] = False,
    tokens: Tokens = None,
    attach: Attach = None,
    remove: Remove = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Load the files of a folder, with all folders below it.

    Hidden files, and what a .gitignore or .memagentignore there leaves out, are not loaded.
    """
    whole = path.expanduser().absolute()
    options: dict[str, Any] = {
        "path": str(whole), "include": include or [], "exclude": exclude or [], "hidden": hidden, "links": links,
        "ignore_files": not all_files,
    }  # fmt: skip
    found = whole.stem if whole.is_file() else whole.resolve().name
    _load("directory", options, name or _fit(found), _given(locals()))


def webpage(
    addresses: Annotated[list[str] | None, typer.Argument(help="Addresses of pages.", metavar="URL…")] = None,
    file: Annotated[
        list[Path] | None, typer.Option("--file", "-f", help="A file with an address in each line.")
    ] = None,
    sitemap: Annotated[
        list[str] | None, typer.Option("--sitemap", "-s", help="The map of a site, sitemap.xml: all pages in it.")
    ] = None,
    delay: Annotated[float, typer.Option("--delay", min=0.0, help="Seconds between two pages of one site.")] = 1.0,
    ignore_robots: Annotated[
        bool, typer.Option("--ignore-robots", help="Also what a site asks programs not to read; ask its owner first.")
    ] = False,
    name: Name = "",
    tokens: Tokens = None,
    attach: Attach = None,
    remove: Remove = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Load web pages: what can be read in them, without menus and adverts.

    A page that has not changed since is not sent again. Hosts that are not on the public internet must be allowed:
    memagent configure --set allowed_hosts=NAME
    """
    from urllib.parse import urlsplit

    files = [str(each.expanduser().absolute()) for each in file or ()]
    options: dict[str, Any] = {
        "addresses": addresses or [], "files": files, "sitemaps": sitemap or [], "delay": delay,
        "robots": not ignore_robots,
    }  # fmt: skip
    first = next(iter([*options["addresses"], *options["sitemaps"]]), "")
    host = urlsplit(first if "://" in first else f"https://{first}").hostname or "" if first else ""
    _load("webpage", options, name or _fit(host or Path(files[0] if files else "pages").stem), _given(locals()))


def conversation(
    file: Annotated[Path, typer.Argument(help="An export: a zip, a JSON or JSONL file, or a folder of them.")],
    agent: Annotated[str, typer.Option("--agent", "-a", autocompletion=agents, help="Whose memory it shall be in.")],
    program: Annotated[str, typer.Option("--from", help="What was talked to, where the export does not say so.")] = "",
    user: Annotated[str, typer.Option("--user", help="Your name in it, where names stand instead of roles.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look: what would be loaded.")] = False,
    json: Json = False,
) -> None:
    """Load conversations with other programs into an agent's recall memory, as if it had been there.

    ChatGPT's and Claude's exports, SillyTavern's chats, and JSON or JSONL with roles and texts. The same export again,
    or a longer one, adds only what is new.
    """
    from memagent.cli.carrying import load_conversations

    raise typer.Exit(load_conversations(file, agent, program, user, only_look=dry_run, json=json))


def passages(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="As memagent docs prepare or embed writes it.")],
    name: Name = "",
    attach: Attach = None,
    remove: Remove = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Load passages from JSON Lines, as they were cut. Vectors that came along are not made again."""
    whole = path.expanduser().absolute()
    tokens = None
    found = whole.name.removesuffix(".jsonl").removesuffix(".embedded").removesuffix(".passages")
    _load("passages", {"path": str(whole)}, name or _fit(found), _given(locals()))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """What was given that all kinds have."""
    return {name: values[name] for name in ("tokens", "attach", "remove", "dry_run", "yes", "json")}


def _load(kind: str, options: dict[str, Any], name: str, given: dict[str, Any]) -> None:
    from memagent.cli.carrying import Wanted, load
    from memagent.library import check_name
    from memagent.loading.load import Order
    from memagent.sources.chunk import TOKENS

    order = Order(check_name(name, "name of a source"), options, given["tokens"] or TOKENS, given["remove"])
    wanted = Wanted(order, given["attach"] or (), given["dry_run"], given["yes"], given["json"])
    raise typer.Exit(load(kind, options, wanted))


def _fit(name: str) -> str:
    """A name for a source, made of that of what is loaded."""
    from memagent.library import LONGEST_NAME, check_name

    try:
        return check_name(name)
    except UserError:
        return "".join(char if char.isalnum() else "-" for char in name)[:LONGEST_NAME].strip("-") or "source"
