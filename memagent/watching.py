"""Where turns, questions to models, functions, work on memory and requests can be watched: by nobody, until somebody
begins to.

What is worth watching is marked in the place where it happens, by a decorator or a line; while nobody watches, that
costs the look whether somebody does. Knows nothing of who watches (see telemetry/), or of what is made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial, wraps
from operator import attrgetter
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar

from memagent.events import Happening

P = ParamSpec("P")
R = TypeVar("R")
Y = TypeVar("Y")
A = TypeVar("A", bound="Acting")

Operation = Literal["create_memory", "search_memory", "update_memory", "upsert_memory", "delete_memory"]
Answered = Callable[[str, int], None]
"""Told of an answer as it begins: the route as it is written, and the status."""
Count = Callable[[Any], int]
"""How many records a step has changed."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What is told of requests by its name; whatever else somebody thinks of is one, so that it takes up no memory."""


class Acting(Protocol):
    """Whose turn it is: an agent."""

    state: Any
    llm: Any


class Watcher(Protocol):
    """Who watches. Each is given what happens, and lets it happen."""

    def turn(self, agent: Acting, happening: Happening[None]) -> Happening[None]: ...
    def embedded(self, embedder: Any, count: int, work: Callable[[], R]) -> R: ...
    def memory(self, operation: Operation, store: str, work: Callable[[], R], query: str) -> R: ...
    def behind(
        self, operation: Operation, store: str, agent: str, steps: Generator[Y, None, R], count: Count
    ) -> Generator[Y, None, R]: ...
    def failed(self, kind: str) -> None: ...
    def request(self, scope: Mapping[str, Any]) -> AbstractContextManager[Answered]: ...


watcher: Watcher | None = None


def watch(by: Watcher | None) -> None:
    """From now on, somebody watches, or nobody any more."""
    global watcher
    watcher = by


def uncounted(_step: Any) -> int:
    """Of steps that change nothing by themselves: what comes of them in the end does."""
    return 0


def turn(method: Callable[Concatenate[A, P], Happening[None]]) -> Callable[Concatenate[A, P], Happening[None]]:
    """Marks what lets the turn of an agent happen."""

    @wraps(method)
    def marked(agent: A, /, *args: P.args, **kwargs: P.kwargs) -> Happening[None]:
        happening = method(agent, *args, **kwargs)
        return watcher.turn(agent, happening) if watcher else happening

    return marked


def memory(operation: Operation, store: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Marks work on a part of memory. What is looked for is the first argument."""

    def mark(method: Callable[P, R]) -> Callable[P, R]:
        @wraps(method)
        def marked(*args: P.args, **kwargs: P.kwargs) -> R:
            if watcher is None:
                return method(*args, **kwargs)
            query = str(args[1]) if operation == "search_memory" and len(args) > 1 else ""
            return watcher.memory(operation, store, partial(method, *args, **kwargs), query)

        return marked

    return mark


def behind(
    operation: Operation, store: str, agent: str = "agent", *, count: Count = bool
) -> Callable[[Callable[P, Generator[Y, None, R]]], Callable[P, Generator[Y, None, R]]]:
    """Marks work on memory that is done in small steps, while nobody waits. `agent` is where the agent's id is."""

    def mark(method: Callable[P, Generator[Y, None, R]]) -> Callable[P, Generator[Y, None, R]]:
        whose = attrgetter(agent)

        @wraps(method)
        def marked(*args: P.args, **kwargs: P.kwargs) -> Generator[Y, None, R]:
            steps = method(*args, **kwargs)
            return watcher.behind(operation, store, whose(args[0]), steps, count) if watcher else steps

        return marked

    return mark


def embedded(embedder: Any, texts: Sequence[str]) -> Sequence[bytes]:
    """What an embedder makes of some texts."""
    work: Callable[[], Sequence[bytes]] = partial(embedder.embed, texts)
    return watcher.embedded(embedder, len(texts), work) if watcher else work()


def failed(kind: str) -> None:
    """What happens just now has failed, and in which way."""
    if watcher:
        watcher.failed(kind)


def request(scope: Mapping[str, Any]) -> AbstractContextManager[Answered]:
    """A request, as ASGI has it, is answered in this block."""
    return watcher.request(scope) if watcher else nullcontext(unheard)


def unheard(_route: str, _status: int) -> None:
    """Nobody wants to know."""
