"""What a model is to the rest of memagent: something that is asked, and is heard as it answers.

A new kind of model is one file with a class that has `ask`, and one line in `registry.py`. Knows nothing of agents,
tools' code or storage.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from memagent.messages import Message, ToolCall

Schema = Mapping[str, Any]
"""A tool as the model sees it: {"name", "description", "parameters": JSON Schema of an object}."""


@dataclass(frozen=True)
class Request:
    """Everything the model is to see, in this order: tools and messages. `force` names the tool that must be called.

    For models whose output can be held to a form: `quiet` are the tools after which it may go on in the same answer,
    since their results tell nothing new; `choices` are what an argument, by tool and name, must be one of; `blocks` is
    the core memory that may be edited, as it is now. With `weighed`, the model shall tell what else it
    might have written.
    """

    messages: Sequence[Message]
    tools: Sequence[Schema] = ()
    force: str | None = None
    max_tokens: int | None = None
    quiet: Collection[str] = ()
    choices: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    blocks: Mapping[str, str] = field(default_factory=dict)
    weighed: bool = False


@dataclass(frozen=True)
class Usage:
    """Tokens, as the provider counted them. `aside` are those of the prompt that were not the conversation itself."""

    prompt: int
    completion: int
    cached: int = 0
    aside: int = 0


@dataclass(frozen=True)
class Piece:
    """Something heard while the model still writes: of its text or thoughts, or of the arguments of call `index`."""

    kind: Literal["text", "thought", "arguments"]
    text: str
    index: int = 0
    name: str = ""


@dataclass(frozen=True)
class Pause:
    """The model can't be asked for `seconds` more; the asking goes on by itself afterwards."""

    seconds: float
    reason: str


@dataclass(frozen=True)
class Restarted:
    """The stream broke; all pieces since the beginning are void, and the same is asked again."""

    reason: str


@dataclass(frozen=True)
class Written:
    """A piece of what a model wrote, and how likely that, and what else might have stood there, was to it."""

    text: str
    chances: Mapping[str, float]


@dataclass(frozen=True)
class Answer:
    """The whole answer; always the last thing heard. `calls` carry their arguments as the model wrote them. `written`
    is the same piece by piece, where that was asked for and the model can tell.
    """

    text: str = ""
    thoughts: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"
    usage: Usage | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
    written: Sequence[Written] = ()


Heard = Piece | Pause | Restarted | Answer


@runtime_checkable
class Weighing(Protocol):
    """A model that can also tell how near it is to one answer or another. Few can."""

    def weigh(self, request: Request, words: Sequence[str]) -> Sequence[float]:
        """How likely an answer begins with each of these words, as logarithms; nothing, if it can't tell after all.
        Raises `LLMError` like `ask`.
        """
        ...


class LLM(Protocol):
    """A model that can be asked. `window` is its context window in tokens."""

    model: str
    window: int

    def ask(self, request: Request) -> Iterator[Heard]:
        """Ask, and hear pieces as they come; the last item is an `Answer`. Raises `LLMError` when that can't be had."""
        ...
