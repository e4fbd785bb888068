"""Qwen from 2.5 on: ChatML, with functions as Hermes has them.

Knows nothing of ChatML itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from memagent.llm import Request, Schema
from memagent.llm.wrappers.chatml import ChatML
from memagent.llm.wrappers.describing import as_json_lines
from memagent.llm.wrappers.form import Form, speaks_by_call

_TOOLS = """\
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{functions}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""
_SPEAKING = """

You act only by calling functions: nobody reads what you write outside of <tool_call></tool_call> XML tags."""


class Qwen(ChatML):
    """The words are those of the model's own template. It has its tools behind the system's text; here they come first,
    as everywhere, because memory changes.
    """

    name = "qwen"
    about = "Qwen 2.5, Qwen 3, QwQ: functions as in their own template"
    fits = r"(?<!distill-)qwen|\bqwq"
    marks = r"</?tool_(?:response|call)>|</?tools>"
    form = Form(name="name", arguments="arguments", before="<tool_call>\n", after="\n</tool_call>")

    def functions(self, tools: Sequence[Schema]) -> str:
        return as_json_lines(tools)

    def describe(self, request: Request, functions: str) -> str:
        return _TOOLS.format(functions=functions) + (_SPEAKING if speaks_by_call(request.tools) else "")
