"""What a turn is drawn on: a `Screen`, whose last lines can be drawn over, or `Paper`, on which what is printed stays.

Both take words as they come, lines that stay, and what is going on meanwhile. Knows nothing of agents or events.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from memagent.events import DeltaKind
from memagent.log import harmless

TICK = 0.1
PATIENCE = 0.2
"""Seconds in which nothing comes before the screen says what it waits for."""


class Surface(Protocol):
    """Where a turn is shown. `streams`: whether words are shown before they are final."""

    streams: bool

    def __enter__(self) -> Any: ...
    def __exit__(self, *_: object) -> None: ...
    def busy(self, label: str, seconds: float = 0) -> None:
        """Say what is going on, and for how long if that is known."""
        ...

    def write(self, kind: DeltaKind, words: str) -> None:
        """More words of a reply or thought; they may still be taken back."""
        ...

    def settle(self, *, valid: bool = True) -> None:
        """What was written is final; or, if not `valid`, it is marked as void."""
        ...

    def put(self, line: RenderableType) -> None:
        """Print something that stays."""
        ...


def surface(console: Console) -> Surface:
    """The surface that this terminal, file or pipe can be."""
    return Screen(console) if console.is_interactive and not console.no_color else Paper(console)


class Screen:
    """A terminal. Blocks that are finished are printed for good; only the last one is drawn again as it grows.

    One thread draws, ten times a second at most and less often when drawing is much work; one lock guards it all.
    """

    streams = True

    def __init__(self, console: Console) -> None:
        self._console = console
        self._kind: DeltaKind = "reply"
        self._tail = ""
        self._gap = False
        self._changed = False
        self._label, self._until, self._since = "Thinking…", 0.0, time.monotonic()
        self._spinner = Spinner("line" if console.options.ascii_only else "dots", style="cyan")
        self._lock = threading.RLock()
        self._live = Live(self, console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self._ended = threading.Event()
        self._drawing = threading.Thread(target=self._draw, daemon=True)

    def __enter__(self) -> Screen:
        self._live.start()
        self._drawing.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        try:
            self._drawing.join()
        finally:  # also when Ctrl-C is pressed again: the terminal must get its cursor back
            with self._lock:
                self.settle()
                self._since = time.monotonic() + PATIENCE
                self._live.stop()

    def busy(self, label: str, seconds: float = 0) -> None:
        with self._lock:
            self._label, self._until = label, time.monotonic() + seconds if seconds else 0.0
            self._since = time.monotonic()

    def write(self, kind: DeltaKind, words: str) -> None:
        with self._lock:
            if kind != self._kind:
                self.settle()
                self._kind = kind
            self._tail += words
            self._changed = True
            self._since = time.monotonic()

    def settle(self, *, valid: bool = True) -> None:
        with self._lock:
            tail, self._tail = self._tail, ""
            if tail.strip():
                self._print(self._rendered(tail) if valid else Text(harmless(tail).strip(), "dim strike"))
            self._changed = True

    def put(self, line: RenderableType) -> None:
        with self._lock:
            self._gap = False
            self._console.print(line)

    def _print(self, block: RenderableType) -> None:
        if self._gap:
            self._console.print()
        self._gap = True
        self._console.print(block)

    def _rendered(self, text: str) -> RenderableType:
        if self._kind == "thought":
            return Text(harmless(text).strip("\n"), "dim italic")
        from memagent.cli.markdown import SafeMarkdown

        return SafeMarkdown(text)

    def _draw(self) -> None:
        from memagent.cli.markdown import finished  # its import takes long, and there is time now

        cuts: dict[DeltaKind, Callable[[str], int]] = {"reply": finished, "thought": lambda text: text.rfind("\n") + 1}
        pause = TICK
        while not self._ended.wait(pause):
            began = time.monotonic()
            with self._lock:
                if self._changed and (cut := cuts[self._kind](self._tail)):
                    done, self._tail = self._tail[:cut], self._tail[cut:]
                    self._print(self._rendered(done))
                if self._changed or not self._tail:
                    self._changed = False
                    self._live.refresh()
            pause = max(TICK, 5 * (time.monotonic() - began))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The part that is drawn over: the end of what is being written, or what is going on."""
        if not self._tail.strip():
            if time.monotonic() - self._since > PATIENCE:
                left = self._until - time.monotonic()
                self._spinner.text = Text(harmless(self._label) + (f" {left:.0f} s" if left > 0.5 else ""), "dim")
                yield self._spinner
            return
        lines = console.render_lines(self._rendered(self._tail), options, pad=False)
        if self._gap:
            yield Segment.line()
        for line in lines[-max(1, options.size.height - 2) :]:
            yield from line
            yield Segment.line()


class Paper:
    """A file, a pipe, or a terminal that can't draw or shall not. Into a pipe goes only what is final."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.streams = console.is_terminal
        self._kind: DeltaKind = "reply"
        self._open = False

    def __enter__(self) -> Paper:
        return self

    def __exit__(self, *_: object) -> None:
        self.settle()

    def busy(self, label: str, seconds: float = 0) -> None:
        if seconds >= 1:
            self.put(Text(f"{harmless(label)} {seconds:.0f} s"))

    def write(self, kind: DeltaKind, words: str) -> None:
        if kind != self._kind:
            self.settle()
            self._kind = kind
        self._open = True
        self._console.print(Text(harmless(words)), end="", soft_wrap=True)

    def settle(self, *, valid: bool = True) -> None:
        if self._open:
            self._open = False
            self._console.print("" if valid else " […]", markup=False)

    def put(self, line: RenderableType) -> None:
        self.settle()
        self._console.print(line, soft_wrap=True)
