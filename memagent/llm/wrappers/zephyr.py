"""Zephyr: messages behind <|user|> and the like, each ended by </s>; TinyLlama's chat models read the same.

Knows nothing of functions beyond their list: these models were not trained to call any.
"""

from __future__ import annotations

from collections.abc import Sequence

from memagent.llm import Schema
from memagent.llm.wrappers import Wrapper
from memagent.llm.wrappers.describing import as_list
from memagent.llm.wrappers.form import Form


class Zephyr(Wrapper):
    """<s> is left to the server."""

    name = "zephyr"
    about = "Zephyr, TinyLlama"
    fits = r"zephyr|tinyllama"
    stop = ("</s>", "<|user|>", "<|system|>", "<|assistant|>")
    marks = r"FUNCTION RETURN:"

    def message(self, role: str, text: str) -> str:
        if role == "tool":
            role, text = "user", f"FUNCTION RETURN: {text}"
        return f"<|{role}|>\n{text}</s>\n"

    def answer_begins(self) -> str:
        return "<|assistant|>\n"

    def functions(self, tools: Sequence[Schema]) -> str:
        return as_list(tools)


class ZephyrThoughts(Zephyr):
    """The same, with a thought before each answer."""

    name = "zephyr-thoughts"
    about = "the same, and the model thinks before it calls"
    fits = ""
    form = Form(thoughts="thoughts")
