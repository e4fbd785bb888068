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
TextsOnly = Annotated[bool, typer.Option("--texts-only", help="Leave the vectors there; embed the texts here, anew.")]
MadeBy = Annotated[str, typer.Option("--model", help="What made the vectors, where that is not told there.")]
TextColumn = Annotated[str, typer.Option("--text-column", help="The column that holds the texts.")]
Texts = Annotated[Path | None, typer.Option("--texts", help="The file with the texts, where they stand by themselves.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only look: what would be loaded, and what it would cost.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, also where it costs something.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for scripts.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    about = (
        "Load data that agents can search.\n\nGive the same command again, and only what is new or changed is loaded; "
        "one that was stopped goes on."
    )
    group = Commands(help=about, no_args_is_help=True)
    group.command()(directory)
    group.command()(webpage)
    group.command()(database)
    group.command("vector-database")(vector_database)
    group.command()(index)
    group.command()(passages)
    group.command()(conversation)
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
    """Load web pages.

    What can be read in them, that is, without menus and adverts. A page that has not changed since is not sent again.
    Hosts that are not on the public internet must be allowed: memagent configure --set allowed_hosts=NAME
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


def database(
    source: Annotated[
        str, typer.Argument(help="An address such as postgresql://user@host/name, or a file: SQLite's, or its dump.")
    ] = "",
    query: Annotated[str, typer.Option("--query", "-q", help="A SELECT; without it, all rows of all tables.")] = "",
    table: Annotated[list[str] | None, typer.Option("--table", "-t", help="Only this table.")] = None,
    key: Annotated[str, typer.Option("--key", help="The column that tells the rows of a query apart.")] = "",
    dialect: Annotated[str, typer.Option("--dialect", help="Instead of an address: postgresql, mysql, mssql …")] = "",
    host: Annotated[str, typer.Option("--host", help="Instead of an address.")] = "",
    port: Annotated[int | None, typer.Option("--port", help="Instead of an address.")] = None,
    user: Annotated[str, typer.Option("--user", help="Instead of an address.")] = "",
    dbname: Annotated[str, typer.Option("--database", help="Instead of an address.")] = "",
    ask_password: Annotated[bool, typer.Option("--ask-password", help="Ask for the password.")] = False,
    name: Name = "",
    tokens: Tokens = None,
    attach: Attach = None,
    remove: Remove = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Load the rows of a database.

    Each is a document, with the names of its columns. Nothing is written there. A password is kept nowhere: put it into
    the address, or let it be asked for.
    """
    from memagent.cli.connecting import database_options

    parts = {"dialect": dialect, "host": host, "port": port, "user": user, "database": dbname}
    options, kept, found = database_options(source, parts, ask_password)
    more: dict[str, Any] = {"query": query, "tables": table or [], "key": key}
    _load("database", options | more, name or _fit(found), _given(locals()), kept | more)


def vector_database(
    source: Annotated[
        str, typer.Argument(help="A folder of LanceDB or Chroma, a Parquet or NumPy file, or a postgresql:// address.")
    ],
    table: Annotated[
        str, typer.Option("--table", "-t", help="The table or collection; needed if there are several.")
    ] = "",
    text_column: TextColumn = "",
    vector_column: Annotated[str, typer.Option("--vector-column", help="The column that holds the vectors.")] = "",
    key_column: Annotated[str, typer.Option("--key-column", help="The column that tells entries apart.")] = "",
    texts: Texts = None,
    model: MadeBy = "",
    texts_only: TextsOnly = False,
    name: Name = "",
    attach: Attach = None,
    remove: Remove = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Load texts with their embeddings.

    From pgvector, LanceDB, Chroma, Parquet and NumPy. The embeddings must be by the embedding model that is set up
    here, or they could not be searched together with others.
    """
    from memagent.cli.connecting import place_options

    options, kept, found = place_options(source)
    more: dict[str, Any] = {
        "table": table, "text": text_column, "vector": vector_column, "key": key_column, "texts": _whole(texts),
        "model": model, "texts_only": texts_only,
    }  # fmt: skip
    _load("vector-database", options | more, name or _fit(found), _given(locals()), kept | more)


def index(
    path: Annotated[Path, typer.Argument(help="A folder of LlamaIndex, or a FAISS index with its texts.")],
    text_column: TextColumn = "",
    texts: Texts = None,
    model: MadeBy = "",
    texts_only: TextsOnly = False,
    name: Name = "",
    attach: Attach = None,
    remove: Remove = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Load a saved index: of LlamaIndex, or FAISS."""
    whole = path.expanduser().absolute()
    options: dict[str, Any] = {
        "path": str(whole), "texts": _whole(texts), "text": text_column, "model": model, "texts_only": texts_only,
    }  # fmt: skip
    _load("index", options, name or _fit(whole.stem), _given(locals()))


def passages(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="As memagent docs prepare or embed writes it.")],
    texts_only: TextsOnly = False,
    name: Name = "",
    attach: Attach = None,
    remove: Remove = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Load passages from JSON Lines, as they were cut. Vectors that came along are not made again."""
    whole = path.expanduser().absolute()
    found = whole.name.removesuffix(".jsonl").removesuffix(".embedded").removesuffix(".passages")
    options: dict[str, Any] = {"path": str(whole), "texts_only": texts_only}
    _load("passages", options, name or _fit(found), _given(locals()))


def conversation(
    file: Annotated[Path, typer.Argument(help="An export: a zip, a JSON or JSONL file, or a folder of them.")],
    agent: Annotated[str, typer.Option("--agent", "-a", autocompletion=agents, help="Whose memory it shall be in.")],
    program: Annotated[str, typer.Option("--from", help="What was talked to, where the export does not say so.")] = "",
    user: Annotated[str, typer.Option("--user", help="Your name in it, where names stand instead of roles.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look: what would be loaded.")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Load conversations with other programs.

    They go into an agent's recall memory, as if it had been there: ChatGPT's and Claude's exports, SillyTavern's chats,
    and JSON or JSONL with roles and texts. The same export again, or a longer one, adds only what is new.
    """
    from memagent.cli.carrying import load_conversations

    raise typer.Exit(load_conversations(file, agent, program, user, only_look=dry_run, yes=yes, json=json))


def _whole(path: Path | None) -> str | None:
    return str(path.expanduser().absolute()) if path else None


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """What was given that all kinds have."""
    names = ("tokens", "attach", "remove", "dry_run", "yes", "json", "texts_only")
    return {name: values.get(name) for name in names}


def _load(
    kind: str, options: dict[str, Any], name: str, given: dict[str, Any], kept: dict[str, Any] | None = None
) -> None:
    """Load what a reader gives with these options, of which `kept` may be remembered: all, if nothing else is said."""
    from memagent.cli.carrying import Wanted, load
    from memagent.library import check_name
    from memagent.loading.load import Order
    from memagent.sources.chunk import TOKENS

    order = Order(
        check_name(name, "name of a source"), options if kept is None else kept, given["tokens"] or TOKENS,
        given["remove"], bool(given["texts_only"]),
    )  # fmt: skip
    wanted = Wanted(order, given["attach"] or (), given["dry_run"], given["yes"], given["json"])
    raise typer.Exit(load(kind, options, wanted))


def _fit(name: str) -> str:
    """A name for a source, made of that of what is loaded."""
    from memagent.library import LONGEST_NAME, check_name

    try:
        return check_name(name)
    except UserError:
        return "".join(char if char.isalnum() else "-" for char in name)[:LONGEST_NAME].strip("-") or "source"
