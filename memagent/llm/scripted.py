"""A model that answers as a script tells it: for tests of agents, for demos, and for trying things out without a key.

The same scripts can be served over HTTP (`memagent.llm.script_server`). Knows nothing of how scripts are written: that
is for `memagent.llm.script_file`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from memagent.endpoints import refusals
from memagent.endpoints.failures import Endpoint
from memagent.errors import MemagentError
from memagent.llm import Answer, Heard, Request
from memagent.llm.script import Fault, Script, look
from memagent.llm.script_file import load_script, read_script
from memagent.messages import ToolCall

__all__ = ["ScriptedLLM", "load_script"]


class ScriptedLLM:
    """Answers in this process, without a network. `script` is a list of entries, or comes from `load_script`; without
    one it is the demo.
    """

    def __init__(
        self,
        script: Script | Sequence[Any] | None = None,
        model: str = "scripted",
        window: int = 8192,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.model = model
        self.window = window
        self.requests: deque[Request] = deque(maxlen=1000)
        self._sleep = sleep
        if isinstance(script, Script):
            self._script = script
        else:
            self._script = load_script() if script is None else read_script(list(script))

    def ask(self, request: Request) -> Iterator[Heard]:
        """The reply of the script, in pieces, then whole; or the error that it tells of, as after all retries."""
        self.requests.append(request)
        seen = look([(m.role, m.content) for m in request.messages], request.tools, request.force)
        reply = self._script.reply(seen)
        self._pause(reply.delay)
        fault = reply.fault
        if fault and fault.after is None:
            raise self._error(fault)
        for number, piece in enumerate(reply.pieces()):
            if fault and number == fault.after:
                raise self._error(fault)
            self._pause(reply.pace)
            yield piece
        if fault:
            raise self._error(fault)
        prefix = f"call_{len(request.messages)}_"
        calls = tuple(ToolCall(f"{prefix}{n}", call.name, call.arguments) for n, call in enumerate(reply.calls))
        yield Answer(reply.text, reply.thoughts, calls, reply.finish or "", reply.usage)

    def _pause(self, seconds: float) -> None:
        if seconds:
            self._sleep(seconds)

    def _error(self, fault: Fault) -> MemagentError:
        """What asking an endpoint that fails in this way comes to in the end."""
        endpoint = Endpoint("http://scripted/v1", self.model, "none", "the script", 0)
        if fault.cut:
            return endpoint.broke("the script says so").error
        if fault.body is not None:
            return endpoint.not_compatible("it sent something else").error
        told = {"message": fault.message, "code": fault.code}
        return endpoint.refused(refusals.read(fault.status, {"error": told})).error
