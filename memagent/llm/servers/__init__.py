"""What a text server is to the rest of memagent: something that goes on with a text, in words of its own.

A server is one small file that says how it is asked, how its answer is read, how it constrains output and counts
tokens; sending, waiting and failing is the business of `line.py` and `served.py`. Knows nothing of conversations or
functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from memagent.llm import Usage, Written

Get = Callable[[str, Mapping[str, Any] | None], Any]
"""Asks the server: a path, and a body to post or None to just get. Returns JSON; raises `Setback`."""

Constraint = Literal["gbnf", "schema", ""]


@dataclass(frozen=True)
class Completion:
    """What a server is asked for: to go on with `prompt` until one of `stop` comes, or it has no more to say.

    `grammar` (GBNF) or `schema` (JSON Schema) is what the answer must fit, for servers that can hold it to that.
    `sampling` goes into the request as it is, in the server's own words. `weighed` asks for what else might be written.
    """

    prompt: str
    model: str
    window: int
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    grammar: str = ""
    schema: Mapping[str, Any] | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    weighed: bool = False


@dataclass(frozen=True)
class Part:
    """A part of an answer. `finish` says why it stopped, as soon as it did: "stop" or "length"."""

    text: str = ""
    finish: str = ""
    usage: Usage | None = None
    written: Sequence[Written] = ()


@dataclass(frozen=True)
class Offer:
    """A model that a server has; `window` is 0 where it does not say."""

    name: str
    window: int = 0


class TextServer:
    """What differs from one kind of server to the next.

    `version` is the version of its interface that is spoken here; `start` and `load` tell a person how to start it, and
    how to give it a model. `chat` is the path of its OpenAI-compatible door, if it has one, and `own_chat` the class of
    the model that its own kind of chat makes, as "module:Name".
    """

    title: ClassVar[str]
    port: ClassVar[int]
    version: ClassVar[str]
    start: ClassVar[str]
    load: ClassVar[str]
    constraint: ClassVar[Constraint] = ""
    chat: ClassVar[str] = "/v1"
    own_chat: ClassVar[str] = ""

    def asked(self, completion: Completion) -> tuple[str, dict[str, Any]]:
        """The path and the body of the request."""
        raise NotImplementedError

    def heard(self, event: Mapping[str, Any]) -> Part | None:
        """What an event of the answer says; None if it is nothing that such a server sends. Any field of it can be
        missing or of another type.
        """
        raise NotImplementedError

    def left(self, _body: Mapping[str, Any], /) -> tuple[str, dict[str, Any]] | None:
        """What to ask of a server that does not notice that nobody listens to its answer to `body` any more."""
        return None

    def offers(self, get: Get) -> list[Offer]:
        """The models there; the one in use first, where there is one."""
        return [Offer(item["id"]) for item in items(get(f"{self.chat}/models", None), "data", "id")]

    def window(self, get: Get, model: str) -> int:
        """The context window that the model has there, in tokens; 0 when the server does not say."""
        return next((offer.window for offer in self.offers(get) if offer.name == model), 0)

    def count(self, _get: Get, _model: str, _text: str, /) -> int | None:
        """How many tokens a text has; None when the server does not say."""
        return None

    def calls(self, _get: Get, _model: str, /) -> bool:
        """Whether this model can call functions in the server's own chat."""
        return bool(self.chat or self.own_chat)


def whole_number(value: object) -> int:
    """A count as servers send it; 0 when it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53 else 0


def items(sent: object, key: str, name: str) -> list[dict[str, Any]]:
    """The objects in the list at `key` that have a `name`, whatever else was sent."""
    found = sent.get(key) if isinstance(sent, dict) else None
    listed = found if isinstance(found, list) else []
    return [item for item in listed if isinstance(item, dict) and isinstance(item.get(name), str)]


def inside(sent: object, *keys: str) -> Any:
    """What is in objects within objects, or None."""
    for key in keys:
        sent = sent.get(key) if isinstance(sent, dict) else None
    return sent
