"""What a function prints is kept for its outcome and never reaches the terminal; nor can it read from the keyboard.

While a function runs, `sys.stdout`, `sys.stderr` and `sys.stdin` are switches that ask which thread is using them; for
all others nothing changes. Threads that the function starts belong to it. Knows nothing of functions or tools.
"""

from __future__ import annotations

import io
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

KEPT = 4000
"""Bytes that are kept of what one function prints."""

_here = threading.local()
_lock = threading.Lock()
_using = 0
_start_thread = threading.Thread.start


class _Kept(io.RawIOBase):
    """The beginning of what is written; the rest is dropped."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data[: max(0, KEPT - len(self.data))])
        return len(data)


class Printed:
    """What one function, and the threads that it started, have printed. `running` counts those threads and itself."""

    def __init__(self) -> None:
        self._kept = _Kept()
        self.out = io.TextIOWrapper(cast(Any, self._kept), "utf-8", "replace", write_through=True)
        self.running = 0

    @property
    def text(self) -> str:
        return bytes(self._kept.data).decode("utf-8", "replace")


class _Switch:
    """Stands for a standard stream: the real one, or what is kept for the function that runs in this thread."""

    def __init__(self, name: str, real: Any) -> None:
        self.__dict__.update(_name=name, _real=real)

    def _stream(self) -> Any:
        printed: Printed | None = getattr(_here, "printed", None)
        if printed is None:
            return self._real
        return io.StringIO("") if self._name == "stdin" else printed.out

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._stream(), name, value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream())


@contextmanager
def printing_kept() -> Iterator[Printed]:
    """What this thread, and threads it starts, print inside the block is kept in what the block is given."""
    printed = Printed()
    before = getattr(_here, "printed", None)
    _enter(printed)
    _here.printed = printed
    try:
        yield printed
    finally:
        _here.printed = before
        _leave(printed)


def _enter(printed: Printed) -> None:
    """Put the switches in place, unless they are."""
    global _using
    with _lock:
        printed.running += 1
        _using += 1
        threading.Thread.start = _start  # type: ignore[method-assign,assignment]
        for name in ("stdout", "stderr", "stdin"):
            stream = getattr(sys, name)
            if stream is not None and not isinstance(stream, _Switch):
                setattr(sys, name, _Switch(name, stream))


def _leave(printed: Printed) -> None:
    """Take the switches away after the last one; also an older one, that somebody has brought back who had put a stream
    of theirs in its place.
    """
    global _using
    with _lock:
        printed.running -= 1
        _using -= 1
        if _using:
            return
        threading.Thread.start = _start_thread  # type: ignore[method-assign]
        for name in ("stdout", "stderr", "stdin"):
            if isinstance(stream := getattr(sys, name), _Switch):
                setattr(sys, name, stream.__dict__["_real"])


def _start(thread: threading.Thread) -> None:
    """Start a thread; it belongs to the function that starts it, as Python itself does not remember that."""
    printed: Printed | None = getattr(_here, "printed", None)
    if printed is None:
        return _start_thread(thread)
    run = thread.run

    def belonging() -> None:
        _here.printed = printed
        try:
            run()
        except SystemExit:
            pass
        except BaseException:  # noqa: BLE001 - a thread of the user's ends as it would by itself: told, and no more
            traceback.print_exc()
        finally:
            _leave(printed)

    thread.run = belonging  # type: ignore[method-assign]
    _enter(printed)
    try:
        return _start_thread(thread)
    except BaseException:
        _leave(printed)
        raise
