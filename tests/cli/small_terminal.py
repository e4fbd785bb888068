"""A terminal small enough to read: it keeps every line that was ever on it, and knows no more than rich needs."""

import re

_KNOWN = re.compile(r"\x1b\[([\d;?]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+")


class SmallTerminal:
    """Feed it what was printed; `lines` is what stands there, with what has scrolled away above it."""

    def __init__(self, height: int) -> None:
        self.height = height
        self.lines = [""]
        self.row = self.column = 0
        self.cursor_shown = True
        self.highest = 0

    def feed(self, printed: str) -> None:
        position = 0
        while position < len(printed):
            found = _KNOWN.match(printed, position)
            assert found, f"a terminal would act on {printed[position : position + 20]!r}"
            position = found.end()
            if found[2]:
                self._control(found[1], found[2])
            elif found[0] == "\r":
                self.column = 0
            elif found[0] == "\n":
                self.row, self.column = self.row + 1, 0
                if self.row == len(self.lines):
                    self.lines.append("")
            else:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + found[0] + line[self.column + len(found[0]) :]
                self.column += len(found[0])

    def _control(self, number: str, letter: str) -> None:
        if letter == "A":
            self.row -= int(number or 1)
            assert self.row >= len(self.lines) - self.height, "it went up to a line that has scrolled away"
        elif letter == "K":
            assert number == "2"
            self.lines[self.row] = ""
        elif letter in "hl" and number == "?25":
            self.cursor_shown = letter == "h"
        else:
            assert letter == "m", f"unknown: {number}{letter}"

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines).strip("\n")
