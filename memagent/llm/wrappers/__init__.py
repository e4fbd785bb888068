"""What a wrapper is: it turns a conversation and its functions into one prompt, and says in which form a model of its
family writes its calls.

A wrapper is one small file and one line in `registry.py`. The marks between messages are `Wrapper`'s, the form of a
call is `Form`'s (see form.py). What is added to a conversation is added to the end of its prompt, and nothing before
changes: so a server has to read only what is new. Knows nothing of servers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from memagent.llm import Answer, Piece, Request, Schema, Usage, Written
from memagent.llm.wrappers.describing import as_signatures
from memagent.llm.wrappers.form import Form
from memagent.llm.wrappers.guard import Guard
from memagent.llm.wrappers.reader import Reader
from memagent.llm.wrappers.telling import tells_nothing, told
from memagent.messages import Message

Turn = tuple[str, str]
"""Who it is (user, assistant or tool), and the text."""


@dataclass(frozen=True)
class Question:
    """One text to go on with. `part` tells questions apart whose beginnings differ, so that what was read of each can
    be kept; `most` is how many tokens are enough. What is `copied` out of the prompt is not left to chance, and may
    repeat it. With `weighed`, it is told what else might have been written.
    """

    prompt: str
    grammar: str = ""
    schema: Mapping[str, Any] | None = None
    part: str = "say"
    stop: tuple[str, ...] = ()
    most: int | None = None
    copied: bool = False
    weighed: bool = False


@dataclass(frozen=True)
class Said:
    """How an answer ended, and what it cost; how it was `written`, if that was asked for."""

    finish: str
    usage: Usage | None
    written: Sequence[Written] = ()


Complete = Callable[[Question], Generator[str, None, Said]]
"""Asks a question; its answer comes piece by piece."""


class Wrapper:
    """How a conversation is written for a family of models. A kind of its own overrides what differs.

    `about` says for whom it is, in a line, and `fits` is a pattern that finds the models it is for by their names.
    `stop` ends an answer, and `form` is how calls are written. `marks` is a pattern of all that stands between
    messages and can't stand in them; `<|…|>`, `<s>` and `[INST]` need not be named. `terse` tells events in few words
    instead of JSON. `calls` is false for models that only write text.

    The beginning-of-text token is in no prompt: llama.cpp, koboldcpp, Ollama, LM Studio, vLLM and text-generation-webui
    all put the one that the model wants before what they are sent, and twice is worse than not at all.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    fits: ClassVar[str] = ""
    stop: ClassVar[tuple[str, ...]] = ()
    form: ClassVar[Form] = Form()
    marks: ClassVar[str] = ""
    terse: bool = False
    calls: ClassVar[bool] = True

    # What a family of models has its own way of ----------------------------------------------------------------------

    def message(self, role: str, text: str) -> str:
        """One message with its marks; `role` is system, user, assistant or tool."""
        raise NotImplementedError

    def answer_begins(self) -> str:
        """What stands before the model's answer."""
        raise NotImplementedError

    def functions(self, tools: Sequence[Schema]) -> str:
        """The functions, one after the other, without marks of the family."""
        return as_signatures(tools)

    def describe(self, request: Request, functions: str, /) -> str:
        """What the model is told of the functions, and of how to call them."""
        return f"{self.form.instruction(request)}\n\n{functions}"

    def laid_out(self, system: str, described: str, turns: Sequence[Turn], /) -> Iterator[str]:
        """The conversation, message for message. What stays for good comes first: the system's text ends with what
        the agent remembers, and changes with it.
        """
        if system or described:
            yield self.message("system", "\n\n".join(filter(None, (described, system))))
        for role, text in turns:
            yield self.message(role, text)

    def written(self, message: Message) -> str:
        """An answer of the model's, as it would write it."""
        return self.form.written(message, self.guard)

    # What is the same for all ----------------------------------------------------------------------------------------

    def asked(self, request: Request, complete: Complete, constraint: str) -> Generator[Piece, None, Answer]:
        """The answer to a request, out of what the model says to one question, or to several small ones. `constraint`
        is by what the server can hold an answer to a form: gbnf, schema, or nothing.
        """
        grammar = self.grammar(request) if constraint == "gbnf" else ""
        schema = self.schema(request) if constraint == "schema" else None
        reader = self.reader(request)
        answering = complete(Question(self.prompt(request), grammar, schema, stop=self.stop, most=request.max_tokens))
        said = yield from heard(answering, reader.hear, lambda: reader.full)
        return reader.answer(said.finish, said.usage)

    def beginnings(self, request: Request) -> list[Question]:
        """What can be read before anything was said."""
        return [Question(self.prompt(request))]

    def prompt(self, request: Request) -> str:
        """The whole prompt, up to where the model goes on."""
        tools = self._tools(request)
        described = self.describe(request, self.guard.text(self.functions(tools))) if tools else ""
        first, rest = parted(request.messages)
        turns = tuple(self._turns(rest))
        return "".join([*self.laid_out(self.guard.text(first), described, turns), self.answer_begins()])

    @cached_property
    def guard(self) -> Guard:
        """Keeps the family's marks out of texts."""
        return Guard(self.marks)

    def _turns(self, messages: Sequence[Message]) -> Iterator[Turn]:
        before: Message | None = None
        for message in messages:
            if message.role == "assistant":
                yield "assistant", self.written(message)
            elif not (self.terse and tells_nothing(message)):
                role = "tool" if message.role == "tool" else "user"
                yield role, self.guard.text(told(message, before, terse=self.terse))
            before = message

    def _tools(self, request: Request) -> Sequence[Schema]:
        return request.tools if self.calls else ()

    def grammar(self, request: Request) -> str:
        """What an answer to this request looks like, as GBNF; empty where it may be any text."""
        return self.form.grammar(request) if self._tools(request) else ""

    def schema(self, request: Request) -> dict[str, Any] | None:
        """The same as JSON Schema, of one call."""
        return self.form.schema(request) if self._tools(request) else None

    def reader(self, request: Request) -> Reader:
        """Reads the answer to this request."""
        return Reader(self.form, self._tools(request))


def heard(
    answering: Generator[str, None, Said], hear: Callable[[str], Iterable[Piece]], full: Callable[[], bool]
) -> Generator[Piece, None, Said]:
    """Listen to an answer until it ends, or is enough."""
    while True:
        try:
            text = next(answering)
        except StopIteration as ended:
            said: Said = ended.value
            return said
        yield from hear(text)
        if full():
            answering.close()
            return Said("length", None)


def parted(messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
    """The text of the system, and the messages that follow."""
    if messages and messages[0].role == "system":
        return messages[0].content, messages[1:]
    return "", messages
