"""Calls a function for the model: whatever it does, what comes of it is an outcome that the model can read.

A function runs in a thread of its own, with a time limit; the few that touch nothing but the agent's memory run here.
Python can't end a function that is given up at its limit: it goes on in the background, cut off from the agent and from
the terminal. What may crash the interpreter, or must really end, has the rule `apart`. Knows nothing of the loop.
"""

from __future__ import annotations

import json
import reprlib
import threading
import time
from collections.abc import Coroutine
from contextvars import copy_context
from dataclasses import fields, is_dataclass, replace
from datetime import date
from datetime import time as time_of_day
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

from memagent import watching
from memagent.errors import MemagentError, StorageError, ToolError
from memagent.tools import AgentFacade, Outcome, Tool
from memagent.tools.printing import Printed, printing_kept
from memagent.tools.schema import read_arguments

NOTHING = "Done. (It returned nothing.)"
COUNTED = 1_000_000
"""Characters up to which the size of a result is counted exactly."""


def run(tool: Tool, arguments: str, agent: AgentFacade | None = None) -> Outcome:
    """Call a function with the model's arguments. Raises only `StorageError`, and what interrupts this thread."""
    if tool.rules.apart:
        from memagent.tools.apart import run_apart

        return run_apart(tool, arguments, agent.files if agent else None)
    try:
        values, heartbeat = read_arguments(tool, arguments)
    except ToolError as error:
        return Outcome(False, str(error))
    call = partial(tool.function, agent, **values) if tool.takes_agent else partial(tool.function, **values)
    outcome = _attempt(tool, call) if tool.rules.inside else _in_thread(tool, call, agent)
    return replace(outcome, heartbeat=heartbeat)


def _attempt(tool: Tool, call: partial[Any]) -> Outcome:
    """Call it here and now."""
    try:
        result = call()
        if isinstance(result, Coroutine):
            import asyncio

            result = asyncio.run(_within(result, None if tool.rules.inside else tool.rules.time_limit))
        return Outcome(True, as_text(result, tool.rules.result_limit))
    except (StorageError, _TimeIsUp):
        raise
    except Exception as error:  # noqa: BLE001 - this is the tool boundary: the model is told
        return _failure(tool, error)


async def _within(work: Coroutine[Any, Any, Any], seconds: float | None) -> Any:
    """Await it, and end it at its time limit, which a coroutine allows."""
    import asyncio

    task = asyncio.ensure_future(work)
    await asyncio.wait([task], timeout=seconds)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1)
        raise _TimeIsUp
    return task.result()


class _TimeIsUp(Exception):
    """The function has reached its time limit."""


class _Worker(threading.Thread):
    """The thread of one call. A daemon, so that a function that never returns does not keep the process alive."""

    def __init__(self, tool: Tool, call: partial[Any]) -> None:
        super().__init__(name=f"memagent-{tool.name}", daemon=True)
        self.outcome: Outcome | None = None
        self.broken: StorageError | _TimeIsUp | None = None
        self.printed: Printed | None = None
        self._tool = tool
        self._call = call
        self._context = copy_context()

    def run(self) -> None:
        with printing_kept() as self.printed:
            try:
                self.outcome = self._context.run(self._tried)
            except (StorageError, _TimeIsUp) as error:
                self.broken = error
            del self._call, self._context  # and with them the arguments

    def _tried(self) -> Outcome:
        try:
            return _attempt(self._tool, self._call)
        except (StorageError, _TimeIsUp):
            raise
        except BaseException as error:  # noqa: BLE001 - sys.exit() or KeyboardInterrupt, raised by the function itself
            return _failure(self._tool, error)


_given_up: WeakSet[_Worker] = WeakSet()


def anything_given_up() -> bool:
    """Whether a function that was given up still runs: Python would wait for threads of it before the process ends."""
    return any(worker.is_alive() for worker in list(_given_up))


def _in_thread(tool: Tool, call: partial[Any], agent: AgentFacade | None) -> Outcome:
    """Call it in a thread of its own, and wait for it as long as it may take."""
    worker = _Worker(tool, call)
    try:
        worker.start()
        _wait(worker, tool.rules.time_limit)
        late = worker.is_alive()
    except (RuntimeError, MemoryError) as error:  # no more threads can be started
        return _failure(tool, error)
    except BaseException:  # Ctrl-C, while waiting
        _given_up.add(worker)
        _cut_off(agent)
        raise
    given_up = late or isinstance(worker.broken, _TimeIsUp)
    if given_up:
        _given_up.add(worker)
    if given_up or (worker.printed and worker.printed.running):  # it, or threads that it left behind, may still run
        _cut_off(agent)
    if worker.broken and not given_up:
        raise worker.broken
    outcome = worker.outcome if worker.outcome and not given_up else _failure(tool, _TimeIsUp())
    return replace(outcome, printed=worker.printed.text if worker.printed else "")


def _wait(worker: threading.Thread, seconds: float) -> None:
    until = time.monotonic() + seconds
    while worker.is_alive() and (left := until - time.monotonic()) > 0:
        worker.join(min(left, 0.25))  # in short pieces: on Windows, Ctrl-C is only heard between two of them


def _cut_off(agent: AgentFacade | None) -> None:
    """What a function does from now on has no effect on its agent."""
    if close := getattr(agent, "close", None):
        close()


# What the model reads of it -------------------------------------------------------------------------------------------


def _failure(tool: Tool, error: BaseException) -> Outcome:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    watching.failed("timeout" if isinstance(error, _TimeIsUp) else type(error).__name__)
    if isinstance(error, StorageError):
        raise error
    if isinstance(error, MemagentError):
        text = str(error)
    elif isinstance(error, _TimeIsUp):
        text = (
            f"{tool.name} did not finish within {tool.rules.time_limit:g} seconds and was given up. "
            "Whether it had an effect outside is not known; its changes of your memory were dropped."
        )
    else:
        said = _said(error)
        text = f"{tool.name} failed: {type(error).__name__}{': ' if said else ''}{said} ({_place(tool, error)})"
    return Outcome(False, _cut(text, len(text), tool.rules.result_limit))


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the exception is the user's, and so is its __str__
        return ""


def _place(tool: Tool, error: BaseException) -> str:
    """Where in the user's file it happened."""
    file, _, line = tool.where.rpartition(":")
    trace = error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == file:
            line = str(trace.tb_lineno)
        trace = trace.tb_next
    return f"{Path(file).name}, line {line}"


def as_text(result: Any, limit: int) -> str:
    """A result as text for the model: text as it is, all else as JSON, and no more of it than the limit."""
    if result is None:
        return NOTHING
    if isinstance(result, str):
        return _cut(result, len(result), limit)
    if isinstance(result, bytes | bytearray | memoryview):
        return _cut(bytes(result[: 4 * limit]).decode("utf-8", "replace"), len(result), limit)
    pieces: list[str] = []
    size = 0
    try:
        for piece in json.JSONEncoder(ensure_ascii=False, default=_simpler).iterencode(result):
            if size < limit:
                pieces.append(piece[:limit])
            size += len(piece)
            if size > COUNTED:
                break
    except (TypeError, ValueError, RecursionError):  # keys that JSON has not, or a circle
        pieces = [_brief(limit).repr(result)]
        size = len(pieces[0])
    return _cut("".join(pieces), size, limit)


def _simpler(value: Any) -> Any:
    """What stands in JSON for a value that it has no form for."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date | time_of_day):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, set | frozenset):
        return list(value)
    if hasattr(type(value), "model_dump"):
        return value.model_dump()
    return _brief(COUNTED).repr(value) if isinstance(value, bytes | bytearray) else str(value)


def _brief(limit: int) -> reprlib.Repr:
    """`repr` of which no part is longer than the limit."""
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = brief.maxlong = limit
    brief.maxlist = brief.maxtuple = brief.maxdict = brief.maxset = brief.maxfrozenset = max(1, limit // 8)
    return brief


def _cut(text: str, size: int, limit: int) -> str:
    if size <= limit:
        return text
    total = f"more than {COUNTED:,}" if size > COUNTED and size != len(text) else f"{size:,}"
    return f"{text[:limit]}\n[cut: the first {limit:,} of {total} characters are shown]"
