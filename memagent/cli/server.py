"""`memagent server`: agents for other programs, over HTTP and WebSocket; and `memagent keys`, which open it.

Knows nothing of what is asked over there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from memagent.errors import UserError

if TYPE_CHECKING:
    from memagent.access import Done

Host = Annotated[str, typer.Option("--host", help="Address to serve; other machines reach only one that is not local.")]
Port = Annotated[int, typer.Option("--port", "-p", min=0, max=65_535, help="Port to serve; 0: any that is free.")]
Names = Annotated[list[str] | None, typer.Option("--host-name", help="A name that the server goes by, such as my.net.")]
User = Annotated[str, typer.Option("--user", help="Whose agents the key opens; yours if you name nobody.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(server)
    keys = typer.Typer(no_args_is_help=True, help="Keys that open the server, each for one user's agents.")
    keys.command("add")(add)
    keys.command("list")(listed)
    keys.command("revoke")(revoke)
    keys.command("log")(log)
    app.add_typer(keys, name="keys")


def server(host: Host = "127.0.0.1", port: Port = 8283, host_name: Names = None) -> None:
    """Serve your agents to other programs, until Ctrl-C."""
    from memagent import config
    from memagent.log import start_log

    settings = config.load({})
    config.ensure_home(settings)
    start_log(settings)
    try:
        from memagent.server.serve import serve
    except ImportError as error:
        from memagent.errors import MissingExtra

        raise MissingExtra("The server", "server") from error
    serve(settings, host, port, names=host_name or (), told=_tell)


def _tell(host: str, port: int, keys: bool) -> None:
    shown = f"[{host}]" if ":" in host else host
    typer.echo(f"memagent serves at http://{shown}:{port} (Ctrl-C ends it)")
    if not keys:
        typer.echo("Whoever uses this machine can talk to your agents; once there is a key, only who has one can.")


def add(
    name: Annotated[str, typer.Argument(help="What the key is for, such as phone.")],
    scope: Annotated[
        str, typer.Option("--scope", help="read: look; chat: talk too; admin: make and change agents too.")
    ] = "admin",
    user: User = "",
    requests: Annotated[int, typer.Option("--requests", min=0, help="Requests in a minute; 0: no limit.")] = 0,
    tokens: Annotated[int, typer.Option("--tokens", min=0, help="Tokens of models in 24 hours; 0: no limit.")] = 0,
) -> None:
    """Make a key. It is shown once."""
    from memagent.access import SCOPES, Keys
    from memagent.assemble import local_time
    from memagent.cli.opened import opened

    chosen = [known for known in SCOPES if known == scope]
    if not chosen:
        raise UserError(f"There is no scope {scope!r}.", hint=f"Scopes are: {', '.join(SCOPES)}.")
    with opened() as home:
        limits = {"requests": requests, "tokens": tokens}
        owner, keys = user or home.settings.user, Keys(home.database, local_time)
        key, secret = keys.add(owner, name, chosen, limits)
        keys.note(_done(owner, "key added", f"{key.name} ({key.id}): {scope}"))
    typer.echo(secret)
    typer.echo(f"This is the key {key.name!r} of {key.owner}. Keep it: it is not shown again.", err=True)


def listed(json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Show all keys, but for their secrets."""
    from memagent.access import Keys
    from memagent.assemble import local_time
    from memagent.cli.opened import as_json, opened
    from memagent.log import plain_to_see

    with opened() as home:
        keys = Keys(home.database, local_time).all()
    if json:
        as_json([vars(key) | {"limits": dict(key.limits)} for key in keys])
        return
    for key in keys:
        used = f"used {key.used:%Y-%m-%d}" if key.used else "never used"
        ended = f", revoked {key.revoked:%Y-%m-%d}" if key.revoked else ""
        limits = "".join(f", {most:,} {of}" for of, most in key.limits.items() if most)
        owner = plain_to_see(key.owner)
        typer.echo(f"{plain_to_see(key.name)}  ({key.id}, of {owner}): {key.scopes[-1]}{limits}, {used}{ended}")
    if not keys:
        typer.echo("There are no keys; make one with: memagent keys add NAME")


def revoke(name: Annotated[str, typer.Argument(help="The key's name or number.")], user: User = "") -> None:
    """Let a key open nothing any more, from now on."""
    from memagent.access import Keys
    from memagent.assemble import local_time
    from memagent.cli.opened import opened

    with opened() as home:
        owner, keys = user or home.settings.user, Keys(home.database, local_time)
        key = keys.revoke(owner, name)
        keys.note(_done(owner, "key revoked", f"{key.name} ({key.id})"))
    typer.echo(f"The key {key.name!r} opens nothing any more.")


def log(
    most: Annotated[int, typer.Option("--most", min=1, help="So many lines, the newest first.")] = 100,
    user: Annotated[str, typer.Option("--user", help="Only what was done as this user.")] = "",
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show what was done with keys: who changed what, from where, and what came of it."""
    from memagent.access import Keys
    from memagent.assemble import local_time
    from memagent.cli.opened import as_json, opened
    from memagent.log import plain_to_see

    with opened() as home:
        keys = Keys(home.database, local_time)
        lines, names = keys.noted(user, most), {key.id: key.name for key in keys.all()}
    if json:
        as_json([vars(line) | {"name": names.get(line.key, "")} for line in lines])
        return
    for line in lines:
        named = f"{names[line.key]} ({line.key})" if line.key in names else line.key
        by = f" by {named}" if named else ""
        whence = f" from {line.address}" if line.address else ""
        told = f"{line.owner}{by}{whence}: {line.what} {line.target}, {line.outcome}"
        typer.echo(f"{line.when:%Y-%m-%d %H:%M:%S}  {plain_to_see(told)}")
    if not lines:
        typer.echo("Nothing was done with keys yet.")


def _done(owner: str, what: str, target: str) -> Done:
    """A line of the audit log, of what was done here."""
    from memagent.access import Done
    from memagent.assemble import local_time

    return Done(local_time(), owner, "", "", what, target, "done")
