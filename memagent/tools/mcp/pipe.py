"""A program that speaks MCP over its standard input and output: started, listened to within limits, and ended.

It gets no variables but those it is given. What it writes that is no message is passed over; what is too much ends it.
Nothing that it has started in its own group stays behind. Knows nothing of what is said.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from anyio.abc import ByteReceiveStream, Process
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage

log = logging.getLogger(__name__)

LARGEST = 16 << 20
"""Bytes of one message."""
MOST = 64 << 20
"""Bytes that may come without anything being asked meanwhile."""
LEAVING = 1.0
"""Seconds that a program has to end when its input does, and again when it is told to."""
LAST_WORDS = 2000


class Diary:
    """What is to be known of a program once it is `gone`: why it was ended, and what it wrote last to its errors."""

    def __init__(self) -> None:
        self.why = ""
        self.gone = self.ended = False  # by itself, or because we wanted it
        self._written = bytearray()

    def write(self, chunk: bytes) -> None:
        self._written += chunk
        del self._written[:-LAST_WORDS]

    @property
    def last_words(self) -> str:
        return self._written.decode("utf-8", "replace").strip()


@asynccontextmanager
async def spoken(
    command: Sequence[str], environment: Mapping[str, str], directory: Path, diary: Diary
) -> AsyncIterator[TransportStreams]:
    """Start a program, and end it afterwards. Raises `OSError` when it can't be started."""
    from mcp.shared.message import SessionMessage

    process = await anyio.open_process(
        [*_ending_with_us(), *command], env=dict(environment), cwd=directory, start_new_session=sys.platform != "win32"
    )
    heard_in, heard = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    said, said_out = anyio.create_memory_object_stream[SessionMessage](0)
    unanswered = _Count()
    async with anyio.create_task_group() as tasks:
        assert process.stdout and process.stderr
        tasks.start_soon(_listen, process.stdout, heard_in, diary, unanswered)
        tasks.start_soon(_speak, process, said_out, heard_in, unanswered)
        tasks.start_soon(_note, process.stderr, diary.write)
        try:
            yield heard, said
        finally:
            diary.ended = True
            with anyio.CancelScope(shield=True):
                heard.close()
                said.close()
                await _end(process)
            tasks.cancel_scope.cancel()


def _ending_with_us() -> list[str]:
    """What stands before a command, so that it does not outlive this process. Elsewhere, a program must see by itself
    that its input ends.
    """
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")), str(os.getpid())]


class _Count:
    """Bytes that have come since something was said last."""

    bytes = 0


async def _listen(
    out: ByteReceiveStream, heard: MemoryObjectSendStream[SessionMessage | Exception], diary: Diary, count: _Count
) -> None:
    """Pass on every message, until the program says no more, or says too much."""
    line = bytearray()
    async with heard:
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, ConnectionError):
            async for chunk in out:
                count.bytes += len(chunk)
                line += chunk
                if b"\n" in chunk:
                    *lines, rest = bytes(line).split(b"\n")
                    line = bytearray(rest)
                    for each in lines:
                        if (message := _message(each)) is not None:
                            await heard.send(message)
                if len(line) > LARGEST or count.bytes > MOST:
                    diary.why = f"it said more than {(LARGEST if len(line) > LARGEST else MOST) >> 20} MB"
                    return
        diary.gone = not diary.ended


def _message(line: bytes) -> SessionMessage | None:
    """The message that a line is; none when it is something else, such as a log."""
    import mcp_types
    from mcp.shared.message import SessionMessage

    if not line.lstrip().startswith(b"{") or len(line) > LARGEST:
        return None
    try:
        return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        return None


async def _speak(
    process: Process, said: MemoryObjectReceiveStream[SessionMessage],
    heard: MemoryObjectSendStream[SessionMessage | Exception], count: _Count,
) -> None:  # fmt: skip
    assert process.stdin
    try:
        async with said:
            async for message in said:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                count.bytes = 0
                await process.stdin.send(text.encode() + b"\n")
    except (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
        heard.close()  # so that nobody waits for an answer


async def _note(stream: ByteReceiveStream, write: Callable[[bytes], None]) -> None:
    with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, ConnectionError):
        async for chunk in stream:
            write(chunk)


async def _end(process: Process) -> None:
    """First its input ends, then it is told to end, then it and all of its group are ended."""
    assert process.stdin
    with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.aclose()
    if not await _ended(process):
        _signal(process, signal.SIGTERM)
        await _ended(process)
    _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    if not await _ended(process):
        log.warning("the program of an MCP server can't be ended: process %d", process.pid)
    with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.aclose()


async def _ended(process: Process) -> bool:
    """Whether it ends soon. Not by `wait`, which waits for those too that have inherited its pipes."""
    with anyio.move_on_after(LEAVING):
        while process.returncode is None:
            await anyio.sleep(0.01)
    return process.returncode is not None


def _signal(process: Process, number: int) -> None:
    if sys.platform == "win32":
        if process.returncode is None:
            process.kill()
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
