"""Reads risky files in a process of its own, so that no broken or hostile one crashes, starves or holds up the rest.

The process is started when the first such file comes, reads one after the other, and is replaced when one has ended it.
It limits its own memory; how long a file may take is limited here. Knows nothing of what is read (see child.py) but how
they talk: a line of JSON and the file's bytes there, a line of JSON back.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from memagent.config import clean_environment
from memagent.errors import MissingExtra
from memagent.sources import Document, Part, Unreadable
from memagent.sources.child import HUNGRY

MEMORY = 2 << 30
"""Bytes of address space that the process may have."""
SECONDS = 60.0
"""How long it may take for one file."""
STARTING = 60.0
"""How long until it is ready, on a machine that is busy."""


class Apart:
    """Makes documents of files, one at a time, whichever thread asks."""

    def __init__(self, *, memory: int = MEMORY, seconds: float = SECONDS) -> None:
        self._memory = memory
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: SimpleQueue[bytes] = SimpleQueue()
        self._one = threading.Lock()

    def read(self, kind: str, data: bytes, name: str) -> Document:
        """The document that these bytes are; `kind` is one of `FORMATS`."""
        with self._one:
            process = self._running()
            call = json.dumps({"kind": kind, "name": name, "length": len(data)}).encode() + b"\n" + data
            threading.Thread(target=_send, args=(process, call), daemon=True).start()
            try:
                line = self._next(self._seconds)
            except BaseException:  # Ctrl-C, or too late: what is still to come would be taken for the next file's
                self._end()
                raise
            if not line:
                code = process.wait()
                self._end()
                raise Unreadable(_ended(code))
        return _document(line)

    def close(self) -> None:
        """End the process, if there is one."""
        with self._one:
            self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process and self._process.poll() is None:
            return self._process
        self._end()
        try:
            process = _started()
        except OSError as error:  # no more processes or files can be had
            raise Unreadable(f"was not read: the process that reads such files does not start: {error}") from error
        self._process, self._answers = process, SimpleQueue()
        threading.Thread(target=_listen, args=(process, self._answers), daemon=True).start()
        path = [folder for folder in sys.path if Path(folder).is_absolute()]
        start = {"path": path, "memory": self._memory, "seconds": int(self._seconds) + 5}
        _send(process, json.dumps(start).encode() + b"\n")
        try:
            ready = self._next(STARTING)
        except BaseException:
            self._end()
            raise
        if not ready:
            self._end()
            raise Unreadable("was not read: the process that reads such files does not start")
        return process

    def _next(self, seconds: float) -> bytes:
        """The next line that the process says, nothing if it has ended; raises when it takes too long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            with suppress(Empty):  # in short pieces: on Windows, Ctrl-C is only heard between two of them
                return self._answers.get(timeout=min(left, 0.25))
        raise Unreadable(f"took more than {seconds:g} seconds to read")

    def _end(self) -> None:
        process, self._process = self._process, None
        if process:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    pipe and pipe.close()


def _started() -> subprocess.Popen[bytes]:
    child = Path(__file__).with_name("child.py")
    return subprocess.Popen(  # noqa: S603 - our own interpreter and our own file
        [sys.executable, "-P", str(child)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def _send(process: subprocess.Popen[bytes], call: bytes) -> None:
    with suppress(OSError, ValueError):  # it was ended meanwhile: that is noticed where its answer is waited for
        assert process.stdin
        process.stdin.write(call)
        process.stdin.flush()


def _listen(process: subprocess.Popen[bytes], answers: SimpleQueue[bytes]) -> None:
    with suppress(OSError, ValueError):
        assert process.stdout
        for line in process.stdout:
            answers.put(line)
    answers.put(b"")


def _document(line: bytes) -> Document:
    answer: dict[str, Any] = json.loads(line)
    if "unreadable" in answer:
        raise Unreadable(answer["unreadable"])
    if "missing" in answer:
        raise MissingExtra(*answer["missing"])
    parts = tuple(Part(text, tuple(heading), page) for text, heading, page in answer["parts"])
    when = datetime.fromisoformat(answer["when"]) if answer["when"] else None
    return Document(answer["title"], parts, when=when)


def _ended(code: int) -> str:
    if code == HUNGRY:
        return "needs too much memory to read"
    if code == -signal.SIGKILL:
        return "could not be read: what reads it was killed, perhaps for want of memory"
    if code < 0:
        with suppress(ValueError):
            return f"could not be read: what reads it crashed ({signal.Signals(-code).name})"
    return "could not be read: what reads it ended"
