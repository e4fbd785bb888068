"""Rows as a table, under the names of their columns.

Knows nothing of what they tell.
"""

from __future__ import annotations

from typing import Any

import typer


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Print rows as a table, under the names of their columns."""
    lines = [[key.replace("_", " ") for key in rows[0]], *([_cell(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        typer.secho(text, bold=number == 0)


def _cell(value: Any) -> str:
    return "never" if value is None else f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "hour") else str(value)
