"""Mistral and Mixtral: [INST] around what the user says, and functions as their third tokenizer (v3) has them.

Knows nothing of the ids that this family gives to calls: results follow their calls in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from memagent.llm import Request, Schema
from memagent.llm.wrappers import Turn, Wrapper
from memagent.llm.wrappers.describing import as_json_lines
from memagent.llm.wrappers.form import Form


class Mistral(Wrapper):
    """The system has no message of its own: its text leads the user's first one, behind the functions. The family puts
    both before the user's last message, where they would have to be read anew each time. <s> is left to the server.
    """

    name = "mistral"
    about = "Mistral 7B, Mixtral, Ministral, Codestral"
    fits = r"mistral|mixtral|ministral|codestral"
    stop = ("</s>", "[INST]")
    marks = r"\[/?AVAILABLE_TOOLS\]|\[/?TOOL_RESULTS\]|\[TOOL_CALLS\]"
    form = Form(name="name", arguments="arguments", opens="[TOOL_CALLS] [", between=", ", closes="]")

    def laid_out(self, system: str, described: str, turns: Sequence[Turn]) -> Iterator[str]:
        yield described
        if system:
            leads = bool(turns) and turns[0][0] == "user"
            yield self.message("user", f"{system}\n\n{turns[0][1]}" if leads else system)
            turns = turns[1:] if leads else turns
        for role, text in turns:
            yield self.message(role, text)

    def message(self, role: str, text: str) -> str:
        if role == "tool":
            text = text if text.startswith("{") else json.dumps(text, ensure_ascii=False)
            return f'[TOOL_RESULTS] {{"content": {text}}}[/TOOL_RESULTS]'
        if role == "assistant":
            return f"{text if text.startswith('[TOOL_CALLS]') else f' {text}'}</s>"
        return f"[INST] {text}[/INST]"

    def answer_begins(self) -> str:
        return ""

    def functions(self, tools: Sequence[Schema]) -> str:
        return ", ".join(as_json_lines(tools).split("\n"))

    def describe(self, request: Request, functions: str) -> str:  # noqa: ARG002
        return f"[AVAILABLE_TOOLS] [{functions}][/AVAILABLE_TOOLS]"
