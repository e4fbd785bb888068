"""What a wrapper is: it turns a conversation and its functions into one prompt, and says in which form a model of its
family writes its calls.

A wrapper is one small file and one line in `registry.py`. The marks between messages are `Wrapper`'s, the form of a
call is `Form`'s (see form.py). Knows nothing of servers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from memagent.llm import Request
from memagent.llm.wrappers.describing import as_signatures
from memagent.llm.wrappers.form import Form, Reader
from memagent.llm.wrappers.telling import told
from memagent.messages import Message


class Wrapper:
    """How a conversation is written for a family of models. A kind of its own overrides what differs.

    `about` says for whom it is, in a line, and `fits` finds the models it is for by their names. `begin` is what every
    prompt starts with, `stop` what ends an answer, `form` how calls are written; `terse` tells events in few words
    instead of JSON.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    fits: ClassVar[str] = ""
    begin: ClassVar[str] = ""
    stop: ClassVar[tuple[str, ...]] = ()
    form: ClassVar[Form] = Form()
    terse: bool = False

    # What a family of models has its own way of ----------------------------------------------------------------------

    def message(self, role: str, text: str) -> str:
        """One message with its marks; `role` is system, user, assistant or tool."""
        raise NotImplementedError

    def answer_begins(self) -> str:
        """What stands before the model's answer."""
        raise NotImplementedError

    def describe(self, request: Request) -> str:
        """What the model is told of the functions, and of how to call them."""
        return f"{self.form.instruction(request)}\n\n{as_signatures(request.tools)}"

    def system(self, text: str, described: str) -> str:
        """The text of the system message: what stays for good comes first."""
        return f"{described}\n\n{text}" if described else text

    # What is the same for all ----------------------------------------------------------------------------------------

    def prompt(self, request: Request) -> str:
        """The whole prompt, up to where the model goes on."""
        return "".join(self._written(request)) + self.answer_begins()

    def _written(self, request: Request) -> Iterator[str]:
        yield self.begin
        described = self.describe(request) if request.tools else ""
        first, rest = _parted(request.messages)
        if first or described:
            yield self.message("system", self.system(first, described))
        before: Message | None = None
        for message in rest:
            role = "user" if message.role == "system" else message.role
            text = self.form.written(message) if role == "assistant" else told(message, before, terse=self.terse)
            yield self.message(role, text)
            before = message

    def grammar(self, request: Request) -> str:
        """What an answer to this request looks like, as GBNF."""
        return self.form.grammar(request)

    def schema(self, request: Request) -> dict[str, Any]:
        """The same as JSON Schema, of one call."""
        return self.form.schema(request)

    def reader(self, request: Request) -> Reader:
        """Reads the answer to this request."""
        return Reader(self.form, request.tools)


def _parted(messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
    if messages and messages[0].role == "system":
        return messages[0].content, messages[1:]
    return "", messages
