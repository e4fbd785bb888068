"""The table that every measurement ends in: what was measured, against what, and whether it keeps its bar.

Knows nothing of how anything is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HEAD = ("what", "measured", "baseline", "ratio", "bar", "")


@dataclass(frozen=True)
class Row:
    """One measurement. `value` is what is held against `bar`, when there is one: a ratio, or a number of `unit`."""

    what: str
    measured: str
    baseline: str
    value: float
    bar: float | None = None
    unit: str = "×"
    at_least: bool = False

    @property
    def ok(self) -> bool:
        """Whether the bar is kept."""
        if self.bar is None:
            return True
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    @property
    def cells(self) -> Sequence[str]:
        """The row as text."""
        ratio = f"{self.value:.2f} ×" if self.unit == "×" else ""
        if self.bar is None:
            return (self.what, self.measured, self.baseline, ratio, "", "")
        bar = f"{'≥' if self.at_least else '≤'} {self.bar:g} {self.unit}".strip()
        return (self.what, self.measured, self.baseline, ratio, bar, "ok" if self.ok else "MISSED")


def compared(
    what: str, measured: float, baseline: float, bar: float | None, *, unit: str = "ms", against: str = ""
) -> Row:
    """A row of two numbers of the same unit, of which the ratio counts."""
    named = f"{against}: {_short(baseline)} {unit}" if against else f"{_short(baseline)} {unit}"
    return Row(what, f"{_short(measured)} {unit}", named, measured / baseline, bar)


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def markdown(rows: Iterable[Row]) -> str:
    """The table as Markdown."""
    lines = [HEAD, ("---",) * len(HEAD), *(row.cells for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def show(rows: Iterable[Row]) -> None:
    """Print the table to the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*HEAD)
    for row in rows:
        table.add_row(*row.cells, style=None if row.ok else "bold red")
    Console().print(table)
