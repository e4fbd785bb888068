"""`memagent model`: which models there are, and to fetch, use, remove and try one; how text models are told things.

Knows nothing of how a model is found, fetched or tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.light import Commands
from memagent.cli.wrappers import wrappers
from memagent.errors import UserError

if TYPE_CHECKING:
    from memagent.cli.which_model import Meant
    from memagent.config import Settings

Name = Annotated[str, typer.Argument(help="A model: see memagent model list.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="For scripts.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = Commands(help="List, fetch, use and try models.", no_args_is_help=True)
    group.command("list")(list_models)
    group.command()(pull)
    group.command()(use)
    group.command()(remove)
    group.command()(test)
    group.command()(wrappers)
    app.add_typer(group, name="model")


def list_models(json: Json = False) -> None:
    """List the models that are known, fetched, at servers on this machine and at your endpoint."""
    from memagent import config
    from memagent.cli.which_model import everywhere
    from memagent.llm.store.fetch import size

    settings = config.load({})
    problems: list[str] = []
    models = everywhere(settings, problems)
    if json:
        from memagent.cli.opened import as_json

        as_json([{**vars(model), "in_use": model.in_use(settings)} for model in models])
        return
    width = max(len(model.model) for model in models)
    for model in models:
        facts = [size(model.bytes)] if model.bytes else []
        facts += [f"{model.window:,} tokens"] if model.window else []
        facts += [model.where if model.here else _so_far(settings, model)]
        mark = "*" if model.in_use(settings) else " "
        typer.echo(f"{mark} {model.model.ljust(width)}  {', '.join(facts)}")
    for problem in problems:
        typer.secho(problem, fg="yellow", err=True)


def _so_far(settings: Settings, model: Meant) -> str:
    """How much of a model that is not here has been fetched already."""
    from memagent.llm import store
    from memagent.llm.store.fetch import size

    count = store.begun(settings.home, model.model)
    return f"{size(count)} of it fetched" if count else "not fetched"


def pull(name: Name = "", yes: Yes = False) -> None:
    """Fetch a model that runs in this program, once.

    Stopped or cut, the same command goes on with what there is. NAME is one that is known, or at the hub:
    owner/repo:file.gguf; without one, the default.
    """
    from memagent import config
    from memagent.cli.choosing import EXTRA, runs_here
    from memagent.cli.opened import confirmed
    from memagent.cli.pulling import pulled
    from memagent.llm import gguf, store
    from memagent.llm.store.fetch import size
    from memagent.llm.store.hub import model_at

    settings = config.load({})
    if not runs_here():
        typer.secho(f"To run it here you need more than the model: {EXTRA}", fg="yellow", err=True)
    found = store.find(settings.home, name)
    if found and name and name not in [model.name for model in store.known(settings.home)]:
        gguf.read(found)
        typer.echo(f"It is here: {found}")
        return
    model = model_at(settings.home, name)
    if not found and not confirmed(f"Fetch {model.title} ({size(model.bytes)}, licence {model.licence})?", yes):
        raise typer.Exit(1)
    path = pulled(settings, model)
    typer.echo(f"{'Checked' if found else 'Fetched'}: {path}\nUse it with: memagent model use {model.name}")


def use(
    name: Name = "",
    agent: Annotated[str, typer.Option("--agent", "-a", help="Only for this agent, instead of all new ones.")] = "",
) -> None:
    """Use a model from now on: for new agents, or for one agent.

    NAME is one that `memagent model list` shows, embedded, the path of a GGUF file, or provider/model.
    """
    from memagent import config
    from memagent.cli.opened import opened

    settings = config.load({})
    model = _chosen(settings, name)
    if agent:
        with opened() as home:
            entry = home.roster.find(agent)
            kept = {key: value for key, value in entry.settings["settings"].items() if key not in model.flags}
            kept |= model.flags
            with home.database.write() as tx:
                home.roster.change(tx, entry.id, {**entry.settings, "settings": kept})
        typer.echo(f"{entry.name} uses {model}.")
        return
    path = config.save(settings, {key: value or None for key, value in model.flags.items()})
    typer.echo(f"New agents use {model} ({path}).")
    now = config.load({})
    for key in ("provider", "model", "endpoint"):
        if getattr(now, key) != model.flags[key]:
            typer.secho(f"But {key} is {getattr(now, key)}: {now.origin(key)} says so.", fg="yellow", err=True)


def _chosen(settings: Settings, name: str) -> Meant:
    """The model named; without a name, the one that is picked from a list."""
    from memagent.cli.opened import attended
    from memagent.cli.which_model import everywhere, meant

    if name:
        return meant(settings, name)
    if not attended():
        raise UserError("Which model? Name one.", hint="See: memagent model list")
    import questionary

    models = {str(model): model for model in everywhere(settings) if model.here}
    if not models:
        raise UserError("No model is within reach.", hint="Fetch one with: memagent model pull")
    label = questionary.select("Which model?", list(models)).ask()
    if label is None:
        raise KeyboardInterrupt
    return models[label]


def remove(name: Name, yes: Yes = False) -> None:
    """Delete a model that was fetched into home."""
    from memagent import config
    from memagent.cli.opened import confirmed
    from memagent.llm import store

    settings = config.load({})
    path = store.find(settings.home, name)
    ours = path is not None and path.parent == store.folder(settings.home)
    if ours and not confirmed(f"Delete {path}?", yes):
        raise typer.Exit(1)
    for gone in store.remove(settings.home, name):
        typer.echo(f"Deleted {gone}")


def test(name: Name = "", json: Json = False) -> None:
    """Try a model for less than a minute: does it call functions, keep its JSON, how much does it see, how fast is it?

    Tells which preset and settings suit it. Without NAME it is the model in use.
    """
    from dataclasses import replace

    from memagent import config
    from memagent.assemble import open_model
    from memagent.cli.doctor import tell
    from memagent.cli.opened import spun
    from memagent.library import Library
    from memagent.llm.trial import Trial, told_window

    settings = config.load(_flags_for(name))
    llm = open_model(replace(settings, retries=0, timeout=min(settings.timeout, 20.0)))
    trial = Trial(
        llm, settings, told_window(settings, llm), [item.name for item in Library(settings.home).names("presets")]
    )
    if not json:
        typer.echo(f"{llm.model}:")
    tell(spun(trial.run(), "Trying it …"), json)


def _flags_for(name: str) -> dict[str, Any]:
    """The settings that name the model to try; without a name, the one that a new chat would use."""
    from memagent import config
    from memagent.cli.choosing import Chooser
    from memagent.cli.configure import ask_all
    from memagent.cli.opened import attended
    from memagent.cli.which_model import meant

    settings = config.load({})
    if name:
        return meant(settings, name).flags
    return Chooser(settings, attended(), False, "", lambda: ask_all(settings)).choice().flags
