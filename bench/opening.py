"""How long an agent takes from being opened to its first request, with 100,000 messages and with 100.

Both have the same context window: a summary and the newest messages. The rest of the log is what an agent leaves behind
that has talked for years: turns, and a summary for every so many of them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.model import ANSWER, SUMMARY, message, script, settings_for
from bench.table import Row, compared

BAR = 1.5
BETWEEN = 20  # turns from summary to summary
VISIBLE = 13  # turns in the window
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def measure(quick: bool = False) -> Sequence[Row]:
    """The rows of the table."""
    from memagent.assemble import open_database

    many, few, times = (10_000, 100, 10) if quick else (100_000, 100, 40)
    spent: dict[int, list[float]] = {many: [], few: []}
    with tempfile.TemporaryDirectory() as home:
        for size in spent:
            _filled(Path(home) / str(size), size)
        for _ in range(times):
            for size, times_of in spent.items():
                settings = settings_for(Path(home) / str(size))
                database = open_database(settings)
                times_of.append(1000 * _opened(settings, database))
                database.close()
    what = f"opening to first prompt: {many:,} messages against {few}"
    return [compared(what, median(spent[many]), median(spent[few]), BAR)]


def _opened(settings: Any, database: Any) -> float:
    """Seconds until the first request is ready to be sent."""
    from memagent.assemble import load_agent
    from memagent.llm import Request
    from memagent.llm.scripted import ScriptedLLM
    from memagent.llm.wire import written

    llm = ScriptedLLM(script("whole"), window=settings.window)
    start = time.perf_counter()
    agent = load_agent(settings, database, "old", llm=llm)
    assert not agent.state.unfinished()  # which a chat asks first
    body = written(llm.model, {}, Request(agent.compiled(), agent.schemas))
    spent = time.perf_counter() - start
    assert len(agent.state.window) == 3 * VISIBLE + 1 and len(body) > 1000
    return spent


def _filled(home: Path, size: int) -> None:
    """A home with an agent of so many messages, written through the log in one transaction."""
    from memagent.assemble import make_agent, open_database
    from memagent.llm.scripted import ScriptedLLM

    settings = settings_for(home)
    home.mkdir()
    database = open_database(settings)
    agent = make_agent(settings, database, "old", llm=ScriptedLLM(script("whole")))
    with database.write() as tx:
        for turn, messages in enumerate(_conversation(agent.state.log.size(), size), start=1):
            agent.state.log.append(tx, messages, turn)
            tx.run(
                "INSERT INTO turns (agent, turn, state, started, ended) VALUES (?, ?, 'done', ?, ?)",
                agent.state.entry.id, turn, NOW.isoformat(), NOW.isoformat(),
            )  # fmt: skip
    assert agent.state.log.size() >= size
    database.close()


def _conversation(there: int, size: int) -> Iterator[list[Any]]:
    """Turn after turn, with a summary now and then; the newest one has `VISIBLE` turns after it."""
    from memagent.messages import ToolCall, answer, result, summary, user_message

    seq = there
    for left in range(size * BETWEEN // (3 * BETWEEN + 1) + 1, 0, -1):
        turn = [summary(SUMMARY, seq, seq + 2, NOW)] if left % BETWEEN == VISIBLE else []
        call = ToolCall(f"{seq:09}", "send_message", f'{{"message": "{ANSWER}"}}')
        turn += [
            user_message(message(seq), NOW),
            answer("They plan for Sunday.", (call,), "", NOW),
            result(call, True, "Sent.", NOW, said=ANSWER),
        ]
        yield turn
        seq += len(turn)
