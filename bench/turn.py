"""What a turn costs in CPU, beside the bare `openai` client making the same call: same history, same functions.

The model answers by script from another process, so that only the client's side counts, and every turn is committed to
a real file. Agent and client take turns in blocks, the client with the very requests that the agent has just sent. The
last row knows a harder baseline: the same bytes, sent and read by the HTTP library alone.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.model import message, served_elsewhere, settings_for
from bench.table import Row, compared

BAR = 2.5


@dataclass
class Spent:
    """CPU seconds of each turn of the agent, and of each such call by the `openai` client and by plain HTTP."""

    agent: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)
    http: list[float] = field(default_factory=list)


class Overhearing:
    """The agent's model, which keeps every request that it was asked."""

    def __init__(self, llm: Any) -> None:
        self.model, self.window = llm.model, llm.window
        self.requests: list[Any] = []
        self._llm = llm

    def ask(self, request: Any) -> Iterator[Any]:
        self.requests.append(request)
        heard: Iterator[Any] = self._llm.ask(request)
        return heard


def measure(quick: bool = False) -> Sequence[Row]:
    """The rows of the table."""
    chat = _spent("streamed", blocks=3 if quick else 12, warm=10, turns=20)
    short = _spent("short", blocks=12 if quick else 50, warm=0, turns=5)
    return [
        _row("CPU of a turn, 30 to 90 messages, streamed", chat.agent, chat.client, BAR, "openai"),
        _row("CPU of a turn, first 5 of an agent, one word", short.agent, short.client, BAR, "openai"),
        _row("CPU of a turn, 30 to 90 messages, streamed", chat.agent, chat.http, None, "HTTP alone"),
    ]


def _row(what: str, ours: Sequence[float], theirs: Sequence[float], bar: float | None, against: str) -> Row:
    return compared(f"{what} ({len(ours)} turns)", 1000 * median(ours), 1000 * median(theirs), bar, against=against)


def _spent(manner: str, *, blocks: int, warm: int, turns: int) -> Spent:
    """Blocks of turns, each by a new agent, whose first `warm` turns only make history; the first block warms up."""
    import httpx2
    import openai

    from memagent.assemble import make_agent, open_database, open_model

    spent = Spent()
    with served_elsewhere(manner) as url, tempfile.TemporaryDirectory() as home:
        settings = settings_for(Path(home), endpoint=url, context_window=100_000)
        database, llm = open_database(settings), open_model(settings)
        client = openai.OpenAI(base_url=url, api_key="none")
        http = httpx2.Client()
        for block in range(blocks + 1):
            heard = Overhearing(llm)
            agent = make_agent(settings, database, f"agent {block}", llm=heard)
            ours = [_cpu(partial(_turn, agent, message(n))) for n in range(warm + turns)][warm:]
            requests = heard.requests[warm:]
            assert len(requests) == turns, "one call of the model in each turn"
            calls = [_as_client_sends(settings.model, request) for request in requests]
            theirs = [_cpu(partial(_call, client, call)) for call in calls]
            bodies = [_as_bytes(settings.model, request) for request in requests]
            bare = [_cpu(partial(_post, http, f"{url}/chat/completions", body)) for body in bodies]
            if block:
                spent.agent += ours
                spent.client += theirs
                spent.http += bare
        client.close()
        http.close()
        llm.close()  # type: ignore[attr-defined]
        database.close()
    return spent


def _cpu(work: Callable[[], None]) -> float:
    """CPU seconds of this process, all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


def _turn(agent: Any, text: str) -> None:
    events = list(agent.turn(text))
    assert events[-1].ending == "done", events


def _call(client: Any, call: dict[str, Any]) -> None:
    """A call as users of the package make it: streamed, and put together from its pieces."""
    text, arguments = "", ""
    for chunk in client.chat.completions.create(**call):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for part in choice.delta.tool_calls or ():
                arguments += (part.function.arguments if part.function else "") or ""
    assert text or arguments


def _post(http: Any, url: str, body: bytes) -> None:
    with http.stream("POST", url, content=body, headers={"Content-Type": "application/json"}) as response:
        assert sum(map(len, response.iter_bytes()))


def _as_client_sends(model: str, request: Any) -> dict[str, Any]:
    from memagent.llm.wire import as_sent

    return {
        "model": model,
        "messages": [as_sent(message) for message in request.messages],
        "tools": [{"type": "function", "function": dict(tool)} for tool in request.tools],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _as_bytes(model: str, request: Any) -> bytes:
    from memagent.llm.wire import written

    return written(model, {}, request)
