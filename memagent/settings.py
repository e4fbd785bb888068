"""The table of all settings: what each one is called, what it means, which values are right, and what it is by default.

The command line, the documentation and the tests are made from it. Knows nothing of where values come from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from memagent import registry

PREFIX = "MEMAGENT_"
Kind = Literal["text", "whole number", "number", "yes or no", "list"]
WINDOWS = {
    "gpt-5": 400_000,
    "gpt-4.1": 1_047_576,
    "gpt-4o": 128_000,
    "gpt-4-turbo": 128_000,
    "o1": 200_000,
    "o3": 200_000,
    "o4": 200_000,
}
"""The context windows of well-known models, by the beginning of their names."""
SMALL_WINDOW = 8192
WRAPPER_CHOICES = ("auto", "native", *registry.WRAPPERS)
"""auto: as suits server and model; native: the model's own template, where its server has it; or one of ours."""

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Setting:
    """One row of the table of settings: what it is called, what it means, and which values are right."""

    name: str
    kind: Kind
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0
    secret: bool = False

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def allowed(self) -> str:
        """Which values are right, in words."""
        if self.choices:
            return " or ".join(self.choices)
        if self.kind in ("whole number", "number"):
            return f"a {self.kind} from {self.low:.10g} to {self.high:.10g}"
        words = {"text": "text on one line", "yes or no": "yes or no (true, false, on, off, 1, 0)"}
        return words.get(self.kind, "names, separated by commas")

    def read(self, given: object) -> Any:
        """The value that is meant, from text or data. Raises `ValueError` when it is none of those that are right."""
        value = _READERS[self.kind](given)
        if self.choices and value not in self.choices:
            raise ValueError
        if self.kind in ("whole number", "number") and not self.low <= value <= self.high:
            raise ValueError
        return value


def _text(given: object) -> str:
    text = str(given).strip()
    if not isinstance(given, str | Path) or _UNFIT.search(text):
        raise ValueError
    return text


def _whole(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int | str):
        raise ValueError
    return int(given)


def _number(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise ValueError
    return float(given)


def _flag(given: object) -> bool:
    word = str(given).strip().lower()
    if word not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        raise ValueError
    return word in ("true", "yes", "on", "1")


def _list(given: object) -> tuple[str, ...]:
    items = given.split(",") if isinstance(given, str) else given
    if not isinstance(items, Iterable) or isinstance(items, Mapping):
        raise ValueError
    return tuple(text for text in map(_text, items) if text)


_READERS: dict[Kind, Callable[[object], Any]] = {
    "text": _text, "whole number": _whole, "number": _number, "yes or no": _flag, "list": _list,
}  # fmt: skip


def _is(default: Any, help: str, kind: Kind = "text", **more: Any) -> Any:
    return field(default=default, repr=not more.get("secret"), metadata={"kind": kind, "help": help, **more})


@dataclass(frozen=True)
class Settings:
    """All settings, with the values that hold; `origin` tells where each one comes from."""

    provider: str = _is("openai", "who runs the model", choices=tuple(registry.LLMS))
    model: str = _is("", "the model's name, as its server knows it")
    endpoint: str = _is("", "the address of the model's server; empty for OpenAI itself")
    azure_api_version: str = _is("", "the version of Azure's API, such as 2024-10-21")
    api_key: str = _is("", "the key for the endpoint; belongs into the environment or .env", secret=True)
    context_window: int = _is(
        0, "tokens that the model can see; 0: what the model is known for", "whole number", high=1e8
    )
    temperature: float | None = _is(
        None, "how freely the model words things; unset: the server's own", "number", high=2
    )
    wrapper: str = _is(
        "auto", "how a text server is told the conversation; auto: as suits the model", choices=WRAPPER_CHOICES
    )
    constrain: bool = _is(True, "hold a text server's answers to the form of calls, where it can", "yes or no")
    sampling: tuple[str, ...] = _is((), "NAME=VALUE, sent to a text server in its own words", "list")
    terse: bool = _is(False, "tell a text model what happens in few words, not as JSON", "yes or no")
    steady: bool = _is(
        False, "show core memory as it was before the edits that are in view, so that little is read anew", "yes or no"
    )
    stop: tuple[str, ...] = _is((), "texts at which a text server stops, beside the wrapper's own", "list")
    threads: int = _is(0, "threads of the embedded model; 0: as many as are quickest", "whole number", high=1024)
    max_tokens: int = _is(0, "the longest answer, in tokens; 0: the server's own limit", "whole number", high=1e8)
    timeout: float = _is(120.0, "seconds that the model may be silent", "number", low=1, high=86_400)
    retries: int = _is(4, "how often a failed request is sent again", "whole number", high=20)
    preset: str = _is("", "the preset of a new agent; empty: chat, or small with the embedded model")
    persona: str = _is("", "the persona of a new agent; empty: its preset's")
    human: str = _is("", "what a new agent knows of you; empty: its preset's")
    agent: str = _is("", "the agent that is meant when none is named")
    user: str = _is("local", "who owns the agents")
    embedder: str = _is(
        "auto", "who finds meaning in texts; auto: local if installed", choices=("auto", "off", *registry.EMBEDDERS)
    )
    embedding_model: str = _is("", "the embedding model's name; empty: its embedder's own choice")
    embedding_endpoint: str = _is("", "where that model is; empty: where the chat's is, if it is of that kind")
    embedding_api_key: str = _is("", "the key for it; empty: the chat's, at the same address", secret=True)
    embedding_dimension: int = _is(
        0, "how many numbers a vector has; 0: what the model gives of itself", "whole number", high=100_000
    )
    embedding_batch: int = _is(0, "texts that are embedded at once; 0: as suits", "whole number", high=2048)
    storage: str = _is("sqlite", "where everything is kept", choices=tuple(registry.STORAGES))
    database: str = _is("", "the database's file, or postgresql://USER:PASSWORD@HOST/NAME; empty: memagent.db in home")
    storage_path: str = _is("", "the folder of LanceDB or Chroma; empty: beside the database")
    facts: str = _is(
        "on", "facts from talk: for all your agents together, for each its own, or none", choices=("on", "own", "off")
    )
    facts_provider: str = _is(
        "auto", "who finds facts; auto: the agent's model; plain: none", choices=("auto", "plain", *registry.LLMS)
    )
    facts_model: str = _is("", "the model that finds them; empty: the agent's own")
    facts_endpoint: str = _is("", "where that model is; empty: where the agent's own is, if it is of that kind")
    facts_api_key: str = _is("", "the key for it; empty: the agent's own, at the same address", secret=True)
    server_key: str = _is("", "the key that `memagent connect` shows to a server", secret=True)
    location: str = _is("", "where you are; told to the agent with every message")
    heartbeat_minutes: float = _is(0.0, "minutes of silence until the agent may speak up; 0: never", "number", high=1e5)
    thoughts: bool = _is(False, "show what the agent thinks", "yes or no")
    verify_first: bool = _is(True, "ask a new agent again until it speaks", "yes or no")
    warn_at: float = _is(0.75, "how full the context window is when the agent is warned", "number", low=0.1, high=1)
    compact_at: float = _is(0.9, "how full it is when older messages are summarised", "number", low=0.1, high=1)
    compact_to: float = _is(0.3, "how full it is after that", "number", high=0.9)
    summary_words: int = _is(150, "the longest summary, in words", "whole number", low=20, high=5000)
    reminder_tokens: int = _is(
        500, "the most tokens of what comes to an agent's mind in a turn", "whole number", high=1e6
    )
    journal: bool = _is(True, "write a journal entry when a conversation is over", "yes or no")
    idle_minutes: float = _is(30.0, "minutes of silence that end a conversation", "number", low=0.01, high=1e6)
    waking_tokens: int = _is(
        600, "the most tokens of what an agent wakes with in a new conversation; 0: nothing", "whole number", high=1e6
    )
    tidy: bool = _is(False, "tidy memory while nobody waits", "yes or no")
    turn_limit: float = _is(1800.0, "seconds that a turn may take", "number", low=1, high=604_800)
    turns_a_minute: int = _is(
        0, "turns that an agent takes in a minute on a server; 0: any number", "whole number", high=1e6
    )
    tokens_a_day: int = _is(
        0, "tokens that an agent may spend in 24 hours on a server; 0: any number", "whole number", high=1e12
    )
    max_steps: int = _is(20, "the most steps in one turn", "whole number", low=1, high=1000)
    allowed_hosts: tuple[str, ...] = _is((), "private hosts that agents may ask, such as localhost:8080", "list")
    tool_time_limit: float = _is(60.0, "seconds that a function may run", "number", low=0.1, high=86_400)
    telemetry: str = _is(
        "auto", "traces and metrics; auto: to the address below, or to the program's own; off: never",
        choices=("auto", "off"),
    )  # fmt: skip
    telemetry_endpoint: str = _is("", "where they are sent, such as http://localhost:4318; empty: nowhere")
    telemetry_headers: str = _is("", "NAME=VALUE, sent with them, separated by commas", secret=True)
    telemetry_content: bool = _is(False, "tell in them what is said, called and remembered, too", "yes or no")
    log_level: str = _is("info", "what is written to the log", choices=("debug", "info", "warning", "error"))
    script: str = _is("", "the script that provider scripted plays")
    home: Path = Path()
    crash_at: int = 0
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def origin(self, name: str) -> str:
        """Where the value of a setting comes from."""
        return self.origins.get(name, "default")

    @property
    def first_preset(self) -> str:
        """The preset of a new agent: the one that is named, or the one that suits its model."""
        return self.preset or ("small" if self.provider == "embedded" else "chat")

    @property
    def window(self) -> int:
        """The model's context window, in tokens."""
        known = (tokens for name, tokens in WINDOWS.items() if self.model.startswith(name))
        return self.context_window or next(known, SMALL_WINDOW)

    @property
    def database_path(self) -> Path:
        """The database's file; a relative one is in home."""
        return self.home / os.path.expanduser(self.database or "memagent.db")  # noqa: PTH111  # it never fails

    @property
    def storage_folder(self) -> Path | None:
        """The folder of an engine beside the database, if one is named; a relative one is in home."""
        return self.home / os.path.expanduser(self.storage_path) if self.storage_path else None  # noqa: PTH111

    @property
    def database_url(self) -> str:
        """The database's address, where it is not a file."""
        return self.database if re.match("postgres(ql)?://", self.database) else ""

    @property
    def database_there(self) -> bool:
        """Whether there may be a database already, which is told without making one."""
        return bool(self.database_url) or self.database_path.exists()

    @property
    def telemetry_header_values(self) -> Mapping[str, str]:
        """The headers by their names."""
        pairs = (each.partition("=") for each in self.telemetry_headers.split(","))
        return {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs if name.strip()}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown anywhere: the keys, and a password inside an address."""
        inside = [
            re.match(r"\w+://[^/@]*:([^/@]+)@", url)
            for url in (self.endpoint, self.embedding_endpoint, self.facts_endpoint, self.telemetry_endpoint)
        ]
        inside += [re.match(r"\w+://[^@:]*:(.+)@", self.database_url), re.search("password=([^&]+)", self.database_url)]
        passwords = [found[1] for found in inside if found]
        keys = (self.api_key, self.embedding_api_key, self.facts_api_key, *self.telemetry_header_values.values())
        all_of_them = (*keys, *passwords, *map(unquote, passwords))
        return tuple(dict.fromkeys(text for text in all_of_them if text))


def _row(of: Field[Any]) -> Setting:
    assert of.default is not MISSING
    return Setting(of.name, default=of.default, **of.metadata)


SETTINGS: Mapping[str, Setting] = {of.name: _row(of) for of in fields(Settings) if of.metadata}
"""The table of all settings, by name, in the order in which they are shown."""
