"""What a turn is drawn on: a `Screen`, whose last lines can be drawn over, or `Paper`, on which what is printed stays.

Both take words as they come, lines that stay, and what is going on meanwhile. Knows nothing of agents or events.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Literal, Protocol

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


LONGEST_BLOCK = 30_000
"""Characters of one paragraph, list or piece of code that are still worth the work of making them look good."""


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
        self._above: Literal["", "reply", "thought", "aside"] = ""
        self._changed = False
        self._label, self._until, self._since = "Thinking…", 0.0, time.monotonic()
        self._spinner = Spinner("line" if console.options.ascii_only else "dots", style="cyan")
        self._lock = threading.RLock()
        self._live = Live(self, console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self._ended = threading.Event()
        self._drawing = threading.Thread(target=self._draw, daemon=True)

    def __enter__(self) -> Screen:
        self._console.print()
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
                if self._above:
                    self._console.print()

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
            for block in self._blocks(f"{tail}\n") if valid else []:
                self._print(self._rendered(block), self._kind)
            if tail.strip() and not valid:
                self._print(Text(harmless(tail).strip(), "dim strike"), self._kind)
            self._changed = True

    def put(self, line: RenderableType) -> None:
        with self._lock:
            self._print(line, "aside")

    def _print(self, block: RenderableType, kind: Literal["reply", "thought", "aside"]) -> None:
        if self._apart(kind):
            self._console.print()
        self._above = kind
        self._console.print(block)

    def _apart(self, kind: str) -> bool:
        """Whether a blank line belongs between this and what is above it."""
        return bool(self._above) and "reply" in (self._above, kind)

    def _blocks(self, text: str) -> list[str]:
        """The text in parts of which only the last can still change, as it grows."""
        if self._kind == "thought":
            return [text]
        from memagent.cli.markdown import blocks

        return [block for block in blocks(text) if block.strip()]

    def _rendered(self, text: str) -> RenderableType:
        if self._kind == "thought" or len(text) > LONGEST_BLOCK:
            return Text(harmless(text).strip("\n"), "dim italic" if self._kind == "thought" else "")
        from memagent.cli.markdown import SafeMarkdown

        return SafeMarkdown(text)

    def _draw(self) -> None:
        import memagent.cli.markdown  # noqa: F401  # this takes long, and there is time now

        pause = TICK
        while not self._ended.wait(pause):
            began = time.monotonic()
            with self._lock:
                if self._changed and self._tail.strip():
                    *done, self._tail = self._blocks(self._tail)
                    for block in done:
                        self._print(self._rendered(block), self._kind)
                if self._changed or not self._tail:
                    self._changed = False
                    self._live.refresh()
            pause = max(TICK, 5 * (time.monotonic() - began))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The part that is drawn over: the end of what is being written, or what is going on."""
        if not self._tail.strip():
            if time.monotonic() - self._since > PATIENCE:
                left = self._until - time.monotonic()
                again = f"; again in {left:.0f} s" if left > 0.5 else ""
                self._spinner.text = Text(harmless(self._label) + again, "dim")
                yield self._spinner
            return
        room = options.max_width * options.size.height
        end = Text(harmless(self._tail[-room:])) if len(self._tail) > 4 * room else self._rendered(self._tail)
        lines = console.render_lines(end, options, pad=False)
        if self._apart(self._kind):
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
        self._written = ""
        """The last character of what was written and is not settled."""

    def __enter__(self) -> Paper:
        return self

    def __exit__(self, *_: object) -> None:
        self.settle()

    def busy(self, label: str, seconds: float = 0) -> None:
        if seconds >= 1:
            self.put(Text(f"{harmless(label)}; again in {seconds:.0f} s"))

    def write(self, kind: DeltaKind, words: str) -> None:
        if kind != self._kind:
            self.settle()
            self._kind = kind
        words = words if self._written else words.lstrip()
        if words:
            self._written = words[-1]
            self._console.print(Text(harmless(words)), end="", soft_wrap=True)

    def settle(self, *, valid: bool = True) -> None:
        last, self._written = self._written, ""
        if last and (last != "\n" or not valid):
            self._console.print(Text("" if valid else " […]"))

    def put(self, line: RenderableType) -> None:
        self.settle()
        self._console.print(line, soft_wrap=True)
