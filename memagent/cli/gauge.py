"""Draws what fills the context window: a bar, and what each part of it is, in tokens and percent.

Knows nothing of how tokens are counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red", "bright_cyan", "bright_magenta")
PATTERNS = "#=+%o*x@"
WIDEST = 72


class ContextBar:
    """A bar with its legend. Parts are told apart by colour, or by pattern where there are no colours."""

    def __init__(self, parts: Sequence[tuple[str, int]], window: int) -> None:
        self.parts = [(name, tokens) for name, tokens in parts if tokens > 0]
        self.window = max(1, window)
        self.used = sum(tokens for _, tokens in self.parts)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        coloured = bool(console.color_system) and not console.no_color and not options.ascii_only
        inks = [
            ("█", COLOURS[i % len(COLOURS)]) if coloured else (PATTERNS[i % len(PATTERNS)], "")
            for i in range(len(self.parts))
        ]
        width = min(WIDEST, options.max_width - 2)
        bar = Text("[", no_wrap=True)
        for (ink, style), cells in zip(inks, self._cells(width), strict=True):
            bar.append(ink * cells, style)
        bar.append(("░" if coloured else ".") * (width - len(bar) + 1), "dim")
        yield bar.append("]")
        labels = max(cell_len(name) for name, _ in [*self.parts, ("in all", 0)])
        for (ink, style), (name, tokens) in zip(inks, self.parts, strict=True):
            yield Text.assemble((ink, style), " ", self._line(name, tokens, labels), no_wrap=True)
        free = self.window - self.used
        yield Text(
            f"  {self._line('free', free, labels)}" if free >= 0 else "  It is too full!", "" if free >= 0 else "red"
        )
        yield Text(f"  {self._line('in all', self.used, labels)} of {self.window:,} tokens", no_wrap=True)

    def _line(self, name: str, tokens: int, labels: int) -> str:
        return f"{name}{' ' * (labels - cell_len(name))}  {tokens:>9,}  {100 * tokens / self.window:>5.1f} %"

    def _cells(self, width: int) -> list[int]:
        """How wide each part is drawn: in proportion, each one visible, all of them within the bar."""
        whole = max(self.window, self.used)
        cells = [max(1, round(width * tokens / whole)) for _, tokens in self.parts]
        while sum(cells) > width and max(cells) > 1:
            cells[cells.index(max(cells))] -= 1
        return cells
