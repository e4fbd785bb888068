"""Calls a function in a process of its own, so that no crash, no hunger for memory and no endless loop of it does harm.

The process leads a group; the group is killed when the function has returned, when its time is up and when you press
Ctrl-C, with all that it has started. It gets an environment without secrets and no terminal. This keeps accidents
away, not malice: such a function may read and write all files that you may. Knows nothing of what the child does
(see child.py) but how they talk: one line of JSON there, an empty line when it is ready, one line of JSON back.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory

from memagent.config import clean_environment
from memagent.tools import Outcome, Tool

MEMORY = 2 << 30
"""Bytes of address space that each process of a function may have."""
TOGETHER = MEMORY
"""Bytes of memory that all of them may fill together."""
LOADING = 60.0
"""Seconds that the process may take until its function set is loaded."""
LEAVING = 2.0
"""Seconds that it has to write its files and end by itself, once there is a result."""


def run_apart(tool: Tool, arguments: str, directory: Path | None) -> Outcome:
    """Call a function with the model's arguments, in that directory, or in one for this call only."""
    file = tool.where.rpartition(":")[0]
    rules = tool.rules
    asked = {
        # No others: "" would be the agent's directory, and what the model has written there would be taken for modules.
        "path": [folder for folder in sys.path if Path(folder).is_absolute()],
        "file": file,
        "name": tool.name,
        "arguments": arguments,
        "rules": {"ends_turn": rules.ends_turn, "result_limit": rules.result_limit},
        "memory": MEMORY,
        "seconds": int(min(LOADING + rules.time_limit + LEAVING, 1e6)) + 1,
    }
    try:
        if directory is None:
            with TemporaryDirectory(prefix="memagent-", ignore_cleanup_errors=True) as folder:
                return _called(tool, json.dumps(asked).encode(), Path(folder))
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _called(tool, json.dumps(asked).encode(), directory)
    except (OSError, RuntimeError, MemoryError) as error:  # no more processes, threads or files can be had
        return Outcome(False, f"{tool.name} was not called: its process could not be started: {error}")


def _called(tool: Tool, asked: bytes, directory: Path) -> Outcome:
    child = Path(__file__).with_name("child.py")
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own file
        [sys.executable, "-P", str(child)],  # -P: the files beside it are not taken for Python's own modules
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=directory,
        env=clean_environment(),
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows: no console, so no Ctrl-C from it either
    )
    try:
        heard, ended = _heard(process, asked, tool)
    finally:
        _end(process)
    return _result(heard) or Outcome(False, ended or _failure(tool, heard, process.returncode))


# Talking to the process -----------------------------------------------------------------------------------------------


def _heard(process: subprocess.Popen[bytes], asked: bytes, tool: Tool) -> tuple[bytes, str]:
    """All that the process says until it ends, and why it must be ended before, in words for the model."""
    chunks: SimpleQueue[bytes] = SimpleQueue()
    most = 100_000 + 12 * tool.rules.result_limit  # a character has 12 bytes at most, written as \ud83d\ude00
    talk = threading.Thread(target=_talk, args=(process, asked, most, chunks), daemon=True)
    talk.name = f"memagent-{tool.name}"
    talk.start()
    heard = bytearray()
    until = time.monotonic() + LOADING
    while True:
        try:
            # In short pieces: on Windows, Ctrl-C is only heard between two of them.
            chunk = chunks.get(timeout=max(0.0, min(until - time.monotonic(), 0.25)))
        except Empty:
            if time.monotonic() >= until:
                return bytes(heard), _late(tool, heard) if heard.count(b"\n") < 2 else ""
            if _memory_of(process.pid) > TOGETHER:
                return bytes(heard), _hungry(tool)
            continue
        if not chunk:
            return bytes(heard), ""
        heard += chunk
        if b"\n" in chunk:
            until = time.monotonic() + (tool.rules.time_limit if heard.count(b"\n") == 1 else LEAVING)


def _talk(process: subprocess.Popen[bytes], asked: bytes, most: int, chunks: SimpleQueue[bytes]) -> None:
    """Hand the call over, and pass on what comes back, but no more than that. Its input stays open: see `_end`."""
    assert process.stdin and process.stdout
    with process.stdout as out, suppress(OSError, ValueError):  # it was ended meanwhile
        process.stdin.write(asked + b"\n")
        process.stdin.flush()
        while most > 0 and (chunk := os.read(out.fileno(), min(most, 65536))):
            most -= len(chunk)
            chunks.put(chunk)
    chunks.put(b"")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all others of its group. It is waited for afterwards, so that its number is still its own."""
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError, PermissionError):  # macOS: nobody but the dead is in the group
            os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)  # a process that waits for a broken disk can't even be killed
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()


def _memory_of(group: int) -> int:
    """Bytes that the processes of a group fill together; 0 where the system does not tell (all but Linux)."""
    members, filled = [], 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[2]) == group:
                members.append(folder)
                filled += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    if filled <= TOGETHER:
        return filled
    shared_once = 0
    for folder in members:  # dear, but only this counts once what they share, and after a fork that is nearly all
        with suppress(OSError, ValueError, IndexError):
            shared_once += int((folder / "smaps_rollup").read_text().split("\nPss:")[1].split()[0]) << 10
    return shared_once


# What the model reads of it -------------------------------------------------------------------------------------------


def _result(heard: bytes) -> Outcome | None:
    """What the child says that came of the call, unless it did not get so far."""
    for line in heard.splitlines():  # after it, there may be words of a crash on leaving
        if line.startswith(b"{"):
            with suppress(ValueError, TypeError, RecursionError):
                return Outcome(**json.loads(line))
    return None


def _late(tool: Tool, heard: bytes | bytearray) -> str:
    seconds = tool.rules.time_limit if b"\n" in heard else LOADING
    return f"{tool.name} did not finish within {seconds:g} seconds and was ended. {_UNKNOWN}"


def _hungry(tool: Tool) -> str:
    return f"{tool.name} and what it started filled more than {TOGETHER >> 20} MB of memory and was ended. {_UNKNOWN}"


_UNKNOWN = "Whether it had an effect outside is not known."


def _failure(tool: Tool, heard: bytes, code: int | None) -> str:
    file, _, line = tool.where.rpartition(":")
    # What the child's faulthandler has written: the innermost call first.
    if found := re.search(rb'File "%b", line (\d+)' % re.escape(file.encode()), heard):
        line = found[1].decode()
    return f"{tool.name} {_ended(code)} before it returned anything ({Path(file).name}, line {line})."


def _ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended its process (exit code {code})"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed ({name}), perhaps for want of memory," if name == "SIGKILL" else f"crashed ({name})"
