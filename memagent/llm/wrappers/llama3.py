"""Llama 3: messages behind headers, functions as Llama 3.1 and later were trained on them.

Knows nothing of Llama's built-in tools.
"""

from __future__ import annotations

from collections.abc import Sequence

from memagent.llm import Request, Schema
from memagent.llm.wrappers import Wrapper
from memagent.llm.wrappers.describing import as_json_lines
from memagent.llm.wrappers.form import Form, speaks_by_call

_TOOLS = """\
You have access to the following functions. To call a function, please respond with JSON for a function call. \
Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}. \
Do not use variables."""
_SPEAKING = " You act only by calling functions: nobody reads anything else that you write."


class Llama3(Wrapper):
    """<|begin_of_text|> is left to the server. Models often write <|python_tag|> before a call; it is not asked for."""

    name = "llama3"
    about = "Llama 3, 3.1, 3.2, 3.3 and what was made from them"
    fits = r"(?<!distill-)llama[-_ ]?3(?![\db])"
    stop = ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|start_header_id|>")
    form = Form(name="name", arguments="parameters", between="; ")

    def message(self, role: str, text: str) -> str:
        return f"{_header('ipython' if role == 'tool' else role)}{text}<|eot_id|>"

    def answer_begins(self) -> str:
        return _header("assistant")

    def functions(self, tools: Sequence[Schema]) -> str:
        return as_json_lines(tools)

    def describe(self, request: Request, functions: str) -> str:
        return f"{_TOOLS}{_SPEAKING if speaks_by_call(request.tools) else ''}\n\n{functions}"


def _header(role: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"
