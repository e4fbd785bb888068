"""`memagent configure` and `config`: the settings, asked for or given by flags, and shown with where they come from.

Knows nothing of what the settings are used for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent import registry
from memagent.cli.light import Commands
from memagent.errors import MissingExtra, UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from memagent.config import Settings

WELCOME = """memagent needs a model to talk to:

  · OpenAI, with a key:          OPENAI_API_KEY=sk-… memagent run --model gpt-4.1-mini
  · a server of your own:        memagent run --provider ollama --endpoint http://host:11434
  · any other endpoint:          memagent run --endpoint http://host:8000/v1 --model NAME
  · no model at all, to look:    memagent run --provider scripted
"""


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(configure)
    group = Commands(help="Show the settings, and where each comes from.", no_args_is_help=True)
    group.command("show")(show)
    group.command("path")(path)
    app.add_typer(group, name="config")


def configure(
    set_: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, without questions.")] = None,
    unset: Annotated[list[str] | None, typer.Option("--unset", help="NAME: back to its default.")] = None,
) -> None:
    """Choose model, preset, persona and the rest.

    By questions, or by --set and --unset for scripts.
    """
    from memagent import config
    from memagent.cli.opened import attended

    if set_ or unset:
        changes: dict[str, Any] = dict.fromkeys(unset or [])
        for item in set_ or []:
            name, equals, value = item.partition("=")
            if not equals:
                raise UserError(f"{item!r} does not set anything.", hint="Write it like --set model=gpt-4.1-mini")
            changes[name.strip()] = value.strip()
        settings = config.Settings(home=config.home())  # not loaded: a wrong value may be what is to be mended
        _save(settings, changes)
        return
    settings = config.load({})
    if not attended():
        raise UserError("Nobody is there to answer questions.", hint="Give --set NAME=VALUE instead.")
    ask_all(settings)


def _save(settings: Settings, changes: dict[str, Any]) -> None:
    """Keep the changes, and say what is to be installed before they are of use."""
    from dataclasses import replace

    from memagent import config

    typer.echo(f"Saved to {config.save(settings, changes)}")
    named = [changes.get(name) or "" for name in ("provider", "embedder", "storage")]
    if replace(settings, database=changes.get("database") or "").database_url:
        named.append("postgres")
    for name in dict.fromkeys(named):
        try:
            registry.check_installed(name)
        except MissingExtra as error:
            typer.secho(str(error), fg="yellow", err=True)


def models_at(settings: Settings) -> list[str]:
    """The models that an endpoint offers."""
    from dataclasses import replace

    from memagent.assemble import open_model
    from memagent.llm.opening import offered

    if settings.provider in registry.SERVERS:
        return offered(settings)
    llm = open_model(replace(settings, model=settings.model or "?", retries=0, timeout=5.0))
    listed: Callable[[], list[str]] = getattr(llm, "list_models", list)
    return sorted(listed())


def ask_all(settings: Settings) -> None:
    """Ask for what matters, with what holds now as the default."""
    from dataclasses import replace

    import questionary

    from memagent import config
    from memagent.library import Library

    def answer(question: Any) -> str:
        given = question.ask()
        if given is None:
            raise KeyboardInterrupt
        return str(given).strip()

    providers = list(config.SETTINGS["provider"].choices)
    changes: dict[str, Any] = {}
    changes["provider"] = answer(questionary.select("Who runs the model?", providers, default=settings.provider))
    key = ""
    if changes["provider"] not in ("scripted", "embedded"):
        where = "Address of the server (empty: OpenAI itself, or the usual port here)"
        changes["endpoint"] = answer(questionary.text(where, default=settings.endpoint))
        if not settings.api_key:
            key = answer(
                questionary.password("Key (empty if it needs none; kept in .env in home, readable by you only)")
            )
        now = replace(settings, **changes, api_key=key or settings.api_key or "none")
        found = models_at(now)
        default = settings.model or (found[0] if found else "")
        which = "Which model?"
        typed = questionary.autocomplete(which, found, default=default) if found else questionary.text(which, default)
        changes["model"] = answer(typed)
        size = "Its context window, in tokens (0: what is known of it)"
        window = answer(questionary.text(size, default=str(settings.context_window)))
        changes["context_window"] = window
    library = Library(settings.home)
    for kind, plural in (("preset", "presets"), ("persona", "personas"), ("human", "humans")):
        names = [item.name for item in library.names(plural)]  # type: ignore[arg-type]
        choices = ["(as suits the model)" if kind == "preset" else "(the preset's)", *names]
        current = getattr(settings, kind) or choices[0]
        chosen = answer(questionary.select(f"Which {kind} for new agents?", choices, default=current))
        changes[kind] = "" if chosen.startswith("(") else chosen
    changes = {name: value or None for name, value in changes.items()}
    _save(settings, changes)
    if key:
        typer.echo(f"The key is in {_save_key(settings, key)}")


def _save_key(settings: Settings, key: str) -> str:
    """Keep the key in .env in home, apart from the settings."""
    from memagent.config_file import write_whole

    path = settings.home / ".env"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = [line for line in lines if not line.startswith("MEMAGENT_API_KEY=")]
    quoted = key.replace("\\", "\\\\").replace("'", "\\'")
    write_whole(path, "\n".join([*lines, f"MEMAGENT_API_KEY='{quoted}'"]) + "\n")
    return str(path)


def show(
    origin: Annotated[bool, typer.Option("--origin", help="Say where each comes from.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Show every setting; keys are masked."""
    from memagent import config
    from memagent.cli.opened import as_json

    settings = config.load({})
    values = config.masked(settings)
    if json:
        as_json({k: {"value": v, "origin": settings.origin(k)} for k, v in values.items()} if origin else values)
        return
    for name, value in values.items():
        shown = ", ".join(value) if isinstance(value, list) else "" if value is None else value
        shown = str(shown).lower() if isinstance(value, bool) else shown
        typer.echo(f"{name.ljust(18)} {shown}" + (f"   ({settings.origin(name)})" if origin else ""))


def path(json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False) -> None:
    """Print where everything is kept."""
    from memagent import config
    from memagent.cli.opened import as_json

    settings = config.load({})
    places = {
        "home": settings.home,
        "settings": settings.home / config.FILE,
        "database": config.mask(settings.database_url, settings) or settings.database_path,
        "log": settings.home / "logs" / "memagent.log",
    }
    if json:
        as_json(places)
        return
    for what, where in places.items():
        typer.echo(f"{what.ljust(9)} {where}")
