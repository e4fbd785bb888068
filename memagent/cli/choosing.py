"""Which model a chat begins with when none is chosen. Looked for in this order: what is configured, a key, a model
server on this machine; else the embedded model is offered.

Knows nothing of agents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from memagent import registry
from memagent.errors import MemagentError, UserError
from memagent.settings import WINDOWS

if TYPE_CHECKING:
    from memagent.config import Settings
    from memagent.llm.discovery import Found
    from memagent.llm.store import Model

SENSIBLE = ("gpt-4.1-mini", "gpt-5-mini", "gpt-4o-mini", "gpt-4.1", "gpt-5", "gpt-4o")
"""What is taken of an account's many models."""
CHANGE = "change: memagent model use"
RUNNER = "xllamacpp"
EXTRA = "pip install 'memagent[local]'"
NOTHING = "No model is chosen, and none was found on this machine."
BY_ITSELF = f"For one that runs in this very program (1.1 GB, fetched once): {EXTRA}"
OTHERS = "Or set OPENAI_API_KEY, start a model server such as Ollama, or run: memagent configure"


@dataclass(frozen=True)
class Choice:
    """A model: the settings that name it, and whether a new agent keeps them."""

    flags: dict[str, Any] = field(default_factory=dict)
    kept: bool = True


@dataclass(frozen=True)
class Chooser:
    """Chooses for one chat. `asking`: somebody can answer; `yes`: all questions are answered with yes; `before`: the
    model of the agent that was talked to last; `configure` asks for all settings.
    """

    settings: Settings
    asking: bool
    yes: bool
    before: str
    configure: Callable[[], None]

    def choice(self) -> Choice:
        """The model to use; nothing when one is chosen already."""
        settings = self.settings
        if settings.provider == "scripted":
            return Choice()
        if settings.provider == "embedded":
            return Choice(self._embedded(settings.model), kept=False)
        if settings.model and (settings.endpoint or settings.api_key or settings.origin("provider") != "default"):
            return Choice()
        if settings.endpoint or settings.api_key or settings.origin("provider") != "default":
            return self._at_endpoint()
        return self._here()

    # What is configured, or has a key ---------------------------------------------------------------------------------

    def _at_endpoint(self) -> Choice:
        from memagent.cli.configure import models_at
        from memagent.llm.discovery import talks

        try:
            names = [name for name in models_at(self.settings) if talks(name)]
        except MemagentError as problem:
            if not self.asking:
                raise
            typer.secho(str(problem), fg="red", err=True)
            self.configure()
            return Choice()
        where = self.settings.endpoint or {"openai": "OpenAI"}.get(self.settings.provider, self.settings.provider)
        if len(names) == 1:  # another one may be there the next time
            return Choice({"model": names[0]}, kept=False)
        sensible = next((name for name in (self.before, *SENSIBLE) if name in names), "")
        of_ones_own = self.settings.provider in registry.SERVERS  # the model that is in use there comes first
        if sensible and where == "OpenAI":
            name = sensible
        elif self.asking and names:
            name = _one_of(f"Which model at {where}?", names, sensible)
        elif names and (self.yes or of_ones_own):
            name = sensible or names[0]
        else:
            raise _unnamed(names)
        _tell(f"{name} at {where}")
        return Choice({"model": name})

    # What is on this machine ------------------------------------------------------------------------------------------

    def _here(self) -> Choice:
        from memagent.llm import discovery, store

        wish = self.settings.model
        home = self.settings.home
        if wish and (store.find(home, wish) or wish in [model.name for model in store.known(home)]):
            return Choice({"provider": "embedded", **self._embedded(wish)})
        if wish.startswith(tuple(WINDOWS)):
            return Choice()  # one of OpenAI's, for which there is no key
        servers = discovery.servers()
        offers = [(server, offer.name) for server in servers for offer in server.models]
        if wish:
            offers = [(server, name) for server, name in offers if wish in (name, name.removesuffix(":latest"))]
        if not offers:
            for server in [] if wish else servers:
                typer.echo(f"{server.title} runs at {server.where}, but has no model to talk to.", err=True)
            return Choice() if wish else Choice(self._offered())
        server, name = self._best(offers)
        _tell(f"{name} at {server.title} ({server.where})")
        return Choice(at(server, name))

    def _best(self, offers: Sequence[tuple[Found, str]]) -> tuple[Found, str]:
        labels = {f"{name} at {server.title}": (server, name) for server, name in offers}
        default = next((label for label, (_, name) in labels.items() if name == self.before), next(iter(labels)))
        if len(labels) == 1 or not self.asking:
            return labels[default]
        return labels[_one_of("Which model?", list(labels), default)]

    # The embedded model -----------------------------------------------------------------------------------------------

    def _offered(self) -> dict[str, Any]:
        from memagent.cli.configure import WELCOME

        if not runs_here():
            if not self.asking:
                raise UserError(
                    "No model is chosen, and none was found on this machine.", hint=f"{BY_ITSELF}. {OTHERS}"
                )
            typer.echo(f"{NOTHING}\n{BY_ITSELF}\n\n{WELCOME}")
            self.configure()
            return {}
        flags = self._embedded("", declined=self.configure)
        return {"provider": "embedded", **flags} if flags else {}

    def _embedded(self, name: str, declined: Callable[[], None] | None = None) -> dict[str, Any]:
        """The embedded model, fetched when somebody wants that."""
        from memagent.cli.pulling import pulled
        from memagent.llm import store
        from memagent.llm.store.hub import model_at

        if not runs_here():
            raise UserError("The embedded model can't run: xllamacpp is not installed.", hint=f"Install it: {EXTRA}")
        home = self.settings.home
        if store.find(home, name):
            shown = name or store.default(home).name
            if declined:
                _tell(f"{shown} on this machine")
            return {"model": shown}
        if store.is_path(name):
            store.located(home, name)
        model = model_at(home, name)
        if not self.yes and not self._wanted(model, name, first=declined is not None):
            if declined is None:
                raise UserError("There is no model then.", hint="Choose one: memagent model use")
            declined()
            return {}
        pulled(self.settings, model)
        _tell(f"{model.name} on this machine")
        return {"model": model.name}

    def _wanted(self, model: Model, name: str, *, first: bool) -> bool:
        """Whether somebody wants the model fetched; where nobody can answer, how to fetch it is told."""
        from memagent.llm.store.fetch import size

        why = (
            "No model is chosen, and none was found on this machine." if first else f"{model.name} is not fetched yet."
        )
        what = f"{model.title} ({size(model.bytes)}, licence {model.licence})"
        if not self.asking:
            pull = f"memagent model pull {name}".strip()
            hint = f"To fetch {what} once, for it to run here: {pull} --yes"
            raise UserError(why, hint=f"{hint}. {OTHERS}" if first else hint)
        import questionary

        typer.echo(why)
        answer = questionary.confirm(f"Fetch {what} once, and run it here?", default=True).ask()
        if answer is None:
            raise KeyboardInterrupt
        return bool(answer)


def at(server: Found, name: str) -> dict[str, Any]:
    """The settings that name a model at a server on this machine."""
    from memagent.llm import discovery

    flags: dict[str, Any] = {"provider": server.provider, "model": name, "endpoint": server.endpoint}
    if server.provider == "openai" and (window := discovery.window(server, name)):
        flags["context_window"] = window
    return flags


def runs_here() -> bool:
    """Whether what runs the embedded model is installed."""
    from importlib.util import find_spec

    return find_spec(RUNNER) is not None


def _tell(what: str) -> None:
    typer.echo(f"using {what} · {CHANGE}", err=True)


def _unnamed(names: Sequence[str]) -> UserError:
    how = "Give --model NAME, and --endpoint URL or the key in OPENAI_API_KEY; or run: memagent configure"
    if names:
        how = f"Give --model NAME. There are: {', '.join(names[:10])}{' …' if len(names) > 10 else ''}."
    return UserError("No model is chosen.", hint=how)


def _one_of(question: str, names: list[str], default: str) -> str:
    import questionary

    chosen = questionary.select(question, names, default=default or None).ask()
    if chosen is None:
        raise KeyboardInterrupt
    return str(chosen)
