"""What is meant by the name of a model: one in process, one at a server on this machine, or one at an endpoint.

Knows nothing of what is done with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memagent import registry
from memagent.errors import MemagentError, NotFound, UserError
from memagent.settings import WINDOWS

if TYPE_CHECKING:
    from memagent.config import Settings
    from memagent.llm.discovery import Found

HERE = "this machine"


@dataclass(frozen=True)
class Meant:
    """A model by the settings that name it, and where it is, in words."""

    provider: str
    model: str
    where: str
    endpoint: str = ""
    window: int = 0
    bytes: int = 0
    here: bool = True

    @property
    def flags(self) -> dict[str, Any]:
        """The settings that name it, whatever named another one before."""
        window = self.window if self.provider == "openai" else 0  # the others find it out by themselves
        return {"provider": self.provider, "model": self.model, "endpoint": self.endpoint, "context_window": window}

    def __str__(self) -> str:
        return f"{self.model or self.provider} {'on' if self.where == HERE else 'at'} {self.where}"

    def in_use(self, settings: Settings) -> bool:
        """Whether the settings mean this one."""
        from memagent.llm import store

        model = settings.model or (store.default(settings.home).name if settings.provider == "embedded" else "")
        same = (self.provider, self.model) == (settings.provider, model)
        return same and self.endpoint.rstrip("/") in ("", settings.endpoint.rstrip("/"))


def meant(settings: Settings, name: str) -> Meant:
    """The model of that name. Raises `NotFound` where there is none, `UserError` where there are several."""
    found = list(dict.fromkeys(_meanings(settings, name)))
    if len(found) > 1:
        names = ", ".join(f"{each.provider}/{each.model}" for each in found)
        raise UserError(f"{name!r} can mean several models.", hint=f"Name one of: {names}.")
    if found:
        return found[0]
    raise NotFound(f"There is no model {name!r} within reach.", hint="See: memagent model list")


def _meanings(settings: Settings, name: str) -> Iterator[Meant]:
    from memagent.llm import store

    prefix, slash, rest = name.partition("/")
    if name in ("embedded", "scripted"):
        yield _embedded(settings.home, "") if name == "embedded" else Meant("scripted", "", HERE)
    elif store.find(settings.home, name) or store.is_path(name) or name in _known(settings.home):
        yield _embedded(settings.home, name)
    elif slash and prefix in _servers():
        yield _at_server(prefix, rest)
    elif slash and prefix in registry.LLMS:
        yield _with_provider(settings, prefix, rest)
    elif store.named_at_hub(name) and not settings.endpoint:
        yield _embedded(settings.home, name)
    else:
        yield from _anywhere(settings, name)


def _known(home: Path) -> list[str]:
    from memagent.llm import store

    return [model.name for model in store.known(home)]


def _servers() -> Sequence[str]:
    from memagent.llm.discovery import KINDS

    return list(KINDS)


def _embedded(home: Path, name: str) -> Meant:
    """A model that runs in process; it must be on this disk, and be a model."""
    from memagent.llm import gguf, store

    path = store.located(home, name)
    gguf.read(path)
    model = str(path) if store.is_path(name) else (name or store.default(home).name)
    return Meant("embedded", model, HERE, bytes=path.stat().st_size)


def _at_server(kind: str, name: str) -> Meant:
    from memagent.llm import discovery

    server = next((server for server in discovery.servers() if server.kind == kind), None)
    if server is None:
        title, port = discovery.KINDS[kind].title, discovery.KINDS[kind].port
        raise UserError(f"{title} does not answer at localhost:{port}.", hint="Start it, and try again.")
    names = [offer.name for offer in server.models]
    model = next((each for each in names if name in (each, each.removesuffix(":latest"))), None)
    if model is None:
        raise NotFound(f"{server.title} has no model {name!r}.", hint=f"It has: {', '.join(names) or 'none'}.")
    return _of(server, model)


def _of(server: Found, model: str) -> Meant:
    from memagent.cli.choosing import at

    flags = at(server, model)
    where = f"{server.title} ({server.where})"
    return Meant(flags["provider"], model, where, flags["endpoint"], flags.get("context_window", 0))


def _with_provider(settings: Settings, provider: str, name: str) -> Meant:
    """A model at a provider that is reached over the network: the endpoint that is set, where it is the provider's."""
    if provider in ("scripted", "embedded"):
        return _embedded(settings.home, name) if provider == "embedded" else Meant("scripted", name, HERE)
    endpoint = settings.endpoint if provider == settings.provider != "openai" else ""
    return Meant(provider, name, endpoint or {"openai": "OpenAI"}.get(provider, provider), endpoint)


def _anywhere(settings: Settings, name: str) -> Iterator[Meant]:
    """A bare name: at the servers on this machine, at the endpoint that is set, or at OpenAI."""
    others = [model for model in everywhere(settings) if model.provider != "embedded"]
    found = [model for model in others if name in (model.model, model.model.removesuffix(":latest"))]
    yield from found
    if not found and name.startswith(tuple(WINDOWS)):
        yield Meant("openai", name, "OpenAI")


def everywhere(settings: Settings, problems: list[str] | None = None) -> list[Meant]:
    """All models within reach: those known, those fetched, those at servers here and at the endpoint that is set."""
    from memagent.llm import discovery, store

    found = [
        Meant("embedded", model.name, HERE, window=model.window, bytes=model.bytes, here=here)
        for model in store.known(settings.home)
        for here in [store.place(settings.home, model.name).is_file()]
    ]
    names = [model.model for model in found]
    for path in store.fetched(settings.home):
        if path.stem not in names:
            found.append(Meant("embedded", path.stem, HERE, bytes=path.stat().st_size))
    here = [_of_offer(server, offer.name, offer.window) for server in discovery.servers() for offer in server.models]
    found += here
    if settings.endpoint or settings.api_key:
        try:
            found += [model for model in _at_endpoint(settings) if model.model not in [each.model for each in here]]
        except MemagentError as error:
            (problems if problems is not None else []).append(str(error))
    return found


def _of_offer(server: Found, name: str, window: int) -> Meant:
    return Meant(server.provider, name, f"{server.title} ({server.where})", server.endpoint, window)


def _at_endpoint(settings: Settings) -> list[Meant]:
    from memagent.cli.configure import models_at
    from memagent.llm.discovery import talks

    where = settings.endpoint or {"openai": "OpenAI"}.get(settings.provider, settings.provider)
    names = [name for name in models_at(settings) if talks(name)]
    return [Meant(settings.provider, name, where, settings.endpoint) for name in names]
