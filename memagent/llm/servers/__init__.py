"""What a text server is to the rest of memagent: something that goes on with a text, in words of its own.

A server is one small file that says how it is asked, how its answer is read, how it constrains output and counts
tokens; sending, waiting and failing is `completion.py`'s business. Knows nothing of conversations or functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from memagent.llm import Usage

Get = Callable[[str, Mapping[str, Any] | None], Any]
"""Asks the server: a path, and a body to post or None to just get. Returns JSON; raises `Setback`."""

Constraint = Literal["gbnf", "schema", ""]


@dataclass(frozen=True)
class Completion:
    """What a server is asked for: to go on with `prompt` until one of `stop` comes, or it has no more to say.

    `grammar` (GBNF) or `schema` (JSON Schema) is what the answer must fit, for servers that can hold it to that.
    `sampling` goes into the request as it is, in the server's own words.
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


@dataclass(frozen=True)
class Part:
    """A part of an answer. `finish` says why it stopped, as soon as it did: "stop" or "length"."""

    text: str = ""
    finish: str = ""
    usage: Usage | None = None


@dataclass(frozen=True)
class Offer:
    """A model that a server has; `window` is 0 where it does not say."""

    name: str
    window: int = 0


class TextServer:
    """What differs from one kind of server to the next. `chat` is the path of its OpenAI-compatible door, if any;
    `version` the version of its interface that is spoken here.
    """

    title: ClassVar[str]
    port: ClassVar[int]
    version: ClassVar[str]
    constraint: ClassVar[Constraint] = ""
    chat: ClassVar[str] = "/v1"

    def asked(self, completion: Completion) -> tuple[str, dict[str, Any]]:
        """The path and the body of the request."""
        raise NotImplementedError

    def heard(self, event: Mapping[str, Any]) -> Part:
        """What an event of the answer says. Any field of it can be missing or of another type."""
        raise NotImplementedError

    def offers(self, get: Get) -> list[Offer]:
        """The models there; the one in use first, where there is one."""
        listed = get(f"{self.chat}/models", None)
        found = listed.get("data") if isinstance(listed, dict) else None
        names = [item.get("id") for item in found if isinstance(item, dict)] if isinstance(found, list) else []
        return [Offer(name) for name in names if isinstance(name, str)]

    def window(self, get: Get, model: str) -> int:
        """The context window that the model has there, in tokens; 0 when the server does not say."""
        return next((offer.window for offer in self.offers(get) if offer.name == model), 0)

    def count(self, _get: Get, _model: str, _text: str, /) -> int | None:
        """How many tokens a text has; None when the server does not say."""
        return None


def whole_number(value: object) -> int:
    """A count as servers send it; 0 when it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53 else 0
