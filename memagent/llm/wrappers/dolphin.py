"""Dolphin: ChatML, with functions as in the data of airoboros, which it learned them from.

Knows nothing of either.
"""

from __future__ import annotations

from collections.abc import Sequence

from memagent.llm import Request, Schema
from memagent.llm.wrappers.airoboros import selecting
from memagent.llm.wrappers.chatml import ChatML
from memagent.llm.wrappers.describing import as_list
from memagent.llm.wrappers.form import Form


class Dolphin(ChatML):
    """Whatever a Dolphin was made from, Llama, Mistral or Qwen: it speaks ChatML."""

    name = "dolphin"
    about = "Dolphin, whatever it was made from"
    fits = "dolphin"
    marks = r"FUNCTION RETURN:"

    def result(self, text: str) -> str:
        return f"FUNCTION RETURN: {text}"

    def functions(self, tools: Sequence[Schema]) -> str:
        return as_list(tools)

    def describe(self, request: Request, functions: str) -> str:
        return selecting(self.form, request, functions)


class DolphinThoughts(Dolphin):
    """The same, with a thought as the first of the parameters."""

    name = "dolphin-thoughts"
    about = "the same, and the model thinks before it fills in parameters"
    fits = ""
    form = Form(thoughts="inner_thoughts", thoughts_inside=True)
