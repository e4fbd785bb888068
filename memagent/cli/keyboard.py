"""The keyboard while nobody is asked anything: what is typed then is not shown amid the output, and can be forgotten.

Where there is no terminal, or none that can be told so (Windows), all stays as it is. Knows nothing of who types what.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hushed() -> Iterator[None]:
    """What is typed inside the block waits, unseen, for whoever reads next."""
    terminal = _terminal()
    if terminal is None:
        yield
        return
    import termios

    before = termios.tcgetattr(terminal)
    silent = [*before]
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)


def forget_typed() -> None:
    """Forget what was typed and not read: it was no answer to what is asked only now."""
    terminal = _terminal()
    if terminal is not None:
        import termios

        termios.tcflush(terminal, termios.TCIFLUSH)


def _terminal() -> int | None:
    """The terminal that is typed on."""
    if sys.platform == "win32" or sys.stdin is None or not sys.stdin.isatty():
        return None
    return sys.stdin.fileno()
