"""airoboros: USER: and ASSISTANT:, and a list of available functions to select from.

Knows nothing of other families that learned to call functions from its data.
"""

from __future__ import annotations

from collections.abc import Sequence

from memagent.llm import Request, Schema
from memagent.llm.wrappers import Wrapper
from memagent.llm.wrappers.describing import as_list
from memagent.llm.wrappers.form import Form, speaks_by_call

_SELECT = (
    "please select the most suitable function and parameters from the list of available functions below, based on the "
    "user's input. Provide your response in JSON format"
)


def selecting(form: Form, request: Request, functions: str) -> str:
    """What these models were told when they were trained, with an example in JSON."""
    always = speaks_by_call(request.tools)
    asked = f"As an AI assistant, {_SELECT}" if always else f"When a function is of use, {_SELECT}; else in words"
    return f"{asked}:\n{form.example()}\n\nAvailable functions:\n{functions}"


class Airoboros(Wrapper):
    """<s> is left to the server. Models that read lines end them with </s>, which is not read again."""

    name = "airoboros"
    about = "airoboros, and others that know USER: and ASSISTANT:, such as Vicuna and WizardLM"
    fits = r"airoboros|vicuna|wizardlm"
    stop = ("</s>", "\nUSER:", "\nASSISTANT:", "\nFUNCTION RETURN:")
    marks = r"USER:|ASSISTANT:|FUNCTION RETURN:"

    def message(self, role: str, text: str) -> str:
        names = {"user": "USER: ", "assistant": "ASSISTANT: ", "tool": "FUNCTION RETURN: "}
        return f"{names.get(role, '')}{text}\n"

    def answer_begins(self) -> str:
        return "ASSISTANT:"  # the blank behind it belongs to the model's first word

    def functions(self, tools: Sequence[Schema]) -> str:
        return as_list(tools)

    def describe(self, request: Request, functions: str) -> str:
        return selecting(self.form, request, functions)


class AiroborosThoughts(Airoboros):
    """The same, with a thought as the first of the parameters."""

    name = "airoboros-thoughts"
    about = "the same, and the model thinks before it fills in parameters"
    fits = ""
    form = Form(thoughts="inner_thoughts", thoughts_inside=True)
