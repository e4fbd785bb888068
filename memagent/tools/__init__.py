"""What a tool is: a function the model may call, with its schema, its rules and where it was written.

`AgentFacade` is everything that a function can reach of the agent that calls it. Knows nothing of the loop, of models
or of storage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from memagent.errors import ToolFileError
from memagent.storage import Found, Page, Readable, Stretch

__all__ = ["AgentFacade", "Found", "Known", "Outcome", "Page", "Readable", "Rules", "Stretch", "Tool", "attach", "tool"]

AfterCut = Literal["retry", "ask"]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Rules:
    """How a tool may be used. What a preset says wins over what the function's own decorator says.

    approval      a person must say yes to each call
    ends_turn     the agent rests after it (no `request_heartbeat` argument)
    first         it must be the first call of a turn
    time_limit    seconds until its result is a time-out
    result_limit  characters of its result that the model sees
    inside        it touches nothing but the agent's own memory, so it is safe to run again after a crash
    after_cut     what to do with a call of which nobody knows whether it happened: `retry` it with the same
                  idempotency key, or `ask` the person
    quiet         its result tells nothing that the model must see before it speaks
    blocks        its parameters that name a block of core memory
    lines         its parameters that hold text which stands in one: weak models are held to a whole line
    apart         it runs in a process of its own, which can crash or be ended without harm; it can't reach the agent
    """

    approval: bool = False
    ends_turn: bool = False
    first: bool = False
    time_limit: float = 60.0
    result_limit: int = 6000
    inside: bool = False
    after_cut: AfterCut = "ask"
    apart: bool = False
    quiet: bool = False
    blocks: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tool:
    """A function the model may call. `schema` is sent as it is; `where` is "file:line" for error messages."""

    name: str
    function: Callable[..., Any]
    schema: Mapping[str, Any]
    rules: Rules
    where: str
    takes_agent: bool

    def __post_init__(self) -> None:
        if self.rules.apart and self.takes_agent:
            raise ToolFileError(
                f"{self.where}: {self.name}: it takes the agent, which can't be reached from a process of its own.",
                hint="Give it what it needs as parameters, or take the rule `apart` away from it.",
            )

    def ruled(self, changes: Mapping[str, Any]) -> Tool:
        """The same tool under changed rules."""
        return replace(self, rules=replace(self.rules, **changes))


def tool(
    *,
    approval: bool = False,
    ends_turn: bool = False,
    first: bool = False,
    time_limit: float = 60.0,
    result_limit: int = 6000,
    after_cut: AfterCut = "ask",
    apart: bool = False,
    quiet: bool = False,
    blocks: tuple[str, ...] = (),
    lines: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Give a function of your own set its rules: `@tool(approval=True)`. Without it, the defaults of `Rules` hold."""
    rules = Rules(approval, ends_turn, first, time_limit, result_limit, False, after_cut, apart, quiet, blocks, lines)
    return attach(rules)


def attach(rules: Rules) -> Callable[[F], F]:
    """Mark a function with its rules."""

    def mark(function: F) -> F:
        function.__memagent_rules__ = rules  # type: ignore[attr-defined]
        return function

    return mark


@dataclass(frozen=True)
class Outcome:
    """How a call went. `text` is what the model reads; `heartbeat` is what it asked for in its arguments."""

    ok: bool
    text: str
    heartbeat: bool = False
    printed: str = ""


class CoreFacade(Protocol):
    """Core memory as a function sees it: named blocks of text. Every edit can raise `ToolError`."""

    def labels(self) -> Sequence[str]: ...
    def read(self, label: str) -> str: ...
    def append(self, label: str, text: str) -> str: ...
    def replace(self, label: str, old: str, new: str) -> str: ...


class RecallFacade(Protocol):
    """The conversation so far, searchable; pages count from 0."""

    def search(self, query: str, page: int = 0) -> Page: ...
    def search_dates(self, start: date | None, end: date | None, page: int = 0) -> Page: ...
    def around(self, message: int, before: int = 0, after: int = 0) -> Sequence[Found]:
        """A message that was found (by its `id`), with those said before and after it in the same conversation."""
        ...


class ArchivalFacade(Protocol):
    """Long-term notes, and the sources that are attached; pages count from 0."""

    def insert(self, text: str, tags: Sequence[str] = ()) -> int:
        """Keep a text; returns into how many passages it was cut."""
        ...

    def search(self, query: str, page: int = 0, *, source: str = "") -> Page:
        """Passages, best first; those of one source only, if it is named ("you" are the agent's own notes)."""
        ...

    def around(self, passage: int, before: int = 1, after: int = 1) -> Stretch:
        """A passage that was found, with those before and after it in its document."""
        ...

    def sources(self) -> Sequence[Readable]:
        """The sources that are attached."""
        ...


@dataclass(frozen=True)
class Known:
    """A fact, by its number: what is held true, when it was said, and since when it holds, and until when it did."""

    number: int
    text: str
    said: datetime
    since: str | None = None
    until: str | None = None
    holds: bool = True


class RecordsFacade(Protocol):
    """People, events and other memories with fields. What can't be found or kept raises a `ToolError` that says why."""

    def kinds(self) -> Sequence[str]:
        """Each kind, with its fields and what they can hold."""
        ...

    def find(self, name: str) -> Sequence[str]:
        """All that is known of the one of that name or number, line by line."""
        ...

    def add(self, kind: str, fields: Mapping[str, Any], about: str = "user") -> str:
        """Keep a new one; returns what it tells."""
        ...

    def change(self, name: str, fields: Mapping[str, Any]) -> Sequence[str]:
        """Give fields other values; returns from what to what."""
        ...


class FactsFacade(Protocol):
    """What is known, from talk or by hand. Changes can raise `ToolError`; each returns what the fact said so far."""

    @property
    def records(self) -> RecordsFacade: ...

    def search(self, query: str, *, past: bool = False) -> Sequence[Known]:
        """Facts that hold, best first; with `past`, also those that held once."""
        ...

    def correct(self, fact: int, text: str) -> str: ...
    def forget(self, fact: int) -> str: ...


class AgentFacade(Protocol):
    """All that a function may reach of its agent, as its first parameter `self` or `agent`.

    Edits of memory are held back until the function returns, and are stored together with its result, or not at all.
    `files` is a directory of the agent's own. `idempotency_key` is the same again when a cut call is run a second time.
    """

    @property
    def name(self) -> str: ...
    @property
    def now(self) -> datetime: ...
    @property
    def files(self) -> Path: ...
    @property
    def idempotency_key(self) -> str: ...
    @property
    def allowed_hosts(self) -> Sequence[str]: ...
    @property
    def core(self) -> CoreFacade: ...
    @property
    def recall(self) -> RecallFacade: ...
    @property
    def archival(self) -> ArchivalFacade: ...
    @property
    def facts(self) -> FactsFacade: ...

    def say(self, text: str) -> None:
        """Speak to the user."""
        ...

    def pause_heartbeats(self, minutes: int) -> None:
        """Send no timed heartbeats for a while."""
        ...

    def ask_model(self, text: str) -> str:
        """Ask the agent's model something aside, without any memory or tools."""
        ...
