"""A program in a real pseudo-terminal, as a person uses it: what it prints is waited for, and keys are sent to it."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from command_line import MEMAGENT

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b[=>]|\r")

CTRL_C, CTRL_D = "\x03", "\x04"


class Terminal:
    """`memagent` in a terminal of its own; leaving the `with` ends it."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [*MEMAGENT, *words], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=_own_terminal,
            env={**environment, "TERM": "xterm", "COLUMNS": "100", "LINES": "40", "PROMPT_TOOLKIT_NO_CPR": "1"},
        )  # fmt: skip
        os.close(theirs)
        self._unread = ""
        self.seen = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._ours)

    def expect(self, text: str, seconds: float = 40.0) -> str:
        """Wait until this is printed, after what was expected before; returns all that came until then."""
        until = time.monotonic() + seconds
        while text not in self._unread:
            left = until - time.monotonic()
            assert left > 0 and self._read(left), f"{text!r} did not come after:\n{self._unread}\n---\n{self.seen}"
        before, _, self._unread = self._unread.partition(text)
        self.seen += before + text
        return before + text

    def send(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def say(self, line: str) -> None:
        self.send(f"{line}\r")

    def kill(self, number: int) -> None:
        self._process.send_signal(number)

    def ended(self, seconds: float = 40.0) -> int:
        """The exit code, when it has ended by itself; the rest of what it printed is in `seen`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._read(until - time.monotonic()):
            pass
        self.seen += self._unread
        return self._process.wait(max(0.1, until - time.monotonic()))

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # the other end is closed
            return False
        self._unread += _CONTROL.sub("", data.decode("utf-8", "replace"))
        return bool(data)


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
